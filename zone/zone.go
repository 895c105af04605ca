package zone

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/miekg/dns"
)

// Zone is the data of a zone. It is immutable and safe for concurrent use.
type Zone struct {
	own     *data
	apex    *Node          // as it stands in this zone, with its serial
	overlay map[Name]*Node // without the apex
	depth   int            // labels of the longest name

	soa      *dns.SOA
	negative []dns.RR // the SOA as negative answers carry it (RFC 2308, section 5)
}

// data is what a zone was made from. All zones with the same own data share
// it.
type data struct {
	nodes    map[Name]*Node
	order    []*Node // the apex first, a parent before its children
	depth    int
	files    []string
	warnings []string
}

// Record is a resource record and the place where it was written.
type Record struct {
	RR   dns.RR
	File string
	Line int
}

// zoneOf makes a zone of data and the apex as it is to be.
func zoneOf(own *data, apex *Node, overlay map[Name]*Node, depth int) *Zone {
	soa := apex.Set(dns.TypeSOA)[0].(*dns.SOA) // New and With see to it
	negative := *soa
	negative.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return &Zone{own: own, apex: apex, overlay: overlay, depth: depth, soa: soa, negative: []dns.RR{&negative}}
}

// Origin returns the name of the apex.
func (z *Zone) Origin() Name { return z.apex.Name }

// Serial returns the serial of the SOA record (RFC 1982).
func (z *Zone) Serial() uint32 { return z.soa.Serial }

// SOA returns the SOA record. It is not to be modified.
func (z *Zone) SOA() *dns.SOA { return z.soa }

// Negative returns the SOA record as negative answers carry it: with the TTL
// lowered to its MINIMUM field (RFC 2308, section 5). It is not to be
// modified.
func (z *Zone) Negative() *dns.SOA { return z.negative[0].(*dns.SOA) }

// Same tells whether both zones share their own data, so that they differ in
// the serial and the overlay alone.
func (z *Zone) Same(o *Zone) bool { return z.own == o.own }

// Warnings returns what is odd in the zone's own data and served all the same.
func (z *Zone) Warnings() []string { return slices.Clone(z.own.warnings) }

// Overlay returns the nodes that lie over the zone's own data by name, with
// the empty non-terminals they made. It is not to be modified.
func (z *Zone) Overlay() map[Name]*Node { return z.overlay }

// Place returns where the first record of a name was written in the zone's
// own data, as "file:line", or "".
func (z *Zone) Place(n Name) string {
	node := z.own.nodes[n]
	if node == nil {
		return ""
	}
	return z.own.placeOf(node)
}

func (d *data) placeOf(n *Node) string {
	if n.place.line == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", d.files[n.place.file], n.place.line)
}

// Node returns the node of a name in lower-case wire form, or nil. It does
// not allocate.
func (z *Zone) Node(lower []byte) *Node {
	if node, ok := z.overlay[Name(lower)]; ok {
		return node
	}
	if string(lower) == string(z.apex.Name) {
		return z.apex
	}
	return z.own.nodes[Name(lower)]
}

// Encloser returns the node of a name in lower-case wire form, or else of its
// closest ancestor that exists (RFC 4592, section 3.3.1). The name is within
// the zone. It does not allocate.
func (z *Zone) Encloser(lower []byte) *Node {
	labels := 0
	for rest := lower; rest[0] != 0; rest = rest[int(rest[0])+1:] {
		labels++
	}
	for ; labels > z.depth; labels-- {
		lower = lower[int(lower[0])+1:]
	}
	for {
		if node := z.Node(lower); node != nil {
			return node
		}
		lower = lower[int(lower[0])+1:]
	}
}

// wildcard returns the wildcard right below a node, or nil.
func (z *Zone) wildcard(node *Node) *Node {
	var buf [maxWire + 2]byte
	return z.Node(append(append(buf[:0], 1, '*'), node.Name...))
}

// Nodes returns all nodes, the apex first.
func (z *Zone) Nodes() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if !yield(z.apex) {
			return
		}
		for _, node := range z.own.order[1:] {
			if _, over := z.overlay[node.Name]; over {
				continue
			}
			if !yield(node) {
				return
			}
		}
		for _, name := range slices.SortedFunc(maps.Keys(z.overlay), cmp.Compare[Name]) {
			if !yield(z.overlay[name]) {
				return
			}
		}
	}
}

// Records returns all records, the SOA first. Of choices it has the first one
// with weight.
func (z *Zone) Records() iter.Seq[dns.RR] {
	return func(yield func(dns.RR) bool) {
		if !yield(z.soa) {
			return
		}
		for node := range z.Nodes() {
			for _, set := range node.Published() {
				if set.Type == dns.TypeSOA {
					continue
				}
				for _, rr := range set.RRs {
					if !yield(rr) {
						return
					}
				}
			}
		}
	}
}
