package dnsupdate

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// apply is what a primary makes of an update for a name that holds a CNAME, or
// nothing for an empty target: RFC 2136 sections 3.2 and 3.4.
func apply(t *rapid.T, m *dns.Msg, holds string) (then string, rcode int) {
	for _, rr := range m.Answer {
		switch h := rr.Header(); {
		case h.Ttl != 0:
			return holds, dns.RcodeFormatError
		case h.Class == dns.ClassNONE && h.Rrtype == dns.TypeANY:
			if holds != "" {
				return holds, dns.RcodeYXDomain
			}
		case h.Class == dns.ClassINET && h.Rrtype == dns.TypeCNAME:
			if !strings.EqualFold(holds, rr.(*dns.CNAME).Target) {
				return holds, dns.RcodeNXRrset
			}
		default:
			t.Fatalf("unexpected prerequisite %v", rr)
		}
	}
	for _, rr := range m.Ns {
		switch h := rr.Header(); h.Class {
		case dns.ClassANY:
			holds = ""
		case dns.ClassINET:
			if holds != "" {
				t.Fatalf("%v beside %s", rr, holds)
			}
			holds = rr.(*dns.CNAME).Target
		default:
			t.Fatalf("unexpected update %v", rr)
		}
	}
	return holds, dns.RcodeSuccess
}

// TestUpdate_ReplacesOnlyItsOwn has somebody else change the name between the
// look and the update, in any way.
func TestUpdate_ReplacesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	own := []string{"blue.lb.example.net", "green.lb.example.net"}
	anything := rapid.SampledFrom([]string{"", "blue.lb.example.net.", "Green.LB.example.net.", "maintenance.example.com.", "web.example.org."})
	rapid.Check(t, func(t *rapid.T) {
		seen, holds := anything.Draw(t, "seen"), anything.Draw(t, "holds")
		r := Record{Name: "web.example.net", Target: rapid.SampledFrom(own).Draw(t, "target"), TTL: time.Minute, Own: own}
		now := held{}
		if seen != "" {
			now.cname = &dns.CNAME{Hdr: dns.RR_Header{Name: "web.example.net.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60}, Target: seen}
		}
		m := r.update("example.net", now)
		if _, err := m.Pack(); err != nil {
			t.Fatal(err)
		}
		then, rcode := apply(t, m, holds)
		ours := holds == "" || slices.Contains(own, plain(holds))
		switch {
		case rcode == dns.RcodeFormatError:
			t.Fatalf("malformed: %v", m)
		case !ours && then != holds:
			t.Fatalf("%s was overwritten by %s", holds, then)
		case rcode == dns.RcodeSuccess && plain(then) != r.Target:
			t.Fatalf("it holds %q, want %s", then, r.Target)
		case strings.EqualFold(seen, holds) && ours && rcode != dns.RcodeSuccess:
			t.Fatalf("nobody was in between, but: %s", dns.RcodeToString[rcode])
		}
	})
}

// FuzzRefused has any bytes for a refusal: what is said of it names the
// primary and the key.
func FuzzRefused(f *testing.F) {
	m := new(dns.Msg)
	m.SetUpdate("example.net.")
	m.Response, m.Rcode = true, dns.RcodeNotAuth
	m.SetTsig("switchd.", dns.HmacSHA256, 300, 1_000_000_000)
	t := m.IsTsig()
	t.Error, t.OtherLen, t.OtherData = dns.RcodeBadTime, 6, "00003b9aca00"
	for _, code := range []uint16{dns.RcodeBadTime, dns.RcodeBadKey, 99} {
		t.Error = code
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	p := Primary{Server: "192.0.2.53:53", Zone: "example.net", Key: "switchd"}
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		said := p.refused(m).Error()
		for _, want := range []string{p.Server, p.Zone, p.Key} {
			if !strings.Contains(said, want) {
				t.Errorf("%s isn't said: %s", want, said)
			}
		}
	})
}
