//go:build linux

package dnsflip_test

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

	"switchd/dnsflip"
	"switchd/testenv/nameserver"
	"switchd/zone"
)

// TestServer_AnswersAsNSDAndKnotDoOnTheWire asks all three the same, in every
// shape that a query may have, about generated zones. Package zone compares
// what is looked up; this is about what becomes of it on its way.
func TestServer_AnswersAsNSDAndKnotDoOnTheWire(t *testing.T) {
	t.Parallel()
	seed := uint64(1035)
	if text := os.Getenv("DIFF_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(seed, 0))
	var texts []nameserver.Zone
	var zones []*zone.Zone
	for i := range 60 {
		origin := fmt.Sprintf("z%d.test.", i)
		text := generatedZone(r, origin)
		name, err := zone.ParseName(origin)
		if err != nil {
			t.Fatal(err)
		}
		z, err := zone.Parse(strings.NewReader(text), name, "zone")
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		zones, texts = append(zones, z), append(texts, nameserver.Zone{Origin: origin, Text: text})
	}
	server, ours := start(t, dnsflip.Config{ID: "ns1"})
	if err := server.Serve(zones...); err != nil {
		t.Fatal(err)
	}
	peers := map[nameserver.Kind]string{}
	for _, kind := range []nameserver.Kind{nameserver.NSD, nameserver.Knot} {
		peers[kind] = nameserver.ForTest(t, kind, nameserver.Options{Minimal: true, Zones: texts}).Addr().String()
	}

	explained := map[string]int{}
	const questions = 80
	for i, z := range zones {
		for range questions {
			q := generatedQuery(r, z)
			got := exchange(t, ours, q)
			for kind, addr := range peers {
				theirs := exchange(t, addr, q)
				if chosen, ok := chosenType(q, got); ok && essence(got) != essence(theirs) {
					explained["ANY: a server may choose which RRset it answers (RFC 8482, section 4.1)"]++
					theirs = exchange(t, addr, chosen)
				}
				if rule := explain(q, got, theirs); rule != "" {
					explained[rule]++
				} else if g, w := essence(got), essence(theirs); g != w {
					t.Errorf("%v by %s (seed %d)\nswitchd: %s\n%7s: %s\n%s", q.msg, q.network, seed, g, kind, w, texts[i].Text)
				}
			}
		}
	}
	t.Logf("%d queries; explained: %v", len(zones)*questions, explained)
	for rule, n := range explained {
		if n > len(zones)*questions/5 {
			t.Errorf("%d answers were not compared because %q: the rule takes too much", n, rule)
		}
	}
}

// query is a message and the way it goes.
type query struct {
	network string
	msg     *dns.Msg
}

func exchange(t *testing.T, addr string, q query) *dns.Msg {
	t.Helper()
	client := dns.Client{Net: q.network, UDPSize: dns.MaxMsgSize, Timeout: 5 * time.Second}
	reply, _, err := client.ExchangeContext(t.Context(), q.msg, addr)
	if err != nil {
		t.Fatalf("%s of %v to %s: %v", q.network, q.msg, addr, err)
	}
	return reply
}

// essence is what must be the same: opcode, rcode, AA, TC, and the answer with
// its TTLs. The other sections hold what each server thinks useful, and a
// truncated answer what it had room for.
func essence(m *dns.Msg) string {
	var answer []string
	if !m.Truncated {
		for _, rr := range m.Answer {
			answer = append(answer, strings.Join(strings.Fields(strings.ToLower(rr.String())), " "))
		}
	}
	slices.Sort(answer)
	return fmt.Sprintf("%s %s aa=%v tc=%v %s", dns.OpcodeToString[m.Opcode], dns.RcodeToString[m.Rcode], m.Authoritative, m.Truncated, strings.Join(answer, "; "))
}

// explain names the rule by which a server may answer otherwise than ours, if
// it does and there is one.
func explain(q query, ours, theirs *dns.Msg) string {
	same := ours.Rcode == theirs.Rcode && ours.Authoritative == theirs.Authoritative
	switch {
	case essence(ours) == essence(theirs) || !same:
		return ""
	case q.network == "udp" && ours.Truncated && !theirs.Truncated && fills(theirs, udpRoom(q.msg)):
		return "room: our cookie and identifier left too little for the answer"
	default:
		return ""
	}
}

// chosenType returns the query for the type that was answered in place of ANY.
// What a DNAME makes of a name isn't chosen.
func chosenType(q query, reply *dns.Msg) (query, bool) {
	if q.msg.Question[0].Qtype != dns.TypeANY || len(reply.Answer) == 0 {
		return q, false
	}
	last := reply.Answer[len(reply.Answer)-1].Header().Rrtype
	if last == dns.TypeCNAME && reply.Answer[0].Header().Rrtype == dns.TypeDNAME {
		return q, false
	}
	q.msg = q.msg.Copy()
	q.msg.Question[0].Qtype = last
	return q, true
}

// udpRoom is what a reply by UDP may have.
func udpRoom(query *dns.Msg) int {
	if opt := query.IsEdns0(); opt != nil {
		return max(dns.MinMsgSize, min(int(opt.UDPSize()), 1232))
	}
	return dns.MinMsgSize
}

// fills tells whether a reply leaves no room for a cookie (RFC 9018) and the
// identifier of our server.
func fills(reply *dns.Msg, room int) bool {
	const options = (4 + 24) + (4 + len("ns1"))
	reply.Compress = true
	return reply.Len() > room-options
}

// generatedQuery asks about a name of the zone, near one, or far away, in some
// shape.
func generatedQuery(r *rand.Rand, z *zone.Zone) query {
	var names []string
	for node := range z.Nodes() {
		names = append(names, node.Name.String())
	}
	slices.Sort(names)
	name := names[r.IntN(len(names))]
	switch r.IntN(8) {
	case 0, 1:
		name = generatedLabel(r) + "." + name
	case 2:
		name = generatedLabel(r) + "." + generatedLabel(r) + "." + name
	case 3:
		name = strings.Repeat("x", 1+r.IntN(63)) + "." + name
	case 4:
		name = "elsewhere.example."
	}
	types := []uint16{
		dns.TypeA, dns.TypeA, dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeNS, dns.TypeSOA, dns.TypeTXT, dns.TypeMX,
		dns.TypeSRV, dns.TypeCAA, dns.TypeDNAME, dns.TypeDS, dns.TypeHTTPS, dns.TypeANY, 65280, 666,
	}
	m := new(dns.Msg)
	m.SetQuestion(mixedCase(r, name), types[r.IntN(len(types))])
	m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = odds(r, 2), odds(r, 4), odds(r, 4)
	m.Authoritative, m.Truncated, m.Zero, m.RecursionAvailable = odds(r, 8), odds(r, 8), odds(r, 8), odds(r, 8)
	if odds(r, 2) {
		sizes := []uint16{0, 512, 700, 1232, 1400, 4096, 65535}
		m.SetEdns0(sizes[r.IntN(len(sizes))], odds(r, 3))
		opt := m.IsEdns0()
		for _, o := range []dns.EDNS0{
			&dns.EDNS0_NSID{Code: dns.EDNS0NSID},
			&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0102030405060708"},
			&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: []byte{192, 0, 2, 0}},
			&dns.EDNS0_PADDING{Padding: make([]byte, r.IntN(100))},
			&dns.EDNS0_LOCAL{Code: 65001, Data: []byte("anything")},
		} {
			if odds(r, 4) {
				opt.Option = append(opt.Option, o)
			}
		}
	}
	q := query{network: "udp", msg: m}
	if odds(r, 4) {
		q.network = "tcp"
	}
	return q
}

