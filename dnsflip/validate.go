package dnsflip

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"switchd/spec"
	"switchd/zone"
)

// Bounds of names, RFC 1035 section 2.3.4: octets of a label, and of a name
// as it is written without the final dot.
const (
	maxLabel = 63
	maxName  = 253
)

// maxTTL is the largest TTL, RFC 2181 section 8.
const maxTTL = math.MaxInt32 * time.Second

// Validate says everything that makes the view unfit to answer from. Whoever
// builds a view leaves out the nodes that have no usable address: one of
// them would hold up the changes of the whole zone.
func (v View) Validate() error {
	errs := []error{validateZone(v.Zone)}
	for _, host := range slices.Sorted(maps.Keys(v.NameServerAddrs)) {
		if !slices.Contains(v.Zone.NameServers, host) {
			errs = append(errs, fmt.Errorf("addresses are given for %q, which is not a name server of zone %q", host, v.Zone.Name))
		} else if !inZone(plain(host), v.Zone.Name) {
			errs = append(errs, fmt.Errorf("name server %q is outside of zone %q: its addresses are not for this zone to tell", host, v.Zone.Name))
		}
		errs = append(errs, validateAddrs("name server", host, v.NameServerAddrs[host]))
	}
	taken := make(map[string]string, 3*len(v.Flips)) // by name within the zone: the service, or "" for a name server
	for _, host := range v.Zone.NameServers {
		if label, ok := strings.CutSuffix(plain(host), "."+v.Zone.Name); ok {
			taken[label] = ""
		}
	}
	for _, label := range slices.Sorted(maps.Keys(v.Flips)) {
		f := v.Flips[label]
		errs = append(errs, f.validate(label, v.Zone.Name))
		for _, name := range []string{label, poolLabel(cmp.Or(f.PoolName, label), spec.Blue), poolLabel(cmp.Or(f.PoolName, label), spec.Green)} {
			if other, ok := taken[name]; ok {
				errs = append(errs, fmt.Errorf("%s.%s is the name of %s and of %s: rename one", name, v.Zone.Name, user(other), user(f.Service)))
			}
			taken[name] = f.Service
		}
	}
	return errors.Join(errs...)
}

// user says who has a name: a service, or with "" a name server.
func user(service string) string {
	if service == "" {
		return "a name server"
	}
	return fmt.Sprintf("service %q", service)
}

func validateZone(z spec.Zone) error {
	if !validHost(z.Name) {
		return fmt.Errorf("zone name %q is not a lower-case domain name without a final dot", z.Name)
	}
	var errs []error
	if len(z.NameServers) == 0 {
		errs = append(errs, fmt.Errorf("zone %q has no name servers: name at least one", z.Name))
	}
	seen := map[string]bool{}
	for _, host := range z.NameServers {
		if !validHost(plain(host)) {
			errs = append(errs, fmt.Errorf("zone %q: name server %q is not a host name", z.Name, host))
		}
		if seen[plain(host)] {
			errs = append(errs, fmt.Errorf("zone %q: name server %q is named twice", z.Name, host))
		}
		seen[plain(host)] = true
	}
	if _, err := mailbox(z.Admin); err != nil {
		errs = append(errs, fmt.Errorf("zone %q: %w", z.Name, err))
	}
	return errors.Join(append(errs,
		validateTTL("TTL of zone", z.Name, z.TTL),
		validateTTL("negative TTL of zone", z.Name, z.NegativeTTL))...)
}

