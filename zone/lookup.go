package zone

import (
	"slices"

	"github.com/miekg/dns"
)

// maxChain is how many aliases of a chain are followed; what would come after
// is the resolver's to ask.
const maxChain = 20

// maxHosts is for how many hosts addresses are added; those of more would
// hardly fit into a message.
const maxHosts = 100

// Lookup answers a question by RFC 1034, section 4.3.2, with wildcards as in
// RFC 4592, DNAME as in RFC 6672, negative answers as in RFC 2308 and one
// RRset for ANY (RFC 8482). It follows aliases within the zone. The name is
// within the zone. Where a node has choices, pick is given the sum of their
// weights and returns a number from 0 to below it.
func (z *Zone) Lookup(name Name, qtype uint16, pick func(total int) int) Result {
	q := question{zone: z, qtype: qtype, pick: pick, name: name, owner: name.String()}
	q.result = Result{Authoritative: true, Optional: true, Chosen: -1, Shared: true}
	if !name.Under(z.Origin()) {
		q.result.Authoritative = false
		q.result.Rcode = dns.RcodeRefused
		return q.result
	}
	for q.step() {
		if len(q.seen) == maxChain || slices.Contains(q.seen, q.name) || !q.name.Under(z.Origin()) {
			break
		}
	}
	if !q.referred {
		q.additional(q.result.Answer)
	}
	return q.result
}

// question is a lookup under way.
type question struct {
	zone   *Zone
	qtype  uint16
	pick   func(total int) int
	name   Name   // that is looked for now
	owner  string // the same as the answer's records are to have it
	seen   []Name // those before, in a chain of aliases
	result Result

	referred bool
}

// step looks for the name and tells whether there is an alias to follow.
func (q *question) step() bool {
	node := q.zone.Encloser([]byte(q.name))
	exact := len(node.Name) == len(q.name)
	first := q.seen == nil
	q.seen = append(q.seen, q.name)
	if first {
		q.result.Node, q.result.Exact = node, exact
	}
	q.touch(node)

	turn, below := node, !exact
	if node.above != nil {
		turn, below = node.above, true
	}
	switch {
	case turn.delegates(q.zone.Origin()) && (below || q.qtype != dns.TypeDS):
		return q.refer(turn, first)
	case below && turn.Set(dns.TypeDNAME) != nil:
		return q.substitute(turn)
	case exact:
		return q.answer(node, first)
	}

	wild := q.zone.wildcard(node)
	if wild == nil {
		q.result.Rcode = dns.RcodeNameError
		q.deny(NoName, nil)
		return false
	}
	q.touch(wild)
	return q.answer(wild, false)
}

// answer takes the answer from a node: the name's own, or the wildcard that
// covers it. It tells whether there is an alias to follow.
func (q *question) answer(node *Node, first bool) bool {
	sets := merged(node.Sets, q.choose(node, first))
	qtype := q.qtype
	if qtype == dns.TypeANY {
		qtype = one(sets)
	}
	if rrs := find(sets, qtype); rrs != nil {
		q.add(owned(rrs, node, q.name, q.owner))
		return false
	}
	if rrs := find(sets, dns.TypeCNAME); rrs != nil {
		q.add(owned(rrs, node, q.name, q.owner))
		alias, ok := rrs[0].(*dns.CNAME)
		return ok && q.follow(alias.Target)
	}
	q.deny(NoData, sets)
	return false
}

// one returns the type that stands for all of a name's: the lowest that is
// data and not about data.
func one(sets []Set) uint16 {
	for _, set := range sets {
		if set.Type != dns.TypeRRSIG && set.Type != dns.TypeNSEC {
			return set.Type
		}
	}
	return dns.TypeNone
}

// choose returns the sets of one of the node's choices.
func (q *question) choose(node *Node, first bool) []Set {
	total := 0
	for _, c := range node.Choices {
		total += c.Weight
	}
	if total == 0 {
		return nil
	}
	at := q.pick(total)
	for i, c := range node.Choices {
		if at -= c.Weight; at >= 0 {
			continue
		}
		if first {
			q.result.Chosen = i
		} else {
			q.result.Random = true
		}
		return c.Sets
	}
	return nil
}

