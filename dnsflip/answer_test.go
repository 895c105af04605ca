package dnsflip_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"switchd/dnsflip"
	"switchd/spec"
)

const (
	zoneSOA     = "apps.test.\t60\tIN\tSOA\tns1.infra.apps.test. dns\\.admin.example.net. 7 300 60 1209600 5"
	negativeSOA = "apps.test.\t5\tIN\tSOA\tns1.infra.apps.test. dns\\.admin.example.net. 7 300 60 1209600 5"
)

func TestServer_AnswersByTheBook(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	publish(t, server, testView(7, spec.Green))

	green := []string{
		"web-green.apps.test.\t5\tIN\tA\t192.0.2.11",
		"web-green.apps.test.\t5\tIN\tA\t192.0.2.12",
	}
	cname := "web.apps.test.\t5\tIN\tCNAME\tweb-green.apps.test."
	ns := []string{"apps.test.\t60\tIN\tNS\tns.example.net.", "apps.test.\t60\tIN\tNS\tns1.infra.apps.test."}
	glue := []string{"ns1.infra.apps.test.\t60\tIN\tA\t192.0.2.53", "ns1.infra.apps.test.\t60\tIN\tAAAA\t2001:db8::53"}
	soa, none := []string{negativeSOA}, []string(nil)
	for _, tt := range []struct {
		what, name string
		qtype      uint16
		rcode      int
		answer     []string
		authority  []string
		additional []string
	}{
		{"a service's addresses with its CNAME", "web.apps.test.", dns.TypeA, dns.RcodeSuccess, append(slices.Clone(green), cname), none, none},
		{"the question's case", "wEb.ApPs.TeSt.", dns.TypeCNAME, dns.RcodeSuccess, []string{"wEb.ApPs.TeSt.\t5\tIN\tCNAME\tweb-green.ApPs.TeSt."}, none, none},
		{"a CNAME alone", "web.apps.test.", dns.TypeCNAME, dns.RcodeSuccess, []string{cname}, none, none},
		{"one RRset for ANY", "web.apps.test.", dns.TypeANY, dns.RcodeSuccess, []string{cname}, none, none},
		{"no address of the family behind the CNAME", "web.apps.test.", dns.TypeAAAA, dns.RcodeSuccess, []string{cname}, soa, none},
		{"another type behind the CNAME", "web.apps.test.", dns.TypeTXT, dns.RcodeSuccess, []string{cname}, soa, none},
		{"an unknown type behind the CNAME", "web.apps.test.", 65280, dns.RcodeSuccess, []string{cname}, soa, none},
		{"the serial with the CNAME", "web.apps.test.", dns.TypeSOA, dns.RcodeSuccess, []string{cname}, soa, none},
		{"a pool", "web-green.apps.test.", dns.TypeA, dns.RcodeSuccess, green, none, none},
		{"the idle pool", "web-blue.apps.test.", dns.TypeAAAA, dns.RcodeSuccess, []string{"web-blue.apps.test.\t5\tIN\tAAAA\t2001:db8::1"}, none, none},
		{"a pool in the question's case", "WEB-blue.apps.test.", dns.TypeAAAA, dns.RcodeSuccess, []string{"WEB-blue.apps.test.\t5\tIN\tAAAA\t2001:db8::1"}, none, none},
		{"one RRset of a pool for ANY", "web-blue.apps.test.", dns.TypeANY, dns.RcodeSuccess, []string{"web-blue.apps.test.\t5\tIN\tA\t192.0.2.1", "web-blue.apps.test.\t5\tIN\tA\t192.0.2.2"}, none, none},
		{"a pool without the family", "web-green.apps.test.", dns.TypeAAAA, dns.RcodeSuccess, none, soa, none},
		{"an empty pool", "new-green.apps.test.", dns.TypeA, dns.RcodeSuccess, none, soa, none},
		{"the zone's TTL if it is less", "api.apps.test.", dns.TypeA, dns.RcodeSuccess, []string{"api-green.apps.test.\t60\tIN\tA\t192.0.2.31", "api.apps.test.\t90\tIN\tCNAME\tapi-green.apps.test."}, none, none},
		{"no live release", "new.apps.test.", dns.TypeA, dns.RcodeSuccess, none, soa, none},
		{"no live release, CNAME", "new.apps.test.", dns.TypeCNAME, dns.RcodeSuccess, none, soa, none},
		{"no live release, ANY", "new.apps.test.", dns.TypeANY, dns.RcodeSuccess, none, soa, none},
		{"a live pool without addresses", "dark.apps.test.", dns.TypeA, dns.RcodeSuccess, []string{"dark.apps.test.\t5\tIN\tCNAME\tdark-green.apps.test."}, soa, none},
		{"the SOA", "apps.test.", dns.TypeSOA, dns.RcodeSuccess, []string{zoneSOA}, none, none},
		{"ANY at the apex", "apps.test.", dns.TypeANY, dns.RcodeSuccess, ns, none, glue},
		{"the name servers with glue", "apps.test.", dns.TypeNS, dns.RcodeSuccess, ns, none, glue},
		{"no address at the apex", "apps.test.", dns.TypeA, dns.RcodeSuccess, none, soa, none},
		{"a name server", "ns1.infra.apps.test.", dns.TypeA, dns.RcodeSuccess, glue[:1], none, none},
		{"an empty non-terminal", "infra.apps.test.", dns.TypeA, dns.RcodeSuccess, none, soa, none},
		{"a name that is not there", "nope.apps.test.", dns.TypeA, dns.RcodeNameError, none, soa, none},
		{"a name below a service", "x.web.apps.test.", dns.TypeA, dns.RcodeNameError, none, soa, none},
		{"a label with a dot in it", `web\.apps.test.`, dns.TypeA, dns.RcodeRefused, none, none, none},
		{"a label with a zero byte in it", `we\000b.apps.test.`, dns.TypeA, dns.RcodeNameError, none, soa, none},
		{"another zone", "example.net.", dns.TypeA, dns.RcodeRefused, none, none, none},
		{"the zone's parent", "test.", dns.TypeNS, dns.RcodeRefused, none, none, none},
		{"the root", ".", dns.TypeNS, dns.RcodeRefused, none, none, none},
		{"a zone transfer", "apps.test.", dns.TypeAXFR, dns.RcodeRefused, none, none, none},
		{"an incremental transfer", "apps.test.", dns.TypeIXFR, dns.RcodeRefused, none, none, none},
	} {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(network+" "+tt.what, func(t *testing.T) {
				t.Parallel()
				query := question(tt.name, tt.qtype)
				reply := ask(t, network, addr, query)
				if reply.Rcode != tt.rcode {
					t.Errorf("rcode %s, want %s", dns.RcodeToString[reply.Rcode], dns.RcodeToString[tt.rcode])
				}
				if want := tt.rcode != dns.RcodeRefused; reply.Authoritative != want {
					t.Errorf("AA is %t, want %t", reply.Authoritative, want)
				}
				if !slices.Equal(reply.Question, query.Question) {
					t.Errorf("question %v, want %v", reply.Question, query.Question)
				}
				for _, section := range []struct {
					name      string
					got, want []string
				}{
					{"answer", records(reply.Answer), tt.answer},
					{"authority", records(reply.Ns), tt.authority},
					{"additional", records(reply.Extra), tt.additional},
				} {
					if !slices.Equal(section.got, section.want) {
						t.Errorf("%s:\n%s\nwant:\n%s", section.name, strings.Join(section.got, "\n"), strings.Join(section.want, "\n"))
					}
				}
				if tt.qtype == dns.TypeA && len(tt.answer) == 3 && reply.Answer[0].Header().Rrtype != dns.TypeCNAME {
					t.Errorf("the CNAME is not first: %v", reply.Answer)
				}
			})
		}
	}
}

