package dnssec_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnssec"
	"switchd/zone"
)

// now is the moment at which most tests answer.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// master is a zone with one of everything that is signed in its own way.
const master = `
@              3600 SOA   ns1 admin 7 300 60 86400 60
@              3600 NS    ns1
@              3600 NS    ns.insecure
@              3600 MX    10 Mail
ns1            3600 A     192.0.2.1
Mail           300  A     192.0.2.2
Mail           300  AAAA  2001:db8::2
many           300  A     192.0.2.12
many           300  A     192.0.2.10
many           300  A     192.0.2.11
deep.down.ent  300  TXT   "text"
*.wild         300  A     192.0.2.3
*.wild         300  TXT   "any"
*.walias       300  CNAME Mail
*star          300  A     192.0.2.4
insecure       300  NS    ns.insecure
insecure       300  A     192.0.2.53
ns.insecure    300  A     192.0.2.5
secure         300  NS    ns1
secure         300  NS    ns.elsewhere.test.
secure         300  DS    1 13 2 0102030405060708091011121314151617181920212223242526272829303132
rename         300  DNAME target
a.target       300  A     192.0.2.6
alias          300  CNAME Mail
far            300  CNAME elsewhere.test.
broken         300  CNAME missing
toinsecure     300  CNAME www.insecure
torename       300  CNAME a.rename
loop           300  CNAME loop.rename
loop.target    300  CNAME a.rename
srv            300  SRV   0 0 80 Mail
naptr          300  NAPTR 10 10 "U" "E2U+Sip" "" Mail
https          300  HTTPS 1 . alpn=h2
odd            300  TYPE65280 \# 4 41424344
`

func newZone(tb testing.TB, origin zone.Name, text string) *zone.Zone {
	tb.Helper()
	parser := dns.NewZoneParser(strings.NewReader(text), origin.String(), "")
	var records []zone.Record
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		records = append(records, zone.Record{RR: rr, File: "test", Line: len(records) + 1})
	}
	if err := parser.Err(); err != nil {
		tb.Fatal(err)
	}
	z, err := zone.New(origin, records)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func newSigner(tb testing.TB, o dnssec.Options) *dnssec.Signer {
	tb.Helper()
	signer, err := dnssec.New(apps, []dnssec.Key{generate(tb, tb.TempDir(), apps)}, o)
	if err != nil {
		tb.Fatal(err)
	}
	return signer
}

