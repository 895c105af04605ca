package zone_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"switchd/zone"
)

// testOrigin is the zone of the properties.
const testOrigin = "z.test."

// chain is how many names of a chain of aliases are looked for.
const chain = 20

func parse(tb testing.TB, origin, text string) *zone.Zone {
	tb.Helper()
	z, err := zone.Parse(strings.NewReader(text), name(tb, origin), "zone")
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

// drawZone draws a zone that can be served.
func drawZone(t *rapid.T) *zone.Zone {
	below := func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "below") }
	for {
		z, err := zone.Parse(strings.NewReader(randomZone(below, testOrigin)), name(t, testOrigin), "zone")
		if err == nil {
			return z
		}
	}
}

func drawQuestion(t *rapid.T, z *zone.Zone) question {
	var names []zone.Name
	for node := range z.Nodes() {
		names = append(names, node.Name)
	}
	n := rapid.SampledFrom(names).Draw(t, "name")
	for range rapid.IntRange(0, 3).Draw(t, "labels below") {
		n = zone.Name("\x01"+rapid.SampledFrom(labels[:]).Draw(t, "label")) + n
	}
	return question{name: n, qtype: rapid.SampledFrom(questionTypes[:]).Draw(t, "type")}
}

func TestLookup_AnswersAsTheReferenceDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		z := drawZone(t)
		r := reference{origin: testOrigin, records: slices.Collect(z.Records())}
		for range 20 {
			q := drawQuestion(t, z)
			got, want := brief(z.Lookup(q.name, q.qtype, nil)), brief(r.lookup(q.name.String(), q.qtype, chain))
			if got != want {
				t.Fatalf("%s %s\n got: %s\nwant: %s", q.name, dns.TypeToString[q.qtype], got, want)
			}
		}
	})
}

// wildcardZone is the zone of RFC 4592, section 2.2.1.
const wildcardZone = `$ORIGIN example.
example.                 3600 IN  SOA   ns.example.com. hm.example.com. 1 2 3 4 300
example.                 3600     NS    ns.example.com.
example.                 3600     NS    ns.example.net.
*.example.               3600     TXT   "this is a wildcard"
*.example.               3600     MX    10 host1.example.
sub.*.example.           3600     TXT   "this is not a wildcard"
host1.example.           3600     A     192.0.2.1
_ssh._tcp.host1.example. 3600     SRV   0 0 22 host1.example.
_ssh._tcp.host2.example. 3600     SRV   0 0 22 host1.example.
subdel.example.          3600     NS    ns.example.com.
subdel.example.          3600     NS    ns.example.net.
`

func TestLookup_AnswersTheExamplesOfRFC4592(t *testing.T) {
	t.Parallel()
	z := parse(t, "example.", wildcardZone)
	for _, c := range []struct {
		name  string
		qtype uint16
		want  string // the kind of the answer and its first record's data
	}{
		{"host3.example.", dns.TypeMX, "answer host3.example. 10 host1.example."},
		{"host3.example.", dns.TypeA, "no data"},
		{"foo.bar.example.", dns.TypeTXT, `answer foo.bar.example. "this is a wildcard"`},
		{"host1.example.", dns.TypeMX, "no data"},
		{"sub.*.example.", dns.TypeMX, "no data"},
		{"_telnet._tcp.host1.example.", dns.TypeSRV, "no name"},
		{"host.subdel.example.", dns.TypeA, "referral subdel.example."},
		{"ghost.*.example.", dns.TypeMX, "no name"},
		{"*.example.", dns.TypeMX, "answer *.example. 10 host1.example."},
		{"_tcp.host2.example.", dns.TypeTXT, "no data"}, // an empty non-terminal, section 2.2.2
		{"host2.example.", dns.TypeTXT, "no data"},
	} {
		if got := kindOf(z.Lookup(name(t, c.name), c.qtype, nil)); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.name, dns.TypeToString[c.qtype], got, c.want)
		}
	}
}

// kindOf writes an answer as the RFCs' examples do.
func kindOf(r zone.Result) string {
	switch {
	case r.Rcode == dns.RcodeNameError:
		return "no name"
	case r.Rcode != dns.RcodeSuccess:
		return dns.RcodeToString[r.Rcode]
	case len(r.Answer) > 0:
		rr := r.Answer[0]
		return "answer " + rr.Header().Name + " " + strings.TrimPrefix(rr.String(), rr.Header().String())
	case r.Cut != nil:
		return "referral " + r.Authority[0].Header().Name
	default:
		return "no data"
	}
}