func TestServer_KeepsToTheHeaderRules(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{ID: "ns1.apps.test"})
	publish(t, server, testView(7, spec.Green))
	type edit func(*dns.Msg)
	opt := func(edits ...func(*dns.OPT)) edit {
		return func(m *dns.Msg) {
			o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
			o.SetUDPSize(4096)
			for _, e := range edits {
				e(o)
			}
			m.Extra = append(m.Extra, o)
		}
	}
	opcode := func(code int) edit { return func(m *dns.Msg) { m.Opcode = code } }
	class := func(class uint16) edit { return func(m *dns.Msg) { m.Question[0].Qclass = class } }
	nsid := func(o *dns.OPT) { o.Option = append(o.Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}) }
	for _, tt := range []struct {
		what  string
		edits []edit
		rcode int
	}{
		{"plain", nil, dns.RcodeSuccess},
		{"RD is copied", []edit{func(m *dns.Msg) { m.RecursionDesired = true }}, dns.RcodeSuccess},
		{"other bits are cleared", []edit{func(m *dns.Msg) {
			m.Authoritative, m.Truncated, m.RecursionAvailable = true, true, true
			m.Zero, m.AuthenticatedData, m.CheckingDisabled = true, true, true
			m.Rcode = dns.RcodeRefused
		}}, dns.RcodeSuccess},
		{"CHAOS of no known name", []edit{class(dns.ClassCHAOS)}, dns.RcodeRefused},
		{"class ANY", []edit{class(dns.ClassANY)}, dns.RcodeRefused},
		{"class HESIOD", []edit{class(dns.ClassHESIOD)}, dns.RcodeRefused},
		{"NOTIFY", []edit{opcode(dns.OpcodeNotify)}, dns.RcodeRefused},
		{"UPDATE", []edit{opcode(dns.OpcodeUpdate)}, dns.RcodeRefused},
		{"IQUERY", []edit{opcode(dns.OpcodeIQuery)}, dns.RcodeNotImplemented},
		{"an unknown opcode", []edit{opcode(15)}, dns.RcodeNotImplemented},
		{"no question", []edit{func(m *dns.Msg) { m.Question = nil }}, dns.RcodeFormatError},
		{"no question but OPT", []edit{func(m *dns.Msg) { m.Question = nil }, opt()}, dns.RcodeFormatError},
		{"two questions", []edit{func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }}, dns.RcodeFormatError},
		{"EDNS", []edit{opt()}, dns.RcodeSuccess},
		{"EDNS with DO", []edit{opt(func(o *dns.OPT) { o.SetDo() })}, dns.RcodeSuccess},
		{"EDNS with unknown flags", []edit{opt(func(o *dns.OPT) { o.SetZ(0x1fff) })}, dns.RcodeSuccess},
		{"EDNS with an unknown option", []edit{opt(func(o *dns.OPT) {
			o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")})
		})}, dns.RcodeSuccess},
		{"EDNS with a cookie", []edit{opt(func(o *dns.OPT) {
			o.Option = append(o.Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"})
		})}, dns.RcodeSuccess},
		{"EDNS with NSID", []edit{opt(nsid)}, dns.RcodeSuccess},
		{"EDNS of version 1", []edit{opt(func(o *dns.OPT) { o.SetVersion(1) })}, dns.RcodeBadVers},
		{"two OPT", []edit{opt(), opt()}, dns.RcodeFormatError},
		{"an OPT at a name", []edit{opt(func(o *dns.OPT) { o.Hdr.Name = "apps.test." })}, dns.RcodeFormatError},
		{"an unknown opcode with EDNS", []edit{opcode(15), opt()}, dns.RcodeNotImplemented},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			query := question("web.apps.test.", dns.TypeA)
			for _, e := range tt.edits {
				e(query)
			}
			packet, err := query.Pack()
			if err != nil {
				t.Fatal(err)
			}
			reply := new(dns.Msg)
			wire := raw(t, addr, packet)
			if err := reply.Unpack(wire); err != nil {
				t.Fatal(err)
			}
			if reply.Rcode != tt.rcode {
				t.Errorf("rcode %d, want %d", reply.Rcode, tt.rcode)
			}
			want := dns.MsgHdr{
				Id: query.Id, Response: true, Opcode: query.Opcode, RecursionDesired: query.RecursionDesired,
				Authoritative: tt.rcode == dns.RcodeSuccess, Rcode: tt.rcode,
			}
			if reply.MsgHdr != want {
				t.Errorf("header %+v, want %+v", reply.MsgHdr, want)
			}
			if got := len(reply.Answer) > 0; got != (tt.rcode == dns.RcodeSuccess) {
				t.Errorf("rcode %d with answer %v", tt.rcode, reply.Answer)
			}
			asked, got := query.IsEdns0(), reply.IsEdns0()
			if (asked != nil) != (got != nil) {
				t.Fatalf("OPT asked: %v, got: %v", asked, got)
			}
			if got == nil {
				return
			}
			if got.Version() != 0 || got.Z() != 0 || got.Co() || got.Do() != asked.Do() || got.UDPSize() != 1232 {
				t.Errorf("OPT %v for %v", got, asked)
			}
			wantOption := ""
			for _, o := range asked.Option {
				switch o.Option() {
				case dns.EDNS0NSID:
					wantOption = "6e73312e617070732e74657374" // ns1.apps.test
				case dns.EDNS0COOKIE:
					wantOption = "0123456789abcdef01000000" // the client's part, version and reserved bytes
				}
			}
			if wantOption == "" && len(got.Option) > 0 || wantOption != "" && (len(got.Option) != 1 || !strings.HasPrefix(got.Option[0].String(), wantOption)) {
				t.Errorf("options %v, want %q", got.Option, wantOption)
			}
		})
	}
}

