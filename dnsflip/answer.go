package dnsflip

import (
	"math/rand/v2"
	"strings"

	"github.com/miekg/dns"
)

// answer returns the reply to a query. It depends on nothing but its
// arguments and changes none. The reply, packed, is no longer than limit
// bytes: what has no room is left out and TC set. What is left of an address
// set is a random part of it, of use to a client that can't come by TCP.
//
// A query that could not be parsed is given without its sections.
func answer(s *snapshot, query *dns.Msg, limit int, r *rand.Rand) *dns.Msg {
	// Only these are taken from the query's header; AD, CD, RA, TC and Z are
	// clear in every reply (RFC 1035 section 4.1.1, RFC 8906 section 3).
	reply := &dns.Msg{MsgHdr: dns.MsgHdr{
		Id:               query.Id,
		Response:         true,
		Opcode:           query.Opcode,
		RecursionDesired: query.RecursionDesired,
	}}
	if len(query.Question) == 1 {
		reply.Question = query.Question // verbatim, as 0x20 wants it
	}
	opts := options(query)
	switch {
	case query.Opcode == dns.OpcodeNotify, query.Opcode == dns.OpcodeUpdate:
		reply.Rcode = dns.RcodeRefused // Consul is the only writer of the zone
	case query.Opcode != dns.OpcodeQuery:
		reply.Rcode = dns.RcodeNotImplemented
	case len(query.Question) != 1: // RFC 9619
		reply.Rcode = dns.RcodeFormatError
	case len(opts) > 1, len(opts) == 1 && opts[0].Hdr.Name != ".": // RFC 6891 section 6.1
		reply.Rcode = dns.RcodeFormatError
	case len(opts) == 1 && opts[0].Version() > 0:
		reply.Rcode = dns.RcodeBadVers
	default:
		s.resolve(reply, query.Question[0], r)
	}
	if len(opts) > 0 {
		reply.Extra = append(reply.Extra, s.option(opts[0]))
	}
	reply.Truncate(limit)
	reply.Compress = true
	return reply
}

// resolve fills the reply to a well-formed question.
func (s *snapshot) resolve(reply *dns.Msg, q dns.Question, r *rand.Rand) {
	switch {
	case q.Qclass == dns.ClassCHAOS && s.chaos(reply, q):
		return
	case q.Qclass != dns.ClassINET:
		reply.Rcode = dns.RcodeRefused
		return
	case s.view == nil:
		reply.Rcode = dns.RcodeServerFailure
		return
	}
	name := dns.CanonicalName(q.Name)
	if !dns.IsSubDomain(s.origin, name) || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR {
		reply.Rcode = dns.RcodeRefused
		return
	}
	reply.Authoritative = true
	n, ok := s.nodes[name]
	if !ok {
		reply.Rcode = dns.RcodeNameError
		s.negative(reply)
		return
	}
	owner := q.Name
	if n.alias != nil {
		to := n.alias.choose(r)
		cname := &dns.CNAME{Hdr: header(dns.TypeCNAME, n.alias.ttl), Target: to}
		reply.Answer = append(reply.Answer, owned(cname, owner))
		if q.Qtype == dns.TypeCNAME || q.Qtype == dns.TypeANY {
			return
		}
		owner, n = to, s.nodes[to]
	}
	rrset := n.rrset(q.Qtype)
	if len(rrset) == 0 {
		s.negative(reply)
		return
	}
	first := len(reply.Answer)
	for _, rr := range rrset {
		reply.Answer = append(reply.Answer, owned(rr, owner))
	}
	shuffle(reply.Answer[first:], r)
	if q.Qtype == dns.TypeNS {
		s.glue(reply, rrset)
	}
}

// rrset returns the node's records of a type. For ANY it picks one type, RFC
// 8482 section 4.1.
func (n *node) rrset(qtype uint16) []dns.RR {
	if qtype != dns.TypeANY {
		return n.rrsets[qtype]
	}
	for _, t := range []uint16{dns.TypeSOA, dns.TypeA, dns.TypeAAAA} {
		if rrset := n.rrsets[t]; len(rrset) > 0 {
			return rrset
		}
	}
	return nil
}

// negative adds the SOA that says for how long a name, or a type at it, may
// be taken not to exist: RFC 2308 section 3 and 5.
func (s *snapshot) negative(reply *dns.Msg) {
	for _, rr := range s.nodes[s.origin].rrsets[dns.TypeSOA] {
		soa, ok := owned(rr, s.origin).(*dns.SOA)
		if ok {
			soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
			reply.Ns = append(reply.Ns, soa)
		}
	}
}

// glue adds the addresses of those name servers that are in the zone.
func (s *snapshot) glue(reply *dns.Msg, servers []dns.RR) {
	for _, rr := range servers {
		ns, ok := rr.(*dns.NS)
		if !ok {
			continue
		}
		host, ok := s.nodes[ns.Ns]
		if !ok {
			continue
		}
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			for _, addr := range host.rrsets[t] {
				reply.Extra = append(reply.Extra, owned(addr, ns.Ns))
			}
		}
	}
}

// chaos tells the server's id, RFC 4892, and whether it was asked
// for it and has one.
func (s *snapshot) chaos(reply *dns.Msg, q dns.Question) bool {
	name := strings.ToLower(q.Name)
	if s.id == "" || (name != "id.server." && name != "hostname.bind.") || (q.Qtype != dns.TypeTXT && q.Qtype != dns.TypeANY) {
		return false
	}
	reply.Authoritative = true
	reply.Answer = []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeTXT, Class: dns.ClassCHAOS},
		Txt: []string{s.id},
	}}
	return true
}

// owned returns a copy of a record under the owner's name.
func owned(rr dns.RR, owner string) dns.RR {
	rr = dns.Copy(rr)
	rr.Header().Name = owner
	return rr
}

func shuffle(rrs []dns.RR, r *rand.Rand) {
	r.Shuffle(len(rrs), func(i, j int) { rrs[i], rrs[j] = rrs[j], rrs[i] })
}