// add puts an RRset into the answer, unless a loop came by there already: it
// is in a message once (RFC 2181, section 5.5).
func (q *question) add(rrs []dns.RR) {
	if !slices.Contains(q.result.Answer, rrs[0]) {
		q.result.Answer = append(q.result.Answer, rrs...)
	}
}

// owned returns a node's records as those of a name, which are copies where a
// wildcard gives them (RFC 4592, section 3.3.3).
func owned(rrs []dns.RR, node *Node, name Name, owner string) []dns.RR {
	if node.Name == name {
		return rrs
	}
	copies := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		copies[i] = dns.Copy(rr)
		copies[i].Header().Name = owner
	}
	return copies
}

// follow sets the name that is looked for next.
func (q *question) follow(target string) bool {
	name, err := ParseName(target)
	if err != nil {
		return false
	}
	q.name, q.owner = name, target
	return true
}

// substitute rewrites the name by a DNAME above it (RFC 6672, section 3.2).
func (q *question) substitute(node *Node) bool {
	rrs := node.Set(dns.TypeDNAME)
	q.add(rrs)
	dname, ok := rrs[0].(*dns.DNAME)
	if !ok {
		return false
	}
	target, err := ParseName(dname.Target)
	if err != nil {
		return false
	}
	prefix := q.name[:len(q.name)-len(node.Name)]
	if len(prefix)+len(target) > maxWire {
		q.result.Rcode = dns.RcodeYXDomain
		return false
	}
	owner := q.owner
	q.name = prefix + target
	q.owner = q.name.String()
	q.result.Answer = append(q.result.Answer, &dns.CNAME{
		Hdr:    dns.RR_Header{Name: owner, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: dname.Hdr.Ttl},
		Target: q.owner,
	})
	return q.qtype != dns.TypeCNAME
}

// refer ends the lookup at a zone cut. The answer stays authoritative where
// aliases led there.
func (q *question) refer(cut *Node, first bool) bool {
	q.referred = true
	q.result.Cut = cut
	q.result.Optional = false
	if first {
		q.result.Authoritative = false
	}
	q.result.Authority = cut.Set(dns.TypeNS)
	if cut.Set(dns.TypeDS) == nil {
		q.result.Denied = &Denial{Kind: NoDS, Name: cut.Name, Types: types(cut.Sets)}
	}
	q.additional(q.result.Authority)
	return false
}

// deny says that the name or the type is not there.
func (q *question) deny(kind Kind, sets []Set) {
	q.result.Authority = q.zone.negative
	q.result.Denied = &Denial{Kind: kind, Name: q.name, Types: types(sets)}
}

func types(sets []Set) []uint16 {
	list := make([]uint16, len(sets))
	for i, set := range sets {
		list[i] = set.Type
	}
	return list
}

// additional adds the addresses of the hosts that records name.
func (q *question) additional(rrs []dns.RR) {
	var buf [maxWire]byte
	var done []Name
	for _, rr := range rrs {
		host, ok := hostOf(rr)
		if !ok {
			continue
		}
		wire, err := appendName(buf[:0], host)
		if err != nil || !within(wire, q.zone.Origin()) {
			continue
		}
		name := Name(wire)
		if len(done) == maxHosts {
			return
		}
		if slices.Contains(done, name) {
			continue
		}
		done = append(done, name)
		node := q.source(name)
		if node == nil {
			continue
		}
		q.touch(node)
		sets := merged(node.Sets, q.choose(node, false))
		for _, rrtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			q.result.Additional = append(q.result.Additional, owned(find(sets, rrtype), node, name, host)...)
		}
	}
}

// source returns the node that has the data of a name, be it glue: its own or
// the wildcard that covers it.
func (q *question) source(name Name) *Node {
	node := q.zone.Encloser([]byte(name))
	if node.Name == name {
		return node
	}
	q.touch(node)
	if node.above != nil || node.turns(q.zone.Origin()) {
		return nil
	}
	return q.zone.wildcard(node)
}

// touch notes that the answer depends on a node.
func (q *question) touch(node *Node) {
	if node.Unit != "" && node.Unit != q.result.Node.Unit {
		q.result.Shared = false
	}
}
