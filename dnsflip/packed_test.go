package dnsflip

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// withFile returns a server with a zone file.
func withFile(tb testing.TB, cfg Config, file string) *Server {
	tb.Helper()
	s := quiet(cfg)
	if err := s.Publish(mastered(1, file)); err != nil {
		tb.Fatal(err)
	}
	return s
}

// TestPacked_KeepsATargetThatIsTheQuestion asks a wildcard, whose answer is kept
// for all names, for the very name that its records lead to.
func TestPacked_KeepsATargetThatIsTheQuestion(t *testing.T) {
	t.Parallel()
	s := withFile(t, Config{}, "$TTL 60\n* A 192.0.2.9\n* MX 10 mail\n")
	for _, name := range []string{"mail.apps.test.", "other.apps.test.", "mail.apps.test."} {
		got := lookup(t, s, name, dns.TypeMX)
		if len(got.Answer) != 1 || got.Answer[0].Header().Name != name || got.Answer[0].(*dns.MX).Mx != "mail.apps.test." {
			t.Errorf("%s: got %v", name, got.Answer)
		}
		for _, rr := range got.Extra {
			if rr.Header().Name != "mail.apps.test." {
				t.Errorf("%s: got the address of another name: %s", name, rr)
			}
		}
	}
}

func TestPacked_TurnsAddressesWhateverTheCaseOfTheirOwner(t *testing.T) {
	t.Parallel()
	var turn uint64
	s := withFile(t, Config{Rand: func() uint64 { turn++; return turn }}, "$TTL 60\nWWW A 192.0.2.1\nwWw A 192.0.2.2\nwww A 192.0.2.3\n")
	first := map[string]int{}
	for range 9 {
		got := lookup(t, s, "www.apps.test.", dns.TypeA).Answer
		if len(got) != 3 {
			t.Fatalf("got %v", got)
		}
		first[got[0].(*dns.A).A.String()]++
	}
	if len(first) != 3 {
		t.Errorf("first of three addresses were %v", first)
	}
}

// TestPacked_FindsItsNamesBehindALongOne asks below a delegation whose answer
// is longer than a pointer reaches, RFC 1035 section 4.1.4: first by a short
// name, then by one that moves the pointers by 200 bytes.
func TestPacked_FindsItsNamesBehindALongOne(t *testing.T) {
	t.Parallel()
	const servers = 900
	file := strings.Builder{}
	file.WriteString("$TTL 60\n")
	for i := range servers {
		fmt.Fprintf(&file, "sub NS a.%06d.sub\nsub NS b.%06d.sub\n", i, i)
	}
	s := withFile(t, Config{}, file.String())
	long := strings.Repeat("x", 60) + "."
	for _, name := range []string{"sub.apps.test.", "short.sub.apps.test.", long + long + long + "sub.apps.test.", "short.sub.apps.test."} {
		got := lookup(t, s, name, dns.TypeA).Ns
		hosts := map[string]bool{}
		for _, rr := range got {
			ns, ok := rr.(*dns.NS)
			if !ok || ns.Hdr.Name != "sub.apps.test." || len(ns.Ns) != len("a.000000.sub.apps.test.") {
				t.Fatalf("name of %d bytes: got %s", len(name), rr)
			}
			hosts[ns.Ns] = true
		}
		if len(hosts) != 2*servers {
			t.Errorf("name of %d bytes: got %d name servers, want %d", len(name), len(hosts), 2*servers)
		}
	}
}

// TestServer_RepliesAreNeverLargerThanTheClientTakes asks by UDP, with the
// longest name and all options, a server with the longest id that Start takes.
func TestServer_RepliesAreNeverLargerThanTheClientTakes(t *testing.T) {
	t.Parallel()
	id := ""
	for validID(id+"n") == nil {
		id += "n"
	}
	s := withFile(t, Config{ID: id}, "$TTL 60\n* TXT "+strings.Repeat("text ", 300)+"\n")
	rapid.Check(t, func(t *rapid.T) {
		label := rapid.StringMatching(`[a-z]{1,60}\.|[a-z]{60}\.`)
		name := label.Draw(t, "label") + label.Draw(t, "label") + label.Draw(t, "label") + label.Draw(t, "label") + "apps.test."
		query := new(dns.Msg)
		query.SetQuestion(name, rapid.SampledFrom([]uint16{dns.TypeTXT, dns.TypeA, dns.TypeANY}).Draw(t, "type"))
		size := rapid.OneOf(rapid.Just[uint16](dns.MinMsgSize), rapid.Uint16Range(0, 2*maxUDP))
		query.SetEdns0(size.Draw(t, "size"), rapid.Bool().Draw(t, "DO"))
		query.IsEdns0().Option = []dns.EDNS0{
			&dns.EDNS0_NSID{Code: dns.EDNS0NSID},
			&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"},
		}
		packet, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		most := min(max(int(query.IsEdns0().UDPSize()), dns.MinMsgSize), maxUDP)
		if reply := respond(s, packet, udp); len(reply) > most {
			t.Errorf("%d bytes to a client that takes %d", len(reply), most)
		}
	})
}