func TestServer_RepliesToBrokenPackets(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	publish(t, server, testView(7, spec.Green))
	for _, tt := range []struct {
		what, packet, want string
	}{
		{"a header alone", "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", "\x12\x34\x81\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"all flags and half a name", "\x12\x34\x07\xff\x00\x01\x00\x00\x00\x00\x00\x00\x09web", "\x12\x34\x81\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"a name that points at itself", "\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01", "\x12\x34\x80\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
		{"an OPT with half an option", "\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x01\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x04\x00\x03\x00\x09", "\x12\x34\x80\x01\x00\x01\x00\x00\x00\x00\x00\x01\x00\x00\x01\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"},
		{"an unknown opcode and rubbish", "\x12\x34\x79\x00\x00\x01\x00\x00\x00\x00\x00\x00\xff\xff", "\x12\x34\xf9\x04\x00\x00\x00\x00\x00\x00\x00\x00"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			if got := raw(t, addr, []byte(tt.packet)); string(got) != tt.want {
				t.Errorf("got %x, want %x", got, tt.want)
			}
		})
	}
}

func TestServer_IsSilentToRepliesAndScraps(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	publish(t, server, testView(7, spec.Green))
	reply := question("web.apps.test.", dns.TypeA)
	reply.Response = true
	reply.Id = 1
	query := question("web.apps.test.", dns.TypeA)
	query.Id = 2
	var packets [][]byte
	for _, m := range []*dns.Msg{reply, query} {
		p, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, p)
	}
	got := raw(t, addr, packets[0], packets[0][:11], packets[1])
	if got[0] != 0 || got[1] != 2 {
		t.Errorf("the first reply has ID %x, want that of the query", got[:2])
	}
}

