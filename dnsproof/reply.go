// Package dnsproof proves by asking what users are led to: authoritative name
// servers, and the resolvers in between.
package dnsproof

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Reply is where a server leads those who ask for a name.
type Reply struct {
	// Target is the name that users are sent on to, in lower case and without
	// a final dot: that of the CNAME or, where a name has addresses of its
	// own, of its HTTPS record in alias mode (RFC 9460 section 2.4.2). It is
	// empty if there is neither.
	Target string
	// Addrs are the addresses that the name itself has, ascending; none behind
	// a CNAME.
	Addrs []netip.Addr
	// TTL is how long the reply may be kept. What a resolver kept for a while
	// has less of it.
	TTL time.Duration
	// Zone is the zone whose version Serial is (RFC 1982), without a final
	// dot. It is empty if the reply doesn't tell, as for a target that the
	// server doesn't serve.
	Zone   string
	Serial uint32
}

// String is what the reply leads to, for people.
func (r Reply) String() string {
	switch {
	case r.Target != "":
		return r.Target
	case len(r.Addrs) == 0:
		return "nothing"
	default:
		words := make([]string, len(r.Addrs))
		for i, a := range r.Addrs {
			words[i] = a.String()
		}
		return strings.Join(words, ", ")
	}
}

// read takes from a checked message what it says of the name that was asked
// for.
func (r *Reply) read(m *dns.Msg) error {
	name := m.Question[0].Name
	var cnames, aliases []string
	for _, rr := range m.Answer {
		if !strings.EqualFold(rr.Header().Name, name) {
			continue
		}
		switch rr := rr.(type) {
		case *dns.CNAME:
			cnames = append(cnames, plain(rr.Target))
		case *dns.HTTPS:
			if rr.Priority == 0 {
				aliases = append(aliases, plain(rr.Target))
			}
		case *dns.A:
			r.add(rr.A)
		case *dns.AAAA:
			r.add(rr.AAAA)
		case *dns.SOA:
			r.Zone, r.Serial = plain(rr.Hdr.Name), rr.Serial
			continue // its TTL is not that of what users are led to
		default:
			continue
		}
		r.TTL = max(r.TTL, time.Duration(rr.Header().Ttl)*time.Second)
	}
	switch {
	case len(cnames) > 1:
		return fmt.Errorf("the name has %d CNAMEs", len(cnames))
	case len(cnames) == 1:
		r.Target = cnames[0]
	case len(aliases) == 1:
		r.Target = aliases[0]
	}
	for _, rr := range m.Ns {
		// The SOA of another zone is that of the target.
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, name) {
			r.Zone, r.Serial = plain(soa.Hdr.Name), soa.Serial
		}
	}
	return nil
}

func (r *Reply) add(ip []byte) {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return
	}
	addr = addr.Unmap()
	if at, found := slices.BinarySearchFunc(r.Addrs, addr, netip.Addr.Compare); !found {
		r.Addrs = slices.Insert(r.Addrs, at, addr)
	}
}

// check tells why a message is no reply to the query that can be gone by. A
// CNAME to a name that doesn't exist is one, though its code is NXDOMAIN (RFC
// 6604 section 3).
func check(m, query *dns.Msg, authoritative bool) error {
	asked := query.Question[0]
	switch {
	case !m.Response, len(m.Question) != 1, !strings.EqualFold(m.Question[0].Name, asked.Name),
		m.Question[0].Qtype != asked.Qtype, m.Question[0].Qclass != asked.Qclass:
		return errors.New("the reply is not to the question")
	case m.Truncated:
		return errors.New("the reply is truncated")
	case m.Rcode != dns.RcodeSuccess && (m.Rcode != dns.RcodeNameError || !leads(m)):
		return rcodeError(m.Rcode)
	case authoritative && !m.Authoritative:
		return errors.New("the server is not authoritative for it")
	}
	return nil
}

// leads tells whether the message has a CNAME of the name that was asked for.
func leads(m *dns.Msg) bool {
	return slices.ContainsFunc(m.Answer, func(rr dns.RR) bool {
		return rr.Header().Rrtype == dns.TypeCNAME && strings.EqualFold(rr.Header().Name, m.Question[0].Name)
	})
}

// rcodeError is the code of a reply that has no answer.
type rcodeError int

func (e rcodeError) Error() string {
	if name, ok := dns.RcodeToString[int(e)]; ok {
		return "the reply is " + name
	}
	return fmt.Sprintf("the reply is RCODE %d", int(e))
}

// plain writes a name in lower case and without a final dot.
func plain(name string) string {
	return strings.TrimSuffix(dns.CanonicalName(name), ".")
}
