package zone_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"switchd/zone"
)

// node makes a node of records of one name.
func node(t fataler, text string) *zone.Node {
	var n zone.Node
	for line := range strings.Lines(text) {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		h := rr.Header()
		n.Name = name(t, h.Name)
		if last := len(n.Sets) - 1; last >= 0 && n.Sets[last].Type == h.Rrtype {
			n.Sets[last].RRs = append(n.Sets[last].RRs, rr)
			continue
		}
		n.Sets = append(n.Sets, zone.Set{Type: h.Rrtype, RRs: []dns.RR{rr}})
	}
	return &n
}

// TestWith_AnswersAsAZoneOfAllRecordsDoes lays nodes over a zone and compares
// it with one that was made with their records.
func TestWith_AnswersAsAZoneOfAllRecordsDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		z := drawZone(t)
		var laid []*zone.Node
		for range rapid.IntRange(0, 4).Draw(t, "nodes") {
			owner := testOrigin
			for range rapid.IntRange(1, 4).Draw(t, "labels") {
				owner = rapid.SampledFrom(labels[:]).Draw(t, "label") + "." + owner
			}
			data := rapid.SampledFrom([]string{" 5 A 192.0.2.251", " 5 CNAME a.b.z.test.", " 5 TXT t"}).Draw(t, "data")
			if n := node(t, owner+data); !slices.ContainsFunc(laid, func(o *zone.Node) bool { return o.Name == n.Name }) {
				laid = append(laid, n)
			}
		}
		over, err := z.With(8, laid)
		if at := hidden(z, laid); err != nil || at != "" {
			var clash *zone.Clash
			if at == "" || !errors.As(err, &clash) || clash.Place == "" {
				t.Fatalf("got %v, want a clash at %q", err, at)
			}
			return
		}
		var records []zone.Record
		for rr := range z.Records() {
			at := name(t, rr.Header().Name)
			if slices.ContainsFunc(laid, func(n *zone.Node) bool { return n.Name == at }) {
				continue
			}
			if soa, ok := rr.(*dns.SOA); ok {
				soa := *soa
				soa.Serial = 8
				rr = &soa
			}
			records = append(records, zone.Record{RR: rr})
		}
		for _, n := range laid {
			records = append(records, zone.Record{RR: n.Sets[0].RRs[0]})
		}
		whole, err := zone.New(name(t, testOrigin), records)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := section(slices.Collect(over.Records())), section(slices.Collect(whole.Records())); got != want {
			t.Fatalf("records\n got: %s\nwant: %s", got, want)
		}
		if !over.Same(z) || over.Same(whole) || over.Serial() != 8 || z.Serial() != 1 {
			t.Fatal("the overlay has its own serial and shares the zone's data")
		}
		for range 20 {
			q := drawQuestion(t, over)
			got, want := brief(over.Lookup(q.name, q.qtype, nil)), brief(whole.Lookup(q.name, q.qtype, nil))
			if got != want {
				t.Fatalf("%s %s\n got: %s\nwant: %s", q.name, dns.TypeToString[q.qtype], got, want)
			}
		}
	})
}

// hidden returns the first name of the zone that does not let a node be laid
// at its name or below it.
func hidden(z *zone.Zone, laid []*zone.Node) string {
	for _, n := range laid {
		for at := n.Name; at != z.Origin() || z.Node([]byte(at)).Set(dns.TypeDNAME) != nil; at = at.Parent() {
			own := z.Node([]byte(at))
			if own != nil && (own.Set(dns.TypeNS) != nil || own.Set(dns.TypeDNAME) != nil || at == n.Name && own.Set(dns.TypeCNAME) != nil) {
				return at.String()
			}
		}
	}
	return ""
}

func TestWith_NamesThePlaceOfAClash(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)
	for owner, want := range map[string]string{
		"out.z.test.":   "zone:18: out.z.test. is a CNAME already: remove that, or use another name",
		"x.sub.z.test.": "zone:11: sub.z.test. is a zone cut, which hides x.sub.z.test. below it: remove that, or use another name",
	} {
		_, err := z.With(8, []*zone.Node{node(t, owner+" 5 A 192.0.2.9")})
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, bad := range []string{"x.z.test. 5 NS ns.z.test.", "x.z.test. 5 DNAME z.test.", "example.net. 5 A 192.0.2.9", "z.test. 5 A 192.0.2.9"} {
		if _, err := z.With(8, []*zone.Node{node(t, bad)}); err == nil {
			t.Errorf("%s was laid over", bad)
		}
	}
	if got := z.Place(name(t, "_s._tcp.z.test.")); got != "zone:10" {
		t.Errorf("got %s, want zone:10", got)
	}
	if got := z.Place(name(t, "_tcp.z.test.")) + z.Place(name(t, "none.z.test.")); got != "" {
		t.Errorf("got %s for names without records", got)
	}
}

