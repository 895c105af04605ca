package dnsflip

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/spec"
)

// manyView has a service with more addresses than fit a packet, and 100
// others.
func manyView() View {
	v := View{
		Zone: spec.Zone{
			Name: "apps.test", NameServers: []string{"ns1.apps.test"}, Admin: "a@example.net",
			TTL: spec.Duration(time.Minute), NegativeTTL: spec.Duration(5 * time.Second),
		},
		Serial:          7,
		NameServerAddrs: map[string][]netip.Addr{"ns1.apps.test": {netip.MustParseAddr("192.0.2.53")}},
		Flips:           map[string]Flip{},
	}
	for i := range 101 {
		label, pool := fmt.Sprintf("web%d", i), []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		if i == 0 {
			label = "web"
			for n := range byte(200) {
				pool = append(pool, netip.AddrFrom4([4]byte{198, 51, 100, n}), netip.AddrFrom16([16]byte{0x20, 0x01, 15: n}))
			}
		}
		v.Flips[label] = Flip{
			Service: label, Live: spec.Blue, TTL: spec.Duration(5 * time.Second),
			Weights: map[string]int{spec.Blue: 90, spec.Green: 10},
			Pools:   map[string][]netip.Addr{spec.Blue: pool, spec.Green: pool[:2]},
		}
	}
	return v
}

func quiet(cfg Config) *Server {
	cfg.Log = slog.New(slog.DiscardHandler)
	return NewServer(cfg)
}

func wire(tb testing.TB, m *dns.Msg) []byte {
	tb.Helper()
	packet, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	return packet
}

// absolute returns the canonical form of a label, or labels, in a zone.
func absolute(label, zone string) string {
	return dns.CanonicalName(label + "." + zone)
}

// respond gives the reply of a worker of its own.
func respond(s *Server, packet []byte, via transport) []byte {
	return s.newWorker(&counters{}).respond(packet, netip.MustParseAddr("192.0.2.200"), via)
}

func FuzzServer_RespondsToAnything(f *testing.F) {
	for _, name := range []string{"web.apps.test.", "WEB-blue.apps.test.", "apps.test.", "nope.apps.test.", "id.server."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeANY, dns.TypeNS, dns.TypeSOA, dns.TypeOPT} {
			m := new(dns.Msg)
			m.SetQuestion(name, qtype)
			f.Add(wire(f, m))
			m.SetEdns0(1400, true)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
			f.Add(wire(f, m))
		}
	}
	f.Add([]byte("\x12\x34\x79\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c"))
	server, unready := quiet(Config{ID: "ns1"}), quiet(Config{})
	if err := server.Publish(manyView()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, s := range []*Server{server, unready} {
			for transport, limit := range map[transport]int{udp: maxUDP, tcp: dns.MaxMsgSize} {
				out := respond(s, packet, transport)
				silent := len(packet) < headerSize || packet[2]&0x80 != 0
				if (out == nil) != silent {
					t.Fatalf("%s: reply %x to %x", transport, out, packet)
				}
				if silent {
					continue
				}
				reply := new(dns.Msg)
				if err := reply.Unpack(out); err != nil {
					t.Fatalf("%s: reply %x to %x: %v", transport, out, packet, err)
				}
				opcode := int(packet[2] >> 3)
				if !reply.Response || out[0] != packet[0] || out[1] != packet[1] || reply.Opcode != opcode || out[3]&0xf0 != 0 {
					t.Fatalf("%s: header %x to %x", transport, out[:headerSize], packet[:headerSize])
				}
				if reply.IsEdns0() == nil && transport == udp {
					limit = dns.MinMsgSize
				}
				if len(out) > limit {
					t.Fatalf("%s: %d bytes to %x", transport, len(out), packet)
				}
				if reply.Truncated && transport == tcp {
					t.Fatalf("truncated by TCP to %x", packet)
				}
				if opcode != dns.OpcodeQuery && (reply.Authoritative || len(reply.Answer) > 0) {
					t.Fatalf("an answer to opcode %d: %v", opcode, reply)
				}
				if reply.Rcode == dns.RcodeServerFailure && s == server {
					t.Fatalf("SERVFAIL to %x", packet)
				}
			}
		}
	})
}

func BenchmarkServer_Answer(b *testing.B) {
	server := quiet(Config{})
	if err := server.Publish(manyView()); err != nil {
		b.Fatal(err)
	}
	for name, qtype := range map[string]uint16{"web1": dns.TypeA, "web1-blue": dns.TypeA, "nope": dns.TypeA, "web1.": dns.TypeCNAME} {
		m := new(dns.Msg)
		m.SetQuestion(absolute(dns.Fqdn(name)[:len(dns.Fqdn(name))-1], "apps.test"), qtype)
		m.SetEdns0(maxUDP, false)
		packet := wire(b, m)
		b.Run(dns.TypeToString[qtype]+" "+m.Question[0].Name, func(b *testing.B) {
			w, client := server.newWorker(&counters{}), netip.MustParseAddr("192.0.2.200")
			b.ReportAllocs()
			for b.Loop() {
				if w.respond(packet, client, udp) == nil {
					b.Fatal("no reply")
				}
			}
		})
	}
}

// BenchmarkServer_Publish flips one of many services.
func BenchmarkServer_Publish(b *testing.B) {
	for _, services := range []int{10, 100, 1000} {
		b.Run(strconv.Itoa(services), func(b *testing.B) {
			server := quiet(Config{})
			v := manyView()
			for i := range services {
				label := fmt.Sprintf("service%d", i)
				v.Flips[label] = Flip{
					Service: label, Live: spec.Blue, TTL: spec.Duration(5 * time.Second), Port: 80,
					Pools: map[string][]netip.Addr{spec.Blue: {netip.MustParseAddr("192.0.2.1")}, spec.Green: {netip.MustParseAddr("192.0.2.2")}},
				}
			}
			f := v.Flips["service1"]
			for serial := uint32(10); b.Loop(); serial++ {
				f.Live = spec.Other(f.Live)
				v.Flips["service1"], v.Serial = f, serial
				if err := server.Publish(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