func (f Flip) validate(label, zone string) error {
	var errs []error
	// One label, so that "web-green" is a sibling of "web" for everybody who
	// builds the name by appending.
	for _, l := range f.labels(label) {
		if strings.Contains(l, ".") || !validHost(poolLabel(l, spec.Green)+"."+zone) || !validHost(l) {
			errs = append(errs, fmt.Errorf("service %q: %q is not a lower-case label of at most %d characters", f.Service, l, maxLabel-len("-"+spec.Green)))
		}
	}
	errs = append(errs, f.validateTargets(label))
	if f.Live != "" && !validPool(f.Live) {
		errs = append(errs, fmt.Errorf("service %q: live pool %q is neither blue nor green", f.Service, f.Live))
	}
	errs = append(errs, validateTTL("TTL of service", f.Service, f.TTL))
	for _, pool := range slices.Sorted(maps.Keys(f.Pools)) {
		if !validPool(pool) {
			errs = append(errs, fmt.Errorf("service %q: pool %q is neither blue nor green", f.Service, pool))
		}
		errs = append(errs, validateAddrs("service", f.Service, f.Pools[pool]))
	}
	for _, pool := range f.Carried {
		if !validPool(pool) {
			errs = append(errs, fmt.Errorf("service %q: carried pool %q is neither blue nor green", f.Service, pool))
		}
	}
	return errors.Join(append(errs, f.validateWeights())...)
}

// labels are those that the names of the flip are made of.
func (f Flip) labels(label string) []string {
	var labels []string
	if label != Apex {
		labels = append(labels, label)
	}
	if f.PoolName != "" || label == Apex {
		labels = append(labels, f.PoolName)
	}
	return labels
}

func (f Flip) validateTargets(label string) error {
	if len(f.Targets) == 0 {
		return nil
	}
	if label == Apex {
		return fmt.Errorf("service %q: at the zone's apex the addresses of the pools are answered, so it can't lead to other names", f.Service)
	}
	var errs []error
	for _, pool := range slices.Sorted(maps.Keys(f.Targets)) {
		if !validPool(pool) {
			errs = append(errs, fmt.Errorf("service %q: target of pool %q, which is neither blue nor green", f.Service, pool))
		}
		if _, err := zone.ParseName(f.Targets[pool]); err != nil {
			errs = append(errs, fmt.Errorf("service %q: target of pool %s: %w", f.Service, pool, err))
		}
	}
	if len(f.Targets) != 2 {
		errs = append(errs, fmt.Errorf("service %q: targets are of both pools or of none", f.Service))
	}
	return errors.Join(errs...)
}

func (f Flip) validateWeights() error {
	if len(f.Weights) == 0 {
		return nil
	}
	var errs []error
	sum := 0
	for _, pool := range slices.Sorted(maps.Keys(f.Weights)) {
		w := f.Weights[pool]
		if !validPool(pool) {
			errs = append(errs, fmt.Errorf("service %q: weight for pool %q, which is neither blue nor green", f.Service, pool))
		}
		if w < 0 || w > 100 {
			errs = append(errs, fmt.Errorf("service %q: weight of pool %s must be 0 to 100 percent, got %d", f.Service, pool, w))
			continue
		}
		sum += w
	}
	if sum != 100 {
		errs = append(errs, fmt.Errorf("service %q: weights must sum to 100 percent, got %d", f.Service, sum))
	}
	return errors.Join(errs...)
}

func validateTTL(what, name string, ttl spec.Duration) error {
	if ttl.Std() < time.Second || ttl.Std() > maxTTL {
		return fmt.Errorf("%s %q must be at least 1s and at most %s, got %s", what, name, maxTTL, ttl)
	}
	return nil
}

func validateAddrs(what, name string, addrs []netip.Addr) error {
	var errs []error
	for _, a := range addrs {
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			errs = append(errs, fmt.Errorf("%s %q: %s is not an address that users can reach", what, name, a))
		}
	}
	return errors.Join(errs...)
}

func validPool(pool string) bool { return pool == spec.Blue || pool == spec.Green }

// validHost tells whether name is a host name in lower case, RFC 1123 section
// 2.1, without a final dot.
func validHost(name string) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

// inZone tells whether a plain host name is the zone's apex or below it.
func inZone(host, zone string) bool { return host == zone || strings.HasSuffix(host, "."+zone) }