// TestLookup_SubstitutesAsRFC6672Does has the table of section 2.2: a query
// name, the DNAME's owner and target, and the name after.
func TestLookup_SubstitutesAsRFC6672Does(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(strings.Repeat("x", 61)+".", 3) + strings.Repeat("x", 50) + "."
	for _, c := range []struct{ name, owner, target, want string }{
		{"com.", "example.com.", "example.net.", "no match"},
		{"example.com.", "example.com.", "example.net.", "no match"},
		{"a.example.com.", "example.com.", "example.net.", "a.example.net."},
		{"a.b.example.com.", "example.com.", "example.net.", "a.b.example.net."},
		{"ab.example.com.", "b.example.com.", "example.net.", "no match"},
		{"foo.example.com.", "example.com.", "example.net.", "foo.example.net."},
		{"a.x.example.com.", "x.example.com.", "example.net.", "a.example.net."},
		{"a.example.com.", "example.com.", "y.example.net.", "a.y.example.net."},
		{"cyc.example.com.", "example.com.", "example.com.", "cyc.example.com."},
		{"shortloop.x.x.", "x.", ".", "shortloop.x."},
		{"shortloop.x.", "x.", ".", "shortloop."},
		// 255 octets, and one more.
		{strings.Repeat("y", 16) + ".example.com.", "example.com.", long, strings.Repeat("y", 16) + "." + long},
		{strings.Repeat("y", 17) + ".example.com.", "example.com.", long, "YXDOMAIN"},
	} {
		z := parse(t, ".", ". 60 SOA ns.test. hm.test. 1 2 3 4 5\n. 60 NS ns.test.\n"+c.owner+" 30 DNAME "+c.target+"\n")
		result := z.Lookup(name(t, c.name), dns.TypeA, nil)
		got := "no match"
		if len(result.Answer) > 1 {
			alias, ok := result.Answer[1].(*dns.CNAME)
			if !ok || alias.Hdr.Ttl != 30 || alias.Hdr.Name != c.name {
				t.Fatalf("%s: got %v, want a CNAME with the TTL of the DNAME", c.name, result.Answer[1])
			}
			got = alias.Target
		} else if result.Rcode == dns.RcodeYXDomain {
			got = "YXDOMAIN"
		}
		if got != c.want {
			t.Errorf("%s by %s DNAME %s: got %s, want %s", c.name, c.owner, c.target, got, c.want)
		}
	}
}

const smallZone = `$ORIGIN z.test.
$TTL 300
@ SOA ns hm 7 2 3 4 600
@ NS ns
@ MX 10 ns
ns A 192.0.2.1
ns AAAA 2001:db8::1
txt TXT "a" "b"
txt RRSIG A 13 3 300 20300101000000 20200101000000 1 z.test. AAAA
_s._tcp SRV 0 0 443 ns
sub NS ns.sub
sub NS ns.other
sub DS 1 13 2 0000000000000000000000000000000000000000000000000000000000000001
ns.sub A 192.0.2.2
other NS ns.other
ns.other A 192.0.2.3
to-sub CNAME host.sub
out CNAME www.example.net.
one CNAME two
two CNAME one
`

func TestLookup_RefersToAZoneCut(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)

	r := z.Lookup(name(t, "host.sub.z.test."), dns.TypeA, nil)
	if r.Authoritative || r.Optional || r.Cut != z.Node([]byte(name(t, "sub.z.test."))) || len(r.Authority) != 2 {
		t.Errorf("got %+v, want a referral to sub.z.test.", r)
	}
	// The address of its sibling's server is glue as well.
	if got, want := section(r.Additional), "ns.other.z.test. 300 in a 192.0.2.3; ns.sub.z.test. 300 in a 192.0.2.2"; got != want {
		t.Errorf("glue: got %q, want %q", got, want)
	}
	if r.Denied != nil {
		t.Errorf("got %+v denied: the cut has a DS", r.Denied)
	}

	r = z.Lookup(name(t, "other.z.test."), dns.TypeNS, nil)
	if r.Authoritative || len(r.Answer) != 0 || r.Denied == nil || r.Denied.Kind != zone.NoDS || !slices.Equal(r.Denied.Types, []uint16{dns.TypeNS}) {
		t.Errorf("got %+v, want a referral that denies the DS", r)
	}

	r = z.Lookup(name(t, "sub.z.test."), dns.TypeDS, nil)
	if !r.Authoritative || len(r.Answer) != 1 {
		t.Errorf("got %+v, want the parent's own DS", r)
	}
	r = z.Lookup(name(t, "other.z.test."), dns.TypeDS, nil)
	if !r.Authoritative || r.Denied == nil || r.Denied.Kind != zone.NoData {
		t.Errorf("got %+v, want no data from the parent", r)
	}

	r = z.Lookup(name(t, "to-sub.z.test."), dns.TypeA, nil)
	if !r.Authoritative || len(r.Answer) != 1 || r.Cut == nil {
		t.Errorf("got %+v, want the alias with authority and a referral after it", r)
	}
}

