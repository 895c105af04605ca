package zone_test

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"switchd/zone"
)

// reference answers from a list of records as RFC 1034, section 4.3.2, with
// RFC 6672, section 3.2, puts it: from the apex down, label by label. It is
// slow, and knows nothing of how a zone is built.
type reference struct {
	origin  string // lower case, with the final dot
	records []dns.RR
}

func (r reference) find(owner string, rrtype uint16) (set []dns.RR) {
	for _, rr := range r.records {
		if strings.ToLower(rr.Header().Name) == owner && rr.Header().Rrtype == rrtype {
			set = append(set, rr)
		}
	}
	return set
}

func (r reference) exists(owner string) bool {
	for _, rr := range r.records {
		have := strings.ToLower(rr.Header().Name)
		if have == owner || strings.HasSuffix(have, "."+owner) {
			return true
		}
	}
	return false
}

// lookup answers with the chain cut after that many names.
func (r reference) lookup(qname string, qtype uint16, limit int) (result zone.Result) {
	result.Authoritative = true
	seen := map[string]bool{}
	for qname = strings.ToLower(qname); qname == r.origin || strings.HasSuffix(qname, "."+r.origin); {
		if seen[qname] || len(seen) == limit {
			return result
		}
		seen[qname] = true
		next := r.step(&result, qname, qtype, len(seen) == 1)
		if next == "" {
			return result
		}
		qname = strings.ToLower(next)
	}
	return result
}

func (r reference) step(result *zone.Result, qname string, qtype uint16, first bool) (next string) {
	below := dns.SplitDomainName(strings.TrimSuffix(qname, r.origin))
	for node := r.origin; ; {
		if ns := r.find(node, dns.TypeNS); ns != nil && node != r.origin && (node != qname || qtype != dns.TypeDS) {
			result.Authority = ns
			result.Authoritative = !first
			return ""
		}
		if node == qname {
			return r.answer(result, node, qname, qtype)
		}
		if dname := r.find(node, dns.TypeDNAME); dname != nil {
			if !slices.Contains(result.Answer, dname[0]) {
				result.Answer = append(result.Answer, dname...)
			}
			next := strings.TrimSuffix(qname, node) + dname[0].(*dns.DNAME).Target
			if wireLength(next) > 255 {
				result.Rcode = dns.RcodeYXDomain
				return ""
			}
			result.Answer = append(result.Answer, &dns.CNAME{
				Hdr:    dns.RR_Header{Name: qname, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: dname[0].Header().Ttl},
				Target: next,
			})
			if qtype == dns.TypeCNAME {
				return ""
			}
			return next
		}
		label := below[len(below)-1]
		below = below[:len(below)-1]
		if down := label + "." + node; r.exists(down) {
			node = down
			continue
		}
		if r.exists("*." + node) {
			return r.answer(result, "*."+node, qname, qtype)
		}
		result.Rcode = dns.RcodeNameError
		result.Authority = r.negative()
		return ""
	}
}

func (r reference) answer(result *zone.Result, node, qname string, qtype uint16) (next string) {
	set := r.find(node, qtype)
	if set == nil {
		set = r.find(node, dns.TypeCNAME)
	}
	if set == nil {
		result.Authority = r.negative()
		return ""
	}
	for _, rr := range set {
		if node == qname && slices.Contains(result.Answer, rr) {
			continue // a loop came by; no RRset is in a message twice
		}
		if node != qname {
			rr = dns.Copy(rr)
			rr.Header().Name = qname
		}
		result.Answer = append(result.Answer, rr)
	}
	if alias, ok := set[0].(*dns.CNAME); ok && qtype != dns.TypeCNAME {
		return alias.Target
	}
	return ""
}

func (r reference) negative() []dns.RR {
	soa := dns.Copy(r.find(r.origin, dns.TypeSOA)[0]).(*dns.SOA)
	soa.Hdr.Ttl = min(soa.Hdr.Ttl, soa.Minttl)
	return []dns.RR{soa}
}

// wireLength is the length of a name without escapes.
func wireLength(presentation string) int { return len(presentation) + 1 }
