package dnsflip

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/spec"
)

// richView has all that an answer can be made of: a zone file with wildcards,
// aliases, delegations and empty non-terminals, and over it flips of every kind.
func richView() View {
	addrs := func(list ...string) []netip.Addr {
		var out []netip.Addr
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	return View{
		Zone: spec.Zone{
			Name: "apps.test", NameServers: []string{"ns1.apps.test", "ns.other.test"}, Admin: "a@example.net",
			TTL: spec.Duration(time.Minute), NegativeTTL: spec.Duration(5 * time.Second),
			File: &spec.ZoneFile{Name: "apps.zone", SHA256: "0123456789abcdef"},
		},
		ZoneFile: []byte(`$TTL 60
www        CNAME web
out        CNAME elsewhere.example.
loop       CNAME loop2
loop2      CNAME loop
*.wild     A 192.0.2.77
*.wild     TXT "a wildcard"
*.alias    CNAME web
*.mail     MX 10 mx.mail
mx.mail    A 192.0.2.25
deep.down.there A 192.0.2.78
sub        NS ns.sub
sub        NS ns.other.test.
ns.sub     A 192.0.2.54
old        DNAME new
x.new      A 192.0.2.79
Mixed.Case TXT "Kept"
big        TXT "` + string(bytes.Repeat([]byte("x"), 250)) + `" "` + string(bytes.Repeat([]byte("y"), 250)) + `"
big        TXT "` + string(bytes.Repeat([]byte("z"), 250)) + `"
`),
		Serial:          7,
		NameServerAddrs: map[string][]netip.Addr{"ns1.apps.test": addrs("192.0.2.53", "2001:db8::53")},
		Flips: map[string]Flip{
			"web": {
				Service: "web", Live: spec.Blue, TTL: spec.Duration(5 * time.Second), Port: 8080,
				Weights: map[string]int{spec.Blue: 70, spec.Green: 30},
				Pools:   map[string][]netip.Addr{spec.Blue: addrs("192.0.2.1", "192.0.2.2", "2001:db8::1"), spec.Green: addrs("192.0.2.11", "192.0.2.12", "192.0.2.13")},
			},
			"api": {Service: "api", Live: spec.Green, TTL: spec.Duration(60 * time.Second), Targets: map[string]string{spec.Blue: "blue.lb.example.net", spec.Green: "green.lb.example.net"}},
			Apex: {
				Service: "site", Live: spec.Blue, TTL: spec.Duration(5 * time.Second), PoolName: "site",
				Weights: map[string]int{spec.Blue: 50, spec.Green: 50},
				Pools:   map[string][]netip.Addr{spec.Blue: addrs("192.0.2.21"), spec.Green: addrs("192.0.2.31", "2001:db8::31")},
			},
			"new": {Service: "new", TTL: spec.Duration(5 * time.Second)},
		},
	}
}

// fixed is a source of random numbers that begins anew with each answer.
func fixed(seed uint64) func() uint64 {
	return func() uint64 {
		seed = seed*6364136223846793005 + 1442695040888963407
		return seed ^ seed>>29
	}
}

// FuzzServed_KeptAnswersAreTheSame holds answers that were kept to those that
// are looked up anew, byte by byte.
func FuzzServed_KeptAnswersAreTheSame(f *testing.F) {
	names := []string{
		"apps.test.", "APPS.test.", "web.apps.test.", "wEb.apps.test.", "web-green.apps.test.", "192-0-2-11.web-green.apps.test.", "www.apps.test.", "out.apps.test.", "loop.apps.test.",
		"a.wild.apps.test.", "b.a.wild.apps.test.", "wild.apps.test.", "*.wild.apps.test.", "x.alias.apps.test.", "x.mail.apps.test.", "down.there.apps.test.", "nope.down.there.apps.test.",
		"sub.apps.test.", "host.sub.apps.test.", "ns.sub.apps.test.", "old.apps.test.", "x.old.apps.test.", "y.old.apps.test.", "mixed.case.apps.test.", "big.apps.test.",
		"api.apps.test.", "site-blue.apps.test.", "new.apps.test.", "nope.apps.test.", "a.b.nope.apps.test.", "x.web.apps.test.", "ns1.apps.test.", "test.", "elsewhere.example.",
	}
	for _, name := range names {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeSRV, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeDS, dns.TypeHTTPS, dns.TypeCNAME, dns.TypeANY, 65280} {
			m := new(dns.Msg)
			m.SetQuestion(name, qtype)
			m.Id = 7
			f.Add(wire(f, m), uint64(qtype))
			m.SetEdns0(700, false)
			f.Add(wire(f, m), uint64(len(name)))
		}
	}
	s := quiet(Config{ID: "ns1"})
	if err := s.Publish(richView()); err != nil {
		f.Fatal(err)
	}
	warm := s.current.Load().only
	f.Fuzz(func(t *testing.T, packet []byte, seed uint64) {
		var q query
		if !q.parse(packet) || q.malformed || len(q.question) == 0 || q.transfer() || !below(q.name(), warm.zone.Origin()) {
			return
		}
		cold := &served{zone: warm.zone, serial: warm.serial, stable: 1 << 62, fresh: 1<<62 + 1, kept: new(atomic.Int64)}
		var replies [3][]byte
		for i, z := range []*served{warm, warm, cold} {
			p, err := z.answer(&q, fixed(seed), time.Now())
			if err != nil {
				t.Fatalf("%s: %v", dns.Type(q.qtype), err)
			}
			replies[i] = p.emit(nil, &q, 8, min(q.size, maxUDP), seed)
			if len(replies[i]) > min(q.size, maxUDP) {
				t.Fatalf("%d bytes, more than %d", len(replies[i]), q.size)
			}
			var m dns.Msg
			if err := m.Unpack(replies[i]); err != nil {
				t.Fatalf("reply %x: %v", replies[i], err)
			}
		}
		if !bytes.Equal(replies[0], replies[1]) || !bytes.Equal(replies[1], replies[2]) {
			t.Fatalf("%x\nnew   %x\nkept  %x\nagain %x", packet, replies[0], replies[1], replies[2])
		}
	})
}