func TestLookup_TakesGlueFromWildcardsThatAreNotHidden(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", top+"sub NS a.w\nsub NS a.cut\n*.w 60 A 192.0.2.1\ncut NS x.example.\n*.cut 60 A 192.0.2.2\n")
	r := z.Lookup(name(t, "sub.z.test."), dns.TypeA, nil)
	if got, want := section(r.Additional), "a.w.z.test. 60 in a 192.0.2.1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLookup_FollowsAliasesWithinTheZone(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)
	for owner, want := range map[string]string{
		"out.z.test.": "out.z.test. 300 in cname www.example.net.",
		"one.z.test.": "one.z.test. 300 in cname two.z.test.; two.z.test. 300 in cname one.z.test.",
	} {
		r := z.Lookup(name(t, owner), dns.TypeA, nil)
		if got := section(r.Answer); got != want || r.Rcode != dns.RcodeSuccess || !r.Authoritative || len(r.Authority) != 0 {
			t.Errorf("%s: got %s, want %s", owner, got, want)
		}
	}
}

func TestLookup_AddsAddressesThatMayBeLeftOut(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)
	const addresses = "ns.z.test. 300 in a 192.0.2.1; ns.z.test. 300 in aaaa 2001:db8::1"
	for _, q := range []question{
		{name(t, "z.test."), dns.TypeNS}, {name(t, "z.test."), dns.TypeMX}, {name(t, "_s._tcp.z.test."), dns.TypeSRV},
	} {
		r := z.Lookup(q.name, q.qtype, nil)
		if got := section(r.Additional); got != addresses || !r.Optional {
			t.Errorf("%s %s: got %q (optional %v), want %q", q.name, dns.TypeToString[q.qtype], got, r.Optional, addresses)
		}
	}
}

func TestLookup_GivesOneSetForANYAndTheSignatureForRRSIG(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)
	for qtype, want := range map[uint16]uint16{dns.TypeANY: dns.TypeTXT, dns.TypeRRSIG: dns.TypeRRSIG} {
		r := z.Lookup(name(t, "txt.z.test."), qtype, nil)
		if len(r.Answer) != 1 || r.Answer[0].Header().Rrtype != want {
			t.Errorf("%s: got %v, want one %s", dns.TypeToString[qtype], r.Answer, dns.TypeToString[want])
		}
	}
	if r := z.Lookup(name(t, "one.z.test."), dns.TypeANY, nil); len(r.Answer) != 1 {
		t.Errorf("an alias for ANY: got %v, want it alone", r.Answer)
	}
}

func TestLookup_DeniesWithTheLowerOfBothTTLs(t *testing.T) {
	t.Parallel()
	for minimum, want := range map[string]uint32{"600": 300, "60": 60} {
		z := parse(t, "z.test.", strings.Replace(smallZone, "2 3 4 600", "2 3 4 "+minimum, 1))
		r := z.Lookup(name(t, "none.z.test."), dns.TypeA, nil)
		if r.Rcode != dns.RcodeNameError || len(r.Authority) != 1 || r.Authority[0].Header().Ttl != want {
			t.Errorf("MINIMUM %s: got %v, want a TTL of %d", minimum, r.Authority, want)
		}
		if z.Negative().Hdr.Ttl != want || z.SOA().Hdr.Ttl != 300 {
			t.Errorf("got %v and %v, want the lower TTL in the first alone", z.Negative(), z.SOA())
		}
		if r.Denied == nil || r.Denied.Kind != zone.NoName || r.Denied.Name != name(t, "none.z.test.") {
			t.Errorf("got %+v, want the name denied", r.Denied)
		}
	}
}

func TestLookup_RefusesWhatIsOutside(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)
	if r := z.Lookup(name(t, "example.net."), dns.TypeA, nil); r.Rcode != dns.RcodeRefused || r.Authoritative {
		t.Errorf("got %+v, want REFUSED", r)
	}
}
