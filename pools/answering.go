package pools

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	"switchd/spec"
)

// Answering is the record of which nodes of a service DNS answers with. It is
// what health said when somebody last looked and wrote it, so that all who
// read it answer the same under the same serial.
type Answering struct {
	Pools map[string]Endpoints `json:"pools"` // by colour
	// Carried are the pools none of whose nodes passes: theirs are those that
	// passed last.
	Carried []string `json:"carried,omitempty"`

	// Index is the record's ModifyIndex in Consul, for CAS.
	Index uint64 `json:"-"`
}

// Endpoint is where a node's instance is reached.
type Endpoint struct {
	Address netip.Addr `json:"address"`
	Port    int        `json:"port"`
	Version string     `json:"version,omitempty"`
}

// Endpoints are sorted by address, port and version.
type Endpoints []Endpoint

// Next is the record that follows a, which may be nil, when health is now. A
// pool never becomes empty: that all nodes fail at once says more about the
// checks, or about Consul, than about the nodes; and if it is true, no answer
// is no better than one to a failing node.
func (a *Answering) Next(now map[string]Pool) *Answering {
	next := &Answering{Pools: make(map[string]Endpoints)}
	if a != nil {
		next.Index = a.Index
	}
	for _, colour := range []string{spec.Blue, spec.Green} {
		passing := now[colour].endpoints()
		if len(passing) == 0 && a != nil && len(a.Pools[colour]) > 0 {
			passing = a.Pools[colour]
			next.Carried = append(next.Carried, colour)
		}
		if len(passing) > 0 {
			next.Pools[colour] = passing
		}
	}
	return next
}

// Same tells whether two records say the same.
func (a *Answering) Same(b *Answering) bool {
	if a == nil || b == nil {
		return a == b
	}
	for _, colour := range []string{spec.Blue, spec.Green} {
		if !slices.Equal(a.Pools[colour], b.Pools[colour]) {
			return false
		}
	}
	return slices.Equal(a.Carried, b.Carried)
}

// ParseAnswering reads a record. It gives nil for an empty value.
func ParseAnswering(value []byte, index uint64) (*Answering, error) {
	if len(value) == 0 {
		return nil, nil //nolint:nilnil // no record yet is an ordinary state
	}
	var a Answering
	if err := json.Unmarshal(value, &a); err != nil {
		return nil, fmt.Errorf("parse the answering nodes: %w", err)
	}
	for colour, endpoints := range a.Pools {
		if colour != spec.Blue && colour != spec.Green {
			return nil, fmt.Errorf("parse the answering nodes: pool is %q, expected %q or %q", colour, spec.Blue, spec.Green)
		}
		for _, e := range endpoints {
			if !usable(e.Address) {
				return nil, fmt.Errorf("parse the answering nodes: no client can use the address %s", e.Address)
			}
		}
	}
	a.Index = index
	return &a, nil
}

// endpoints are those of the passing nodes. One that no client could use is
// left out.
func (p Pool) endpoints() Endpoints {
	var passing Endpoints
	for _, in := range p {
		addr, err := netip.ParseAddr(in.Address)
		if err == nil && in.Passing && usable(addr) {
			passing = append(passing, Endpoint{addr.Unmap(), in.Port, in.Version})
		}
	}
	slices.SortFunc(passing, Endpoint.compare)
	return slices.Compact(passing)
}

func usable(addr netip.Addr) bool {
	return addr.IsValid() && addr.Zone() == "" && !addr.IsUnspecified() && !addr.IsMulticast()
}

func (e Endpoint) compare(other Endpoint) int {
	return cmp.Or(e.Address.Compare(other.Address), cmp.Compare(e.Port, other.Port), cmp.Compare(e.Version, other.Version))
}

// Addresses are those of the nodes that run the version, sorted, or of all of
// them if none does or no version is given.
func (e Endpoints) Addresses(version string) []netip.Addr {
	running := func(one Endpoint) bool { return one.Version == version }
	anyVersion := version == "" || !slices.ContainsFunc(e, running)
	var addrs []netip.Addr
	for _, one := range e {
		if anyVersion || running(one) {
			addrs = append(addrs, one.Address)
		}
	}
	return slices.Compact(addrs)
}