// FuzzQuery_ParsesAsTheLibraryDoes holds the parser to the library's: what
// that one takes, this one takes, with the same question and the same EDNS.
func FuzzQuery_ParsesAsTheLibraryDoes(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion(`a\000\.B.apps.test.`, dns.TypeA)
	f.Add(wire(f, m))
	m.SetEdns0(4096, true)
	m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	f.Add(wire(f, m))
	m.SetTsig("key.", dns.HmacSHA256, 300, 1)
	f.Add(wire(f, m))
	m.SetIxfr("apps.test.", 7, "ns.", "host.")
	f.Add(wire(f, m))
	f.Add([]byte("\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		var q query
		if !q.parse(packet) {
			return
		}
		var m dns.Msg
		if err := m.Unpack(packet); err != nil || q.malformed {
			return // either may be the stricter one
		}
		if q.questions != len(m.Question) || int(q.id) != int(m.Id) || q.opcode != m.Opcode || q.rd != m.RecursionDesired {
			t.Fatalf("header of %x: %+v, the library has %v", packet, q.message, &m)
		}
		if len(m.Question) == 1 {
			if asked := m.Question[0]; asked.Qtype != q.qtype || asked.Qclass != q.qclass {
				t.Fatalf("question of %x: %d %d, the library has %v", packet, q.qtype, q.qclass, asked)
			}
			if name, _, err := dns.UnpackDomainName(q.question, 0); err != nil || name != m.Question[0].Name {
				t.Fatalf("name of %x: %q (%v), the library has %q", packet, name, err, m.Question[0].Name)
			}
		}
		opt := m.IsEdns0()
		if (opt != nil) != (q.edns == 1) {
			t.Fatalf("EDNS of %x: %d, the library has %v", packet, q.edns, opt)
		}
		if opt != nil && (q.do != opt.Do() || q.version != opt.Version() || q.size != max(int(opt.UDPSize()), dns.MinMsgSize)) {
			t.Fatalf("EDNS of %x: %+v, the library has %v", packet, q.message, opt)
		}
		if (m.IsTsig() != nil) != q.tsig {
			t.Fatalf("TSIG of %x: %t, the library has %v", packet, q.tsig, m.IsTsig())
		}
	})
}
