package zone

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// maxTTL is the longest TTL (RFC 2181, section 8), in seconds.
const maxTTL = 1<<31 - 1

// New makes a zone of records. The error lists what keeps it from being
// served, each with the place of the record.
func New(origin Name, records []Record) (*Zone, error) {
	b := builder{
		origin: origin,
		own:    &data{nodes: make(map[Name]*Node)},
		files:  make(map[string]int32),
		wire:   make([]byte, dns.MaxMsgSize),
	}
	b.ensure([]byte(origin))
	owners := b.owners(records)
	b.sets(records, owners)
	b.occlude()
	b.checkTargets()
	if err := b.faults.err(); err != nil {
		return nil, fmt.Errorf("load zone %s: %w", origin, err)
	}
	b.own.warnings = b.warnings.list()
	return zoneOf(b.own, b.own.order[0], nil, b.own.depth), nil
}

// builder turns records into the nodes of a zone.
type builder struct {
	origin   Name
	own      *data
	slab     []Node // nodes to come, made many at a time
	files    map[string]int32
	wire     []byte // to pack records into
	faults   messages
	warnings messages
}

// owner says of a record which node it belongs to; of one that can't be
// served, -1.
type owner struct {
	node   int32
	record int32
}

// ensure returns the position of a name's node, and makes it and those above
// it if need be.
func (b *builder) ensure(name []byte) *Node {
	if node, ok := b.own.nodes[Name(name)]; ok {
		return node
	}
	if len(name) > len(b.origin) {
		b.ensure(name[int(name[0])+1:])
	}
	if len(b.slab) == 0 {
		b.slab = make([]Node, 256)
	}
	node := &b.slab[0]
	b.slab = b.slab[1:]
	node.Name = Name(name)
	node.index = int32(len(b.own.order)) // maxRecords bounds the nodes.
	b.own.nodes[node.Name] = node
	b.own.order = append(b.own.order, node)
	return node
}

// owners finds the node of each record and returns them by node and type.
func (b *builder) owners(records []Record) []owner {
	owners := make([]owner, 0, len(records))
	var buf [maxWire]byte
	var last string
	var node *Node
	for i, r := range records {
		header := r.RR.Header()
		if header.Name != last || node == nil {
			wire, err := appendName(buf[:0], header.Name)
			if err != nil {
				b.fault(r, "the owner %q is no domain name: %v", header.Name, err)
				continue
			}
			if !within(wire, b.origin) {
				b.fault(r, "%s is outside of the zone %s: move it to its own zone's file", header.Name, b.origin)
				continue
			}
			node, last = b.ensure(wire), header.Name
		}
		if node.place.line == 0 {
			node.place = b.place(r)
		}
		owners = append(owners, owner{node: node.index, record: int32(i)}) // bounded as above
	}
	for _, node := range b.own.order {
		b.own.depth = max(b.own.depth, node.Name.Labels())
	}
	slices.SortFunc(owners, func(x, y owner) int {
		return cmp.Or(
			cmp.Compare(x.node, y.node),
			cmp.Compare(records[x.record].RR.Header().Rrtype, records[y.record].RR.Header().Rrtype),
			cmp.Compare(x.record, y.record),
		)
	})
	return owners
}

func within(wire []byte, origin Name) bool {
	return bytes.HasSuffix(wire, []byte(origin)) && Name(wire).Under(origin)
}

func (b *builder) place(r Record) place {
	index, ok := b.files[r.File]
	if !ok {
		index = int32(len(b.own.files)) // far fewer than records
		b.files[r.File] = index
		b.own.files = append(b.own.files, r.File)
	}
	return place{file: index, line: int32(r.Line)} // a line holds a record, or little
}

// sets gives each node its RRsets.
func (b *builder) sets(records []Record, owners []owner) {
	rrs := make([]dns.RR, 0, len(owners)) // all of them, so that sets are parts of it
	var sets, own []Set
	var group []Record
	for len(owners) > 0 {
		node := b.own.order[owners[0].node]
		own = own[:0]
		for len(owners) > 0 && owners[0].node == node.index {
			rrtype := records[owners[0].record].RR.Header().Rrtype
			group = group[:0]
			for len(owners) > 0 && owners[0].node == node.index && records[owners[0].record].RR.Header().Rrtype == rrtype {
				group = append(group, records[owners[0].record])
				owners = owners[1:]
			}
			group = b.checkSet(node, rrtype, group)
			if len(group) == 0 {
				continue
			}
			start := len(rrs)
			for _, r := range group {
				rrs = append(rrs, r.RR)
			}
			own = append(own, Set{Type: rrtype, RRs: rrs[start:len(rrs):len(rrs)]})
		}
		if len(own) > cap(sets)-len(sets) {
			sets = make([]Set, 0, max(len(own), 256))
		}
		start := len(sets)
		sets = append(sets, own...)
		node.Sets = sets[start:len(sets):len(sets)]
		b.checkNode(node)
	}
	b.checkApex()
}

// occlude finds what lies below zone cuts and DNAMEs. Parents come before
// their children.
func (b *builder) occlude() {
	for _, node := range b.own.order[1:] {
		parent := b.own.nodes[node.Name.Parent()]
		if node.above = parent.above; node.above == nil && parent.turns(b.origin) {
			node.above = parent
		}
		if node.above == nil {
			continue
		}
		for _, set := range node.Sets {
			// Addresses of name servers have to be there (RFC 1034, section 4.2.1).
			if node.above.delegates(b.origin) && (set.Type == dns.TypeA || set.Type == dns.TypeAAAA) {
				continue
			}
			b.warn(node.place, "%s %s is below %s, which hides it", node.Name, typeName(set.Type), node.above.Name)
		}
	}
}
