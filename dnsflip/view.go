// Package dnsflip is an authoritative DNS server whose answers are derived
// from the live records of services: each service's name is a CNAME to the
// name of its live pool, in the same answer with that pool's addresses.
package dnsflip

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"switchd/spec"
)

// View is everything that answers are made from. It is immutable once
// published.
type View struct {
	Zone spec.Zone `json:"zone"`
	// ZoneFile is the text of the zone's file (RFC 1035 section 5), on which
	// the flips lie; nil without one.
	ZoneFile []byte `json:"-"`
	Serial   uint32 `json:"serial"` // the zone's SOA serial, RFC 1982
	// At is when the view was last known to be what Consul holds.
	At    time.Time       `json:"at"`
	Flips map[string]Flip `json:"flips"` // by label within the zone, lower case; Apex for the zone itself
	// NameServerAddrs are the addresses of those of the zone's name servers
	// whose names are inside the zone, by host name.
	NameServerAddrs map[string][]netip.Addr `json:"name_server_addrs,omitempty"`
}

// Flip is one service's name and its two pools.
type Flip struct {
	Service string        `json:"service"`
	Live    string        `json:"live"` // the live pool; empty: no release is live yet
	TTL     spec.Duration `json:"ttl"`  // of the CNAME
	// Weights are the shares of answers by pool, in percent, while a share
	// is set; empty means that the live pool gets them all.
	Weights map[string]int `json:"weights,omitempty"`
	// Pools are the addresses of each pool's passing nodes.
	Pools map[string][]netip.Addr `json:"pools"`
	// PoolName is the label that the names of the pools begin with; empty:
	// the flip's own.
	PoolName string `json:"pool_name,omitempty"`
	// Port is the one of the pools' SRV records; 0: they have none.
	Port uint16 `json:"port,omitempty"`
	// Targets are names outside that are led to instead of the names of the
	// pools; empty or of both pools.
	Targets map[string]string `json:"targets,omitempty"`
	// Carried names the pools that have no passing node now and keep the
	// addresses that passed last. Publish sets it.
	Carried []string `json:"carried,omitempty"`
}

// Apex is the label of a flip of the zone's own name, which can't be a CNAME:
// the addresses of a pool are answered there as its own, and an HTTPS record in
// alias mode leads to the pool (RFC 9460 section 2.4.2).
const Apex = "@"

// normal returns a deep copy in one canonical form, so that two views that
// give the same answers are equal, and nothing of it is shared.
func (v View) normal() View {
	v.At = v.At.UTC().Round(0) // as it reads back from the last-known file
	v.Zone.NameServers = slices.Clone(v.Zone.NameServers)
	for i, host := range v.Zone.NameServers {
		v.Zone.NameServers[i] = plain(host)
	}
	flips := make(map[string]Flip, len(v.Flips))
	for label, f := range v.Flips {
		f.Pools = normalAddrs(f.Pools)
		f.Carried = normalList(f.Carried)
		var weights map[string]int
		for pool, w := range f.Weights {
			if weights == nil {
				weights = make(map[string]int, len(f.Weights))
			}
			weights[pool] = w
		}
		f.Weights = weights
		f.Targets = normalTargets(f.Targets)
		flips[label] = f
	}
	v.Flips = flips
	v.NameServerAddrs = normalAddrs(v.NameServerAddrs)
	return v
}

// sameAnswers tells whether two normal views differ in At alone.
func sameAnswers(a, b View) bool {
	if !maps.EqualFunc(a.Flips, b.Flips, Flip.equal) {
		return false
	}
	a.At, a.Flips, b.Flips = b.At, nil, nil
	return reflect.DeepEqual(a, b)
}

// equal tells whether two normal flips are the same. Each publish asks that of
// all flips.
func (f Flip) equal(g Flip) bool {
	return f.Service == g.Service && f.Live == g.Live && f.TTL == g.TTL && f.Port == g.Port && f.PoolName == g.PoolName &&
		maps.Equal(f.Weights, g.Weights) && maps.Equal(f.Targets, g.Targets) && slices.Equal(f.Carried, g.Carried) &&
		maps.EqualFunc(f.Pools, g.Pools, slices.Equal)
}

func normalAddrs(sets map[string][]netip.Addr) map[string][]netip.Addr {
	var normal map[string][]netip.Addr
	for name, addrs := range sets {
		if len(addrs) == 0 {
			continue
		}
		list := make([]netip.Addr, len(addrs))
		for i, a := range addrs {
			list[i] = a.Unmap()
		}
		slices.SortFunc(list, netip.Addr.Compare)
		if normal == nil {
			normal = make(map[string][]netip.Addr, len(sets))
		}
		normal[plain(name)] = slices.Compact(list)
	}
	return normal
}

func normalTargets(targets map[string]string) map[string]string {
	if len(targets) == 0 {
		return nil
	}
	normal := make(map[string]string, len(targets))
	for pool, host := range targets {
		normal[pool] = plain(host)
	}
	return normal
}

func normalList(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// plain writes a host name in lower case and without a final dot.
func plain(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// poolLabel is the label of a pool's name.
func poolLabel(label, pool string) string { return label + "-" + pool }