// withKeys lays the signer's keys over the zone's apex, as a server does.
func withKeys(tb testing.TB, z *zone.Zone, signer *dnssec.Signer, overlay ...*zone.Node) *zone.Zone {
	tb.Helper()
	own := z.Node([]byte(z.Origin()))
	apex := &zone.Node{Name: own.Name, Sets: append(slices.Clone(own.Sets), zone.Set{Type: dns.TypeDNSKEY, RRs: signer.DNSKEY()})}
	slices.SortFunc(apex.Sets, func(a, b zone.Set) int { return int(a.Type) - int(b.Type) })
	z, err := z.With(z.Serial(), append([]*zone.Node{apex}, overlay...))
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func first(int) int { return 0 }

// ask looks a question up and secures the answer.
func ask(tb fataler, signer *dnssec.Signer, z *zone.Zone, q dnssec.Question, at time.Time) zone.Result {
	r := z.Lookup(q.Name, q.Type, first)
	span, err := signer.Secure(z, &r, q, at)
	if err != nil {
		tb.Fatalf("secure %s %s: %v", q.Name, dns.Type(q.Type), err)
	}
	if !span.Contains(at) {
		tb.Fatalf("secure %s %s: the answer holds %v, not at %s", q.Name, dns.Type(q.Type), span, at)
	}
	return r
}

// fataler is a testing.TB or a *rapid.T.
type fataler interface {
	Fatalf(format string, args ...any)
}

// show writes a section without the signatures themselves.
func show(section []dns.RR) string {
	var b strings.Builder
	for _, rr := range section {
		if sig, ok := rr.(*dns.RRSIG); ok {
			fmt.Fprintf(&b, "%s RRSIG %s labels %d ttl %d/%d\n", sig.Hdr.Name, dns.TypeToString[sig.TypeCovered], sig.Labels, sig.Hdr.Ttl, sig.OrigTtl)
			continue
		}
		b.WriteString(strings.Join(strings.Fields(strings.Replace(rr.String(), "\tIN\t", " ", 1)), " ") + "\n")
	}
	return b.String()
}

// validate does what a validator does with an answer of the zone, from the
// RFCs alone: it returns what is wrong with it.
func validate(r *zone.Result, origin zone.Name, keys []dns.RR, q dnssec.Question, at time.Time) error {
	for _, section := range [][]dns.RR{r.Answer, r.Authority} {
		var dnames []string
		for len(section) > 0 {
			set, sigs := cutSet(&section)
			head := set[0].Header()
			owner := dns.CanonicalName(head.Name)
			if head.Rrtype == dns.TypeDNAME {
				dnames = append(dnames, owner)
			}
			synthesized := head.Rrtype == dns.TypeCNAME && slices.ContainsFunc(dnames, func(d string) bool { return owner != d && dns.IsSubDomain(d, owner) })
			foreign := head.Rrtype == dns.TypeNS && owner != origin.String()
			if synthesized || foreign {
				if len(sigs) > 0 {
					return fmt.Errorf("%s %s is signed", head.Name, dns.Type(head.Rrtype))
				}
				continue
			}
			if err := validateSet(set, sigs, keys, at); err != nil {
				return fmt.Errorf("%s %s: %w", head.Name, dns.Type(head.Rrtype), err)
			}
		}
	}
	return validateDenial(r, q)
}

// cutSet cuts the first RRset off a section, and the signatures behind it.
func cutSet(section *[]dns.RR) (set, sigs []dns.RR) {
	rest := *section
	head := rest[0].Header()
	n := 1
	for n < len(rest) && rest[n].Header().Rrtype == head.Rrtype && strings.EqualFold(rest[n].Header().Name, head.Name) {
		n++
	}
	m := n
	for m < len(rest) && rest[m].Header().Rrtype == dns.TypeRRSIG && rest[m].(*dns.RRSIG).TypeCovered == head.Rrtype && rest[m].Header().Name == head.Name {
		m++
	}
	*section = rest[m:]
	return rest[:n], rest[n:m]
}

func validateSet(set, sigs, keys []dns.RR, at time.Time) error {
	if len(sigs) == 0 {
		return fmt.Errorf("no signature")
	}
	for _, rr := range sigs {
		sig := rr.(*dns.RRSIG)
		i := slices.IndexFunc(keys, func(k dns.RR) bool { return k.(*dns.DNSKEY).KeyTag() == sig.KeyTag })
		if i < 0 {
			return fmt.Errorf("signed with unknown key %d", sig.KeyTag)
		}
		if err := sig.Verify(keys[i].(*dns.DNSKEY), set); err != nil {
			return err
		}
		if !sig.ValidityPeriod(at) {
			return fmt.Errorf("not valid at %s: from %d to %d", at, sig.Inception, sig.Expiration)
		}
		labels := dns.CountLabel(set[0].Header().Name)
		if strings.HasPrefix(set[0].Header().Name, "*.") {
			labels--
		}
		if int(sig.Labels) != labels {
			return fmt.Errorf("labels are %d, want %d: it would be one of a wildcard", sig.Labels, labels)
		}
		if sig.Hdr.Ttl != set[0].Header().Ttl || sig.OrigTtl < sig.Hdr.Ttl {
			return fmt.Errorf("TTL %d of %d, while the set has %d", sig.Hdr.Ttl, sig.OrigTtl, set[0].Header().Ttl)
		}
	}
	return nil
}

// validateDenial finds the proof for an answer that ends without what was
// asked for.
func validateDenial(r *zone.Result, q dnssec.Question) error {
	end, found := dns.CanonicalName(q.Name.String()), false
	for _, rr := range r.Answer {
		switch alias, ok := rr.(*dns.CNAME); {
		case dns.CanonicalName(rr.Header().Name) != end:
		case rr.Header().Rrtype == q.Type || q.Type == dns.TypeANY:
			found = true
		case ok:
			end = dns.CanonicalName(alias.Target)
		}
	}
	var nsec *dns.NSEC
	var ns, ds, soa bool
	for _, rr := range r.Authority {
		switch rr := rr.(type) {
		case *dns.NSEC:
			nsec = rr
		case *dns.NS:
			ns = true
			end, q.Type = dns.CanonicalName(rr.Hdr.Name), dns.TypeDS // that there is none is to be proven
		case *dns.DS:
			ds = true
		case *dns.SOA:
			soa = true
		}
	}
	switch {
	case ns && ds || found && !ns || !dns.IsSubDomain(apps.String(), end) || r.Rcode == dns.RcodeYXDomain:
		if nsec != nil {
			return fmt.Errorf("needless proof %s", nsec)
		}
		return nil
	case r.Denied == nil && !ns: // a loop ends where it began
		return nil
	case nsec == nil:
		return fmt.Errorf("no proof that %s has no %s", end, dns.Type(q.Type))
	case dns.CanonicalName(nsec.Hdr.Name) != end:
		return fmt.Errorf("proof for %s instead of %s", nsec.Hdr.Name, end)
	case slices.Contains(nsec.TypeBitMap, q.Type) || slices.Contains(nsec.TypeBitMap, dns.TypeCNAME):
		return fmt.Errorf("%s doesn't prove that there is no %s", nsec, dns.Type(q.Type))
	case !slices.Contains(nsec.TypeBitMap, dns.TypeNSEC) || !slices.Contains(nsec.TypeBitMap, dns.TypeRRSIG) || !slices.IsSorted(nsec.TypeBitMap):
		return fmt.Errorf("malformed %s", nsec)
	case !ns && !soa:
		return fmt.Errorf("no SOA beside %s", nsec)
	case r.Rcode != dns.RcodeSuccess && (!q.CompactOK || !slices.Contains(nsec.TypeBitMap, dns.TypeNXNAME)):
		return fmt.Errorf("%s with %s", dns.RcodeToString[r.Rcode], nsec)
	default:
		return nil
	}
}