func odds(r *rand.Rand, oneIn int) bool { return r.IntN(oneIn) == 0 }

// mixedCase writes a name as a resolver with 0x20 does.
func mixedCase(r *rand.Rand, name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'a' && c <= 'z' && odds(r, 2) {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}

func generatedLabel(r *rand.Rand) string {
	labels := []string{"a", "b", "www", "mail", "x-y", "*", "_tcp", "1"}
	return labels[r.IntN(len(labels))]
}

// generatedZone writes a zone in which names have the roles that they have in
// life, every one of which all servers agree upon: package zone's tests have
// the others.
func generatedZone(r *rand.Rand, origin string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("$ORIGIN %s\n$TTL %d", origin, 60+r.IntN(1000))
	line("@ SOA ns1 hostmaster %d 3600 600 86400 %d", 1+r.IntN(1000), 1+r.IntN(2000))
	line("@ NS ns1\n@ NS ns.elsewhere.example.\nns1 A 192.0.2.53\nns1 AAAA 2001:db8::53")
	names := []string{"ns1"} // that may be pointed at
	target := func() string {
		if odds(r, 6) {
			return "host.elsewhere.example."
		}
		return names[r.IntN(len(names))]
	}
	closed := map[string]bool{"ns1": true} // names that take nothing more, at or below them
	for i := range 4 + r.IntN(12) {
		owner := generatedLabel(r)
		for range r.IntN(3) {
			owner = generatedLabel(r) + "." + owner
		}
		if taken(closed, owner) {
			continue
		}
		closed[owner] = true
		wild := strings.Contains(owner, "*")
		switch kind := r.IntN(10); {
		case kind == 0:
			line("%s CNAME %s", owner, target())
		case kind == 1 && !wild:
			line("%s NS ns.%[1]s\n%[1]s NS ns.elsewhere.example.\nns.%[1]s A 192.0.2.%d", owner, i)
			if odds(r, 2) {
				line("%s DS %d 13 2 %064d", owner, i, i)
			}
		case kind == 2 && !wild:
			line("%s DNAME %s", owner, target())
		case kind == 3: // too much for a packet of 512 bytes, or of 1232
			for n := range 20 + r.IntN(120) {
				line("%s A 198.51.%d.%d", owner, n/250, n%250)
			}
		case kind == 4:
			for n := range 1 + r.IntN(8) {
				line("%s TXT \"%d %s\"", owner, n, strings.Repeat("text ", r.IntN(48)))
			}
		case kind == 5:
			line("%s MX 10 %s\n%[1]s SRV 1 2 443 %[2]s\n%[1]s CAA 0 issue \"ca.example\"", owner, target())
		case kind == 6:
			line("%s TYPE65280 \\# 4 0102030%d\n%[1]s HTTPS 1 . alpn=h2", owner, r.IntN(10))
		default:
			line("%s %d A 192.0.2.%d", owner, 1+r.IntN(100), i)
			if odds(r, 2) {
				line("%s AAAA 2001:db8::%x", owner, i)
			}
		}
		names = append(names, owner)
	}
	return b.String()
}

// taken tells whether a name or one above or below it has a role.
func taken(closed map[string]bool, owner string) bool {
	for name := range closed {
		if owner == name || strings.HasSuffix(owner, "."+name) || strings.HasSuffix(name, "."+owner) {
			return true
		}
	}
	return false
}
