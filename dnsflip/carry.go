package dnsflip

import (
	"net/netip"

	"switchd/spec"
)

// carry returns the view after, in which no pool has become empty: a pool
// without a passing node keeps the addresses that the view before had for it,
// and is named in its flip's Carried. That all nodes fail at once says more
// about the checks, or about Consul, than about the nodes; and if it is true,
// no answer is no better than one to a failing node. The view after is in its
// normal form, and is changed.
func carry(before, after View) View {
	for label, f := range after.Flips {
		last, ok := before.Flips[label]
		if !ok || last.Service != f.Service || before.Zone.Name != after.Zone.Name {
			continue
		}
		for _, pool := range []string{spec.Blue, spec.Green} {
			if len(f.Pools[pool]) > 0 || len(last.Pools[pool]) == 0 {
				continue
			}
			if f.Pools == nil {
				f.Pools = map[string][]netip.Addr{}
			}
			f.Pools[pool] = normalAddrs(last.Pools)[pool]
			f.Carried = normalList(append(f.Carried, pool))
		}
		after.Flips[label] = f
	}
	return after
}

// carried counts the pools that keep the addresses that passed last.
func (v View) carried() int {
	n := 0
	for _, f := range v.Flips {
		n += len(f.Carried)
	}
	return n
}