func TestServer_MayBeNamedLikeItsZone(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	v := testView(7, spec.Green)
	v.Zone.NameServers = []string{"Apps.Test."}
	v.NameServerAddrs = map[string][]netip.Addr{"Apps.Test.": addrs("192.0.2.53")}
	publish(t, server, v)
	want := []string{"apps.test.\t60\tIN\tA\t192.0.2.53"}
	if got := records(ask(t, "udp", addr, question("apps.test.", dns.TypeA)).Answer); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := records(ask(t, "udp", addr, question("apps.test.", dns.TypeNS)).Extra); !slices.Equal(got, want) {
		t.Errorf("glue %q, want %q", got, want)
	}
}

func TestServer_TellsItsID(t *testing.T) {
	t.Parallel()
	_, addr := start(t, dnsflip.Config{ID: "ns1.apps.test"}) // even before it has a view
	for _, name := range []string{"id.server.", "hostname.bind."} {
		query := question(name, dns.TypeTXT)
		query.Question[0].Qclass = dns.ClassCHAOS
		want := []string{name + "\t0\tCH\tTXT\t\"ns1.apps.test\""}
		if got := records(ask(t, "udp", addr, query).Answer); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	_, addr = start(t, dnsflip.Config{})
	query := question("id.server.", dns.TypeTXT)
	query.Question[0].Qclass = dns.ClassCHAOS
	if got := ask(t, "udp", addr, query); got.Rcode != dns.RcodeRefused {
		t.Errorf("without an ID: %v, want REFUSED", got)
	}
}

func TestServer_TruncatesOverUDPOnly(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	v := testView(7, spec.Green)
	var pool []string
	for i := range 200 {
		pool = append(pool, fmt.Sprintf("198.51.100.%d", i+1))
	}
	v.Flips["web"].Pools[spec.Green] = addrs(pool...)
	publish(t, server, v)
	for _, tt := range []struct {
		network string
		size    uint16 // 0: no EDNS
		limit   int
		whole   bool
	}{
		{"udp", 0, 512, false},
		{"udp", 100, 512, false},
		{"udp", 700, 700, false},
		{"udp", 4096, 1232, false},
		{"tcp", 0, dns.MaxMsgSize, true},
		{"tcp", 512, dns.MaxMsgSize, true},
	} {
		query := question("web.apps.test.", dns.TypeA)
		if tt.size > 0 {
			query.SetEdns0(tt.size, false)
		}
		var reply *dns.Msg
		if tt.network == "udp" {
			packet, err := query.Pack()
			if err != nil {
				t.Fatal(err)
			}
			wire := raw(t, addr, packet)
			if len(wire) > tt.limit || len(wire) < tt.limit-32 {
				t.Errorf("size %d: the reply has %d bytes, want %d or a bit less", tt.size, len(wire), tt.limit)
			}
			reply = new(dns.Msg)
			if err := reply.Unpack(wire); err != nil {
				t.Fatal(err)
			}
		} else {
			reply = ask(t, tt.network, addr, query)
		}
		if reply.Truncated == tt.whole {
			t.Errorf("%s size %d: TC is %t", tt.network, tt.size, reply.Truncated)
		}
		if got := len(reply.Answer); tt.whole && got != 201 || got < 20 {
			t.Errorf("%s size %d: %d records in the answer", tt.network, tt.size, got)
		}
		if (reply.IsEdns0() != nil) != (tt.size > 0) {
			t.Errorf("%s size %d: OPT is %v", tt.network, tt.size, reply.IsEdns0())
		}
	}
}

func TestServer_ShufflesAddresses(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	publish(t, server, testView(7, spec.Green))
	first := map[string]bool{}
	for range 64 { // the chance that one is never first: 2^-63
		first[ask(t, "udp", addr, question("web-green.apps.test.", dns.TypeA)).Answer[0].String()] = true
	}
	if len(first) != 2 {
		t.Errorf("first were only %v", first)
	}
}

func TestServer_SaysSERVFAILWithoutAView(t *testing.T) {
	t.Parallel()
	_, addr := start(t, dnsflip.Config{})
	for _, name := range []string{"web.apps.test.", "example.net.", "."} {
		reply := ask(t, "udp", addr, question(name, dns.TypeA))
		if reply.Rcode != dns.RcodeServerFailure || reply.Authoritative {
			t.Errorf("%s: %v, want SERVFAIL", name, reply)
		}
	}
}
