package dnsflip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"switchd/dnsflip/rrl"
	"switchd/zone"
)

// TestServer_AsksTheParentForDS serves a zone and its child, where the records
// that say how the child is signed are the parent's, RFC 4035 section 3.1.4.1.
func TestServer_AsksTheParentForDS(t *testing.T) {
	t.Parallel()
	child, err := zone.Parse(strings.NewReader("$TTL 60\n@ SOA ns. h. 7 1 1 1 1\n@ NS ns.example.\n"), "\x05child\x04apps\x04test\x00", "child.zone")
	if err != nil {
		t.Fatal(err)
	}
	parent := parsed(t, master+"child NS ns.example.\nchild DS 12345 13 2 "+strings.Repeat("0", 64)+"\n")
	s := quiet(Config{})
	if err := s.Serve(parent, child); err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, s, "child.apps.test.", dns.TypeDS); !got.Authoritative || len(got.Answer) != 1 || got.Answer[0].Header().Rrtype != dns.TypeDS {
		t.Errorf("DS of the child: got %v", got)
	}
	if got := lookup(t, s, "child.apps.test.", dns.TypeSOA).Answer; len(got) != 1 || got[0].(*dns.SOA).Serial != 7 {
		t.Errorf("SOA of the child: got %v", got)
	}
	for name, owner := range map[string]string{
		"x.child.apps.test.": "child.apps.test.", // within the child
		"apps.test.":         "apps.test.",       // of which no parent is served
	} {
		if got := lookup(t, s, name, dns.TypeDS); len(got.Ns) != 1 || got.Ns[0].Header().Rrtype != dns.TypeSOA || got.Ns[0].Header().Name != owner {
			t.Errorf("DS of %s: got %v", name, got)
		}
	}
	if err := s.Serve(child); err != nil {
		t.Fatal(err)
	}
	if got := lookup(t, s, "child.apps.test.", dns.TypeDS); got.Rcode != dns.RcodeSuccess || len(got.Ns) != 1 {
		t.Errorf("DS of the child, whose parent isn't served: got %v", got)
	}
}

// TestServer_LimitsTheRateOfAWildcard asks for a new name each time, as one
// does who wants many large replies to go to somebody else.
func TestServer_LimitsTheRateOfAWildcard(t *testing.T) {
	t.Parallel()
	limits := rrl.Default()
	limits.Rate = 1
	limiter, err := rrl.New(limits)
	if err != nil {
		t.Fatal(err)
	}
	s := withFile(t, Config{Limiter: limiter}, "$TTL 60\n*.wild TXT text\n*.alias CNAME web\nold DNAME web\n")
	for _, below := range []string{"wild", "alias", "old"} {
		const queries = 500
		whole, query := 0, new(dns.Msg)
		for i := range queries {
			query.SetQuestion(fmt.Sprintf("r%d.%s.apps.test.", i, below), dns.TypeTXT)
			reply := s.newWorker(&counters{}).respond(wire(t, query), netip.MustParseAddr("192.0.2.99"), udp)
			if len(reply) > 0 && reply[2]&(flagTC>>8) == 0 {
				whole++
			}
		}
		if whole == 0 || whole > queries/10 {
			t.Errorf("%s: %d of %d replies are whole", below, whole, queries)
		}
	}
}
