package zone

import (
	"slices"
	"sync/atomic"

	"github.com/miekg/dns"
)

// Node is an existing name with what stands there. It is immutable, but for
// Memo.
type Node struct {
	Name Name
	// Sets are the RRsets in ascending order of type; an empty non-terminal
	// (RFC 4592, section 2.2.2) has none.
	Sets []Set
	// Choices are alternatives: for a question the Sets of one of them, taken
	// by weight, stand beside the node's own.
	Choices []Choice
	// Unit names what a node of an overlay is a part of; it is "" for the
	// zone's own data.
	Unit string
	// Memo is for whoever answers from the node; the zone never looks at it.
	Memo atomic.Value

	above *Node // the topmost zone cut or DNAME strictly above, in the zone's own data
	index int32 // among the zone's own nodes
	place place // of the first record
}

// Set is an RRset: records of one name, type and TTL, with their owner as it
// was written.
type Set struct {
	Type uint16
	RRs  []dns.RR
}

// Choice is one of a node's alternatives. Those without weight are never
// taken.
type Choice struct {
	Weight int
	Sets   []Set
}

// place is where a record was written: the index of the file and the line.
type place struct {
	file int32
	line int32
}

// Set returns the records of a type among the node's own, or nil.
func (n *Node) Set(rrtype uint16) []dns.RR { return find(n.Sets, rrtype) }

// find returns the records of a type; sets are few, so that a walk is the
// fastest way.
func find(sets []Set, rrtype uint16) []dns.RR {
	for i := range sets {
		if sets[i].Type == rrtype {
			return sets[i].RRs
		}
	}
	return nil
}

// Published returns the sets that a copy of the zone shows: the own ones and
// those of the first choice that has weight.
func (n *Node) Published() []Set {
	for _, c := range n.Choices {
		if c.Weight > 0 {
			return merged(n.Sets, c.Sets)
		}
	}
	return n.Sets
}

// merged returns both lists in order of type.
func merged(a, b []Set) []Set {
	if len(b) == 0 {
		return a
	}
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(x, y Set) int { return int(x.Type) - int(y.Type) })
	return all
}

// delegates tells whether the node is a zone cut within the zone of that
// origin.
func (n *Node) delegates(origin Name) bool {
	return n.Set(dns.TypeNS) != nil && len(n.Name) != len(origin)
}

// turns tells whether the node is a zone cut or has a DNAME, so that the
// zone's data ends here.
func (n *Node) turns(origin Name) bool {
	return n.delegates(origin) || n.Set(dns.TypeDNAME) != nil
}
