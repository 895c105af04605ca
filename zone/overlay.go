package zone

import (
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// Clash says why a node can't be laid over a zone's own data.
type Clash struct {
	Name  Name   // of the node
	At    Name   // the name of the zone's own data that it clashes with
	What  string // what is there: "a CNAME", "a zone cut", "a DNAME"
	Place string // where that was written: "file:line", or ""
}

// Error tells the two names and the place.
func (c *Clash) Error() string {
	where := c.Place
	if where != "" {
		where += ": "
	}
	if c.Name == c.At {
		return fmt.Sprintf("%s%s is %s already: remove that, or use another name", where, c.At, c.What)
	}
	return fmt.Sprintf("%s%s is %s, which hides %s below it: remove that, or use another name", where, c.At, c.What, c.Name)
}

// With returns the zone's own data with another serial and with nodes laid
// over it, in place of an overlay that z may have. A node replaces the own
// node of its name; names between it and the apex come into being. Its work
// is for the overlay alone, whatever the size of the zone. Nodes may be used
// in several zones and belong to them from now on.
//
// The error is a [*Clash] where a node would be hidden by the zone's own
// data, or would hide what an alias or a delegation is for.
func (z *Zone) With(serial uint32, overlay []*Node) (*Zone, error) {
	apex := z.own.order[0]
	laid := make(map[Name]*Node, 2*len(overlay))
	for _, node := range overlay {
		if node.Name == apex.Name {
			apex = node
			continue
		}
		if err := z.admit(node); err != nil {
			return nil, fmt.Errorf("lay %s over zone %s: %w", node.Name, z.Origin(), err)
		}
		laid[node.Name] = node
	}
	depth := z.own.depth
	for _, node := range overlay {
		depth = max(depth, node.Name.Labels())
		for name := node.Name; name != apex.Name; name = name.Parent() {
			if laid[name] == nil && z.own.nodes[name] == nil {
				laid[name] = z.empty(name)
			}
		}
	}
	apex, err := z.apexWith(apex, serial)
	if err != nil {
		return nil, err
	}
	return zoneOf(z.own, apex, laid, depth), nil
}

// empty returns the empty non-terminal of a name, the same one as before if
// there was one.
func (z *Zone) empty(name Name) *Node {
	if node := z.overlay[name]; node != nil && node.Unit == "" && len(node.Sets)+len(node.Choices) == 0 {
		return node
	}
	return &Node{Name: name}
}

// admit returns why a node can't be laid over the zone's own data.
func (z *Zone) admit(node *Node) error {
	if !node.Name.Under(z.Origin()) {
		return errOutside
	}
	for _, set := range slices.Concat(node.Sets, choiceSets(node)) {
		if set.Type == dns.TypeNS || set.Type == dns.TypeDNAME {
			return errTurns
		}
	}
	name := node.Name
	for z.own.nodes[name] == nil {
		name = name.Parent()
	}
	at := z.own.nodes[name]
	if at.above != nil {
		at = at.above
	}
	var what string
	switch {
	case at.delegates(z.Origin()):
		what = "a zone cut"
	case at.Set(dns.TypeDNAME) != nil:
		what = "a DNAME"
	case at.Name == node.Name && at.Set(dns.TypeCNAME) != nil:
		what = "a CNAME"
	default:
		return nil
	}
	return &Clash{Name: node.Name, At: at.Name, What: what, Place: z.own.placeOf(at)}
}

func choiceSets(node *Node) (sets []Set) {
	for _, c := range node.Choices {
		sets = append(sets, c.Sets...)
	}
	return sets
}

// apexWith returns a copy of an apex with the serial set. One without a SOA
// record gets that of the zone's own data.
func (z *Zone) apexWith(node *Node, serial uint32) (*Node, error) {
	own := z.own.order[0]
	if node.Set(dns.TypeCNAME) != nil || node.Set(dns.TypeNS) == nil {
		return nil, fmt.Errorf("lay %s over its zone: %w", node.Name, errApex)
	}
	if (node.Set(dns.TypeDNAME) != nil) != (own.Set(dns.TypeDNAME) != nil) {
		return nil, fmt.Errorf("lay %s over its zone: %w", node.Name, errTurns)
	}
	set := node.Set(dns.TypeSOA)
	if set == nil {
		set = own.Set(dns.TypeSOA)
	}
	soa, ok := dns.Copy(set[0]).(*dns.SOA)
	if !ok {
		return nil, fmt.Errorf("lay %s over its zone: %w", node.Name, errApex)
	}
	soa.Serial = serial
	apex := &Node{Name: own.Name, Choices: node.Choices, Unit: node.Unit, place: own.place}
	apex.Sets = make([]Set, 0, len(node.Sets)+1)
	for _, s := range node.Sets {
		if s.Type != dns.TypeSOA {
			apex.Sets = append(apex.Sets, s)
		}
	}
	apex.Sets = merged(apex.Sets, []Set{{Type: dns.TypeSOA, RRs: []dns.RR{soa}}})
	return apex, nil
}
