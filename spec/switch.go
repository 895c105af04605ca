package spec

import (
	"strings"
	"time"
)

// Switch says how users are led to a pool by a name in DNS. It is zero for a
// service that is switched in the mesh alone: see Named.
type Switch struct {
	Kind string `json:"kind"` // SwitchDNS or SwitchDNSUpdate
	// Name is the label in the environment's zone, or SwitchApex for the zone
	// itself. With SwitchDNSUpdate it is one label or several, relative to
	// Zone.
	Name string `json:"name"`
	// TTL of the service's name, and ArmedTTL while a rollout may lead it
	// elsewhere: see InForce.
	TTL      Duration `json:"ttl"`
	ArmedTTL Duration `json:"armed_ttl"`
	// Targets are the host names that the service's name leads to, by pool,
	// instead of the pool's own name; both pools or none.
	Targets map[string]string `json:"targets,omitempty"`
	// Server is the primary of Zone, as IP:PORT, and Key the name of the TSIG
	// key that it takes updates by. SwitchDNSUpdate has the three.
	Server string `json:"server,omitempty"`
	Zone   string `json:"zone,omitempty"`
	Key    string `json:"key,omitempty"`
}

// The kinds of switches.
const (
	SwitchDNS       = "dns"        // flips a name in the environment's zone
	SwitchDNSUpdate = "dns-update" // flips a CNAME in somebody's own zone, RFC 2136
)

// SwitchApex is the Name of a switch that flips the zone's apex, where no
// CNAME may stand: its addresses are those of the live pool.
const SwitchApex = "@"

// Named tells whether there is a name in DNS that leads users.
func (s Switch) Named() bool { return s.Name != "" }

// InForce is the TTL that the service's name has now.
func (s Switch) InForce(armed bool) Duration {
	if armed && s.ArmedTTL > 0 {
		return s.ArmedTTL
	}
	return s.TTL
}

// PoolName is the label that the names of the service's pools begin with.
func (s Switch) PoolName(service string) string {
	if s.Name == SwitchApex {
		return service
	}
	return s.Name
}

// Settles is how long after a name was armed everywhere some cache may hold
// what it was told before; the second is for answers that were on their way.
func (s Switch) Settles() time.Duration {
	if !s.Named() {
		return 0
	}
	return s.TTL.Std() + time.Second
}

// SwitchKinds are the kinds of switches. One of the first two leads by DNS; the
// last one may stand beside it, or alone.
func SwitchKinds() []string { return []string{SwitchDNS, SwitchDNSUpdate, SwitchResolver} }

func (s *Switch) form() form {
	name := switchNameRule()
	if s.Kind == SwitchDNSUpdate {
		name = domainRule()
	}
	return form{
		attrs: []attr{
			text("name", &s.Name, name),
			seconds("ttl", &s.TTL, day),
			seconds("armed_ttl", &s.ArmedTTL, day),
			textMap("targets", &s.Targets, oneOf(Blue, Green), domainRule()),
			text("server", &s.Server, endpointRule()),
			text("zone", &s.Zone, domainRule()),
			text("key", &s.Key, keyRule()),
		},
		check: s.validate,
	}
}

func (s *Switch) validate(at scope) {
	if s.ArmedTTL > s.TTL {
		at.wrong("armed_ttl", "Armed TTL too long", "armed_ttl is %v and ttl is %v, but a rollout may only shorten what caches keep. Make armed_ttl at most %[2]v.", s.ArmedTTL, s.TTL)
	}
	for _, colour := range []string{Blue, Green} {
		if len(s.Targets) > 0 && s.Targets[colour] == "" {
			at.wrong("targets", "Missing target", "targets has no %q. Name the host that each of the two pools is reached by.", colour)
		}
	}
	if len(s.Targets) > 0 && s.Targets[Blue] == s.Targets[Green] {
		at.wrong("targets", "One target for both pools", "Both pools have the target %q, so that a switch would change nothing. Give each its own.", s.Targets[Blue])
	}
	own := map[string]string{"server": s.Server, "zone": s.Zone, "key": s.Key}
	for _, name := range []string{"server", "zone", "key"} {
		switch update := s.Kind == SwitchDNSUpdate; {
		case own[name] != "" && !update:
			at.wrong(name, "Not for this switch", "A switch of kind %q takes no %s: it is answered by switchd itself. Remove it, or choose the kind %q.", s.Kind, name, SwitchDNSUpdate)
		case own[name] == "" && update:
			at.wrong("", "Missing "+name, "A switch of kind %q needs %s, such as: %[2]s = %[3]q", s.Kind, name, map[string]string{
				"server": "192.0.2.53:53", "zone": "example.net", "key": "switchd",
			}[name])
		}
	}
	switch {
	case s.Kind == SwitchDNSUpdate && len(s.Targets) == 0:
		at.wrong("", "Missing targets", "A switch of kind %q needs targets, such as: targets = { blue = \"web-blue.example.net\", green = \"web-green.example.net\" }", s.Kind)
	case s.Name == SwitchApex && len(s.Targets) > 0:
		at.wrong("targets", "No targets at the apex", "The zone's own name can't be a CNAME (RFC 1034 section 3.6.2): it has the addresses of the live pool, and targets are names. Remove targets, or give the service a name below the zone.")
	}
}

// complete fills in what depends on other values.
func (s *Switch) complete() {
	if s.ArmedTTL == 0 {
		s.ArmedTTL = min(defaultArmedTTL, s.TTL)
	}
}

func (s *Switch) settle(e Environment, at scope) {
	if !s.Named() {
		return
	}
	if s.Kind == SwitchDNSUpdate {
		s.settleUpdate(e, at)
		return
	}
	if e.Zone == nil {
		at.wrong("switch", "No zone", "Services are switched in DNS, but environment %q has no zone. Add one, such as: zone \"apps.test\" { name_servers = [\"ns1.apps.test\"] }, or switch the service in Consul's mesh alone: switch %q {}", e.Name, SwitchResolver)
		return
	}
	for _, colour := range []string{Blue, Green} {
		if target := s.Targets[colour]; within(target, e.Zone.Name) {
			at.wrong("switch.targets", "Target in the zone", "The target %q of pool %q is inside of the zone %q, where pools have names of their own. Remove targets, or name hosts outside.", target, colour, e.Zone.Name)
		}
	}
}

func (s *Switch) settleUpdate(e Environment, at scope) {
	if e.Zone != nil && e.Zone.Name == s.Zone {
		at.wrong("switch.zone", "Own zone", "The zone %q is the one that switchd answers for itself, and takes no updates. Choose the kind %q.", s.Zone, SwitchDNS)
	}
	for _, colour := range []string{Blue, Green} {
		if target := s.Targets[colour]; target == s.FQDN(s.Zone) {
			at.wrong("switch.targets", "Target is the name itself", "The target of pool %q is %q, which is the name that is switched. Name the host that the pool is reached by.", colour, target)
		}
	}
}

// FQDN is the switched name in a zone, without a final dot.
func (s Switch) FQDN(zone string) string {
	if s.Name == SwitchApex {
		return zone
	}
	return s.Name + "." + zone
}

// within tells whether a name is a zone's or below it.
func within(name, zone string) bool { return name == zone || strings.HasSuffix(name, "."+zone) }
