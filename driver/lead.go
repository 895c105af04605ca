package driver

import (
	"net/netip"
	"slices"

	"switchd/dnsproof"
	"switchd/spec"
)

// lead is a name that users ask for, and where it leads to for each pool.
type lead struct {
	zone    string
	name    string
	targets map[string]string // by pool
	// addrs are those of the pools by pool, if the name is a zone's apex: it
	// has addresses of its own.
	addrs map[string][]netip.Addr
}

// leadOf is the name of a service in a zone.
func leadOf(s spec.Service, zone string) lead {
	l := lead{zone: zone, name: s.Switch.FQDN(zone), targets: make(map[string]string)}
	for _, pool := range []string{spec.Blue, spec.Green} {
		l.targets[pool] = s.Switch.Targets[pool]
		if l.targets[pool] == "" {
			l.targets[pool] = s.Switch.PoolName(s.Name) + "-" + pool + "." + zone
		}
	}
	return l
}

func (l lead) fqdn() string { return l.name }

func (l lead) apex() bool { return l.name == l.zone }

// shows tells whether a reply leads to a pool.
func (l lead) shows(r dnsproof.Reply, pool string) bool {
	if r.Target != "" && r.Target != l.targets[pool] {
		return false
	}
	if !l.apex() {
		return r.Target != ""
	}
	strange := slices.ContainsFunc(r.Addrs, func(a netip.Addr) bool { return !slices.Contains(l.addrs[pool], a) })
	return !strange && len(r.Addrs) > 0
}

// isLed tells whether a reply leads to one of the pools by its name, which an
// apex does too, along with addresses.
func (l lead) isLed(r dnsproof.Reply) bool {
	return r.Target != "" && (r.Target == l.targets[spec.Blue] || r.Target == l.targets[spec.Green])
}

// words says where a reply leads: to a pool if it is one of the two.
func (l lead) words(r dnsproof.Reply) string {
	for _, pool := range []string{spec.Blue, spec.Green} {
		if l.shows(r, pool) {
			return pool
		}
	}
	return r.String()
}