func TestWith_ReplacesTheApexAndKeepsItsSOA(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)
	over, err := z.With(9, []*zone.Node{node(t, "z.test. 30 A 192.0.2.9\nz.test. 30 NS ns.z.test.")})
	if err != nil {
		t.Fatal(err)
	}
	r := over.Lookup(name(t, "z.test."), dns.TypeSOA, nil)
	if len(r.Answer) != 1 || r.Answer[0].(*dns.SOA).Serial != 9 {
		t.Errorf("got %v, want the SOA with its new serial", r.Answer)
	}
	if r := over.Lookup(name(t, "z.test."), dns.TypeA, nil); len(r.Answer) != 1 {
		t.Errorf("got %v, want the address at the apex", r.Answer)
	}
	if r := over.Lookup(name(t, "z.test."), dns.TypeMX, nil); len(r.Answer) != 0 || r.Authority[0].(*dns.SOA).Serial != 9 {
		t.Errorf("got %v, want the MX replaced and the new serial in the negative answer", r)
	}
	if again, err := over.With(10, nil); err != nil || len(again.Lookup(name(t, "z.test."), dns.TypeMX, nil).Answer) != 1 {
		t.Errorf("a new overlay is in place of the old one (%v)", err)
	}
}

func TestWith_KeepsTheEmptyNamesItMade(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)
	deep := node(t, "a.b.c.z.test. 5 A 192.0.2.9")
	first, err := z.With(8, []*zone.Node{deep})
	if err != nil {
		t.Fatal(err)
	}
	second, err := first.With(9, []*zone.Node{deep})
	if err != nil {
		t.Fatal(err)
	}
	if len(first.Overlay()) != 3 {
		t.Errorf("got %d nodes, want the node and the two empty names above it", len(first.Overlay()))
	}
	for n, kept := range first.Overlay() {
		if second.Overlay()[n] != kept {
			t.Errorf("%s is another node now", n)
		}
	}
}

func TestLookup_TellsWhatAnAnswerDependsOn(t *testing.T) {
	t.Parallel()
	z := parse(t, "z.test.", smallZone)
	web := &zone.Node{Name: name(t, "web.z.test."), Unit: "web", Choices: []zone.Choice{
		{Weight: 0, Sets: node(t, "web.z.test. 5 CNAME none.z.test.").Sets},
		{Weight: 30, Sets: node(t, "web.z.test. 5 CNAME web-blue.z.test.").Sets},
		{Weight: 70, Sets: node(t, "web.z.test. 5 CNAME web-green.z.test.").Sets},
	}}
	blue, green := node(t, "web-blue.z.test. 5 A 192.0.2.8"), node(t, "web-green.z.test. 5 A 192.0.2.9")
	shop := node(t, "shop.z.test. 5 CNAME web.z.test.")
	direct := node(t, "direct.z.test. 5 CNAME web-blue.z.test.")
	blue.Unit, green.Unit, shop.Unit, direct.Unit = "web", "web", "shop", "shop"
	over, err := z.With(8, []*zone.Node{web, blue, green, shop, direct})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name           string
		random         int // what pick returns
		chosen         int
		sets           bool // Shared
		once           bool // Random
		address        string
		exact, missing bool
	}{
		{name: "web.z.test.", random: 29, chosen: 1, sets: true, address: "192.0.2.8", exact: true},
		{name: "web.z.test.", random: 30, chosen: 2, sets: true, address: "192.0.2.9", exact: true},
		{name: "web-blue.z.test.", chosen: -1, sets: true, address: "192.0.2.8", exact: true},
		{name: "shop.z.test.", random: 99, chosen: -1, once: true, address: "192.0.2.9", exact: true},
		{name: "direct.z.test.", chosen: -1, address: "192.0.2.8", exact: true},
		{name: "ns.z.test.", chosen: -1, sets: true, address: "192.0.2.1", exact: true},
		{name: "none.z.test.", chosen: -1, sets: true, missing: true},
		{name: "none.web.z.test.", chosen: -1, sets: true, missing: true},
	} {
		r := over.Lookup(name(t, c.name), dns.TypeA, func(total int) int {
			if total != 100 {
				t.Errorf("%s: the weights sum up to %d, want 100", c.name, total)
			}
			return c.random
		})
		if r.Chosen != c.chosen || r.Shared != c.sets || r.Random != c.once || r.Exact != c.exact || (r.Rcode == dns.RcodeNameError) != c.missing {
			t.Errorf("%s: got %+v, want %+v", c.name, r, c)
		}
		if !c.missing {
			if a, ok := r.Answer[len(r.Answer)-1].(*dns.A); !ok || a.A.String() != c.address {
				t.Errorf("%s: got %v, want %s", c.name, r.Answer, c.address)
			}
		}
	}
	text := section(slices.Collect(over.Records()))
	if !strings.Contains(text, "web.z.test. 5 in cname web-blue.z.test.") || strings.Contains(text, "cname web-green") {
		t.Errorf("got %s, want the first choice with weight", text)
	}
}
