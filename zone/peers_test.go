//go:build linux

package zone_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/testenv/nameserver"
	"switchd/zone"
)

// peer is a name server of others that serves the same zones.
type peer struct {
	kind nameserver.Kind
	addr string
}

// TestLookup_AnswersAsNSDAndKnotAndBINDDo asks all of them the same about
// small random zones in which everything meets everything.
func TestLookup_AnswersAsNSDAndKnotAndBINDDo(t *testing.T) {
	t.Parallel()
	seed := uint64(2308)
	if text := os.Getenv("ZONE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	zones := make(map[string]*zone.Zone)
	texts := make(map[string]string)
	for len(zones) < 300 {
		origin := fmt.Sprintf("z%d.test.", len(zones))
		text := randomZone(func(n int) int { return rng.IntN(n) }, origin)
		z, err := zone.Parse(strings.NewReader(text), name(t, origin), "zone")
		if err != nil {
			continue // such as a CNAME beside other data
		}
		zones[origin], texts[origin] = z, text
	}
	var peers []peer
	for _, kind := range nameserver.Kinds() {
		options := nameserver.Options{Minimal: true}
		if kind == nameserver.BIND { // it has opinions on names of hosts
			options.Extra = []string{"check-names primary ignore;", "check-integrity no;"}
		}
		for origin, z := range zones {
			if refuses(kind, z) == "" {
				options.Zones = append(options.Zones, nameserver.Zone{Origin: origin, Text: texts[origin]})
			}
		}
		peers = append(peers, peer{kind: kind, addr: nameserver.ForTest(t, kind, options).Addr().String()})
	}

	asked := make(map[nameserver.Kind]int)
	for origin, z := range zones {
		for range 40 {
			q := randomQuestion(rng, z)
			ours := z.Lookup(q.name, q.qtype, nil)
			for _, p := range peers {
				if refuses(p.kind, z) != "" {
					continue
				}
				theirs := p.ask(t, q)
				asked[p.kind]++
				if explained(p.kind, q, ours, theirs) != "" {
					continue
				}
				got, want := brief(ours), brief(resultOf(theirs))
				if ours.Cut != nil && p.kind != nameserver.BIND { // which leaves out glue of siblings and of the apex
					got += " | " + section(ours.Additional)
					want += " | " + section(resultOf(theirs).Additional)
				}
				if got != want {
					t.Errorf("%s %s (seed %d)\nswitchd: %s\n%7s: %s\n%s",
						q.name, dns.TypeToString[q.qtype], seed, got, p.kind, want, texts[origin])
				}
			}
		}
	}
	for _, p := range peers {
		if asked[p.kind] < 1000 {
			t.Errorf("%s was asked %d questions: too few to tell", p.kind, asked[p.kind])
		}
	}
}

// refuses tells why a server does not load a zone that is served here.
func refuses(kind nameserver.Kind, z *zone.Zone) string {
	for node := range z.Nodes() {
		ns, dname := node.Set(dns.TypeNS) != nil, node.Set(dns.TypeDNAME) != nil
		switch kind {
		case nameserver.BIND:
			if node.Name.Wildcard() && ns {
				return "NS at a wildcard"
			}
		case nameserver.Knot:
			if node.Name.Wildcard() && (ns || dname) {
				return "answers with the wildcard as the owner, which RFC 4592, section 4, leaves open"
			}
			if node.Name != z.Origin() && ns && dname {
				return "NS beside DNAME"
			}
			if belowDNAME(z, node.Name) {
				return "data below a DNAME"
			}
		case nameserver.NSD:
			if belowDNAME(z, node.Name) {
				return "data below a DNAME"
			}
		}
	}
	return ""
}

func belowDNAME(z *zone.Zone, n zone.Name) bool {
	for n != z.Origin() {
		n = n.Parent()
		if z.Node([]byte(n)).Set(dns.TypeDNAME) != nil {
			return true
		}
	}
	return false
}

// explained tells why a server's answer may differ from ours.
func explained(kind nameserver.Kind, q question, ours zone.Result, theirs *dns.Msg) string {
	aliases := 0
	for _, rr := range ours.Answer {
		if rr.Header().Rrtype == dns.TypeCNAME {
			aliases++
		}
	}
	loop := aliases > 0 && q.qtype != dns.TypeCNAME && ours.Rcode == dns.RcodeSuccess && len(ours.Authority) == 0
	switch {
	case aliases == 20:
		return "a DNAME to below itself has no end: each server stops elsewhere"
	case kind == nameserver.BIND && loop && theirs.Rcode == dns.RcodeServerFailure:
		return "max-query-restarts: BIND says SERVFAIL to a loop"
	}
	return ""
}

func (p peer) ask(t *testing.T, q question) *dns.Msg {
	t.Helper()
	query := new(dns.Msg)
	query.SetQuestion(q.name.String(), q.qtype)
	query.RecursionDesired = false
	query.SetEdns0(4096, false)
	client := dns.Client{Timeout: 5 * time.Second}
	reply, _, err := client.ExchangeContext(t.Context(), query, p.addr)
	if err != nil {
		t.Fatalf("ask %s for %s: %v", p.kind, q.name, err)
	}
	if p.kind == nameserver.BIND && q.qtype == dns.TypeSOA && len(reply.Ns) == 1 && reply.Ns[0].Header().Ttl == 0 {
		reply.Ns[0].Header().Ttl = 60 // zero-no-soa-ttl: a negative answer for SOA is not to be cached
	}
	return reply
}

// resultOf takes from a message what is compared.
func resultOf(m *dns.Msg) zone.Result {
	additional := slices.DeleteFunc(slices.Clone(m.Extra), func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	return zone.Result{Rcode: m.Rcode, Authoritative: m.Authoritative, Answer: m.Answer, Authority: m.Ns, Additional: additional}
}
