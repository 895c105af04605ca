//go:build linux

package dnssec_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnssec"
	"switchd/testenv/nameserver"
	"switchd/zone"
)

// signed is a zone with its signer, nil if it isn't signed.
type signed struct {
	zone   *zone.Zone
	signer *dnssec.Signer
}

// serve answers from zones, of which a child comes before its parent, as
// plainly as can be.
func serve(tb testing.TB, zones ...signed) netip.AddrPort {
	tb.Helper()
	handle := func(w dns.ResponseWriter, query *dns.Msg) {
		reply := new(dns.Msg).SetReply(query)
		opt := query.IsEdns0()
		question := query.Question[0]
		qname, err := zone.ParseName(question.Name)
		if err != nil {
			tb.Error(err)
			return
		}
		for _, z := range zones {
			child := z.zone.Origin()
			if !qname.Under(child) || qname == child && question.Qtype == dns.TypeDS && child != apps {
				continue
			}
			r := z.zone.Lookup(qname, question.Qtype, first)
			if opt != nil && opt.Do() && z.signer != nil {
				if _, err := z.signer.Secure(z.zone, &r, dnssec.Question{Name: qname, Type: question.Qtype, CompactOK: opt.Co()}, time.Now()); err != nil {
					tb.Error(err)
				}
			}
			reply.Rcode, reply.Authoritative = r.Rcode, r.Authoritative
			reply.Answer, reply.Ns, reply.Extra = r.Answer, r.Authority, r.Additional
			break
		}
		if opt != nil {
			reply.SetEdns0(1232, opt.Do())
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			reply.Truncate(1232)
		}
		if err := w.WriteMsg(reply); err != nil {
			tb.Error(err)
		}
	}
	// On an address of its own, so that the port is free for TCP too.
	host := netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(254)), byte(rand.IntN(256)), byte(1 + rand.IntN(250))})
	packets, err := new(net.ListenConfig).ListenPacket(tb.Context(), "udp", netip.AddrPortFrom(host, 0).String())
	if err != nil {
		tb.Fatal(err)
	}
	streams, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", packets.LocalAddr().String())
	if err != nil {
		tb.Fatal(err)
	}
	for _, server := range []*dns.Server{{PacketConn: packets}, {Listener: streams}} {
		server.Handler = dns.HandlerFunc(handle)
		done := make(chan error, 1)
		go func() { done <- server.ActivateAndServe() }()
		tb.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				tb.Error(err)
			}
			if err := <-done; err != nil {
				tb.Error(err)
			}
		})
	}
	return netip.MustParseAddrPort(packets.LocalAddr().String())
}

// family is a signed zone with a signed and an unsigned child.
func family(tb testing.TB) (addr netip.AddrPort, anchor dnssec.Key) {
	tb.Helper()
	dir := tb.TempDir()
	child := func(label string) (zone.Name, string) {
		return name(tb, label+".apps.test."), "@ 300 SOA ns1 admin 1 300 60 86400 60\n@ 300 NS ns1.apps.test.\nwww 300 A 192.0.2.77\n"
	}
	secureName, text := child("secure")
	secureKey := generate(tb, dir, secureName)
	secureSigner, err := dnssec.New(secureName, []dnssec.Key{secureKey}, dnssec.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	secure := signed{withKeys(tb, newZone(tb, secureName, text), secureSigner), secureSigner}
	insecureName, text := child("insecure")
	insecure := signed{zone: newZone(tb, insecureName, text)}

	anchor = generate(tb, dir, apps)
	signer, err := dnssec.New(apps, []dnssec.Key{anchor}, dnssec.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	const placeholder = "1 13 2 0102030405060708091011121314151617181920212223242526272829303132"
	ds := secureKey.DS(300)
	parent := strings.Replace(master, placeholder, fmt.Sprintf("%d 13 2 %s", ds.KeyTag, ds.Digest), 1)
	return serve(tb, secure, insecure, signed{withKeys(tb, newZone(tb, apps, parent), signer), signer}), anchor
}

// TestSecure_UnboundValidates asks a resolver with a trust anchor: AD tells
// that it has validated all of an answer.
func TestSecure_UnboundValidates(t *testing.T) {
	t.Parallel()
	addr, anchor := family(t)
	stubs := make(map[string][]netip.AddrPort)
	for _, origin := range []string{"apps.test", "secure.apps.test", "insecure.apps.test"} {
		stubs[origin] = []netip.AddrPort{addr}
	}
	resolver := nameserver.ResolverForTest(t, nameserver.ResolverOptions{
		Stubs: stubs, TrustAnchors: []string{strings.ReplaceAll(anchor.DS(3600).String(), "\t", " ")}, Extra: []string{"harden-algo-downgrade: yes", "harden-referral-path: no"},
	})
	names := []string{
		"apps", "ns1", "mail", "many", "deep.down.ent", "down.ent", "ent", "x.wild", "x.y.wild", "*.wild", "wild", "x.walias", "*star", "insecure", "secure",
		"a.rename", "b.rename", "rename", "a.target", "alias", "broken", "torename", "srv", "naptr", "https", "odd", "missing", "x.missing", "x.mail",
		`a\.b\000`, "www.secure", "no.secure",
	}
	for _, asked := range names {
		qname := asked + ".apps.test."
		if asked == "apps" {
			qname = "apps.test."
		}
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeMX, dns.TypeDS, dns.TypeDNSKEY, dns.TypeSRV, dns.TypeCNAME, dns.TypeNSEC, 65280} {
			switch {
			case asked == "insecure" && qtype != dns.TypeDS: // the child's
				continue
			case asked == "apps" && qtype == dns.TypeDS: // the parent's
				continue
			case strings.HasSuffix(asked, ".rename") && qtype == dns.TypeCNAME:
				// Unbound 1.17 asks for the DS of such a name and can't go on, with
				// NSD's answers as with these.
				continue
			}
			reply := resolve(t, resolver.Addr(), qname, qtype)
			if !reply.AuthenticatedData || reply.Rcode != dns.RcodeSuccess && reply.Rcode != dns.RcodeNameError {
				t.Errorf("%s %s: not validated\n%s", qname, dns.Type(qtype), reply)
			}
		}
	}
	reply := resolve(t, resolver.Addr(), "www.insecure.apps.test.", dns.TypeA)
	if reply.AuthenticatedData || len(reply.Answer) != 1 {
		t.Errorf("unsigned child: want an answer without AD, got\n%s", reply)
	}
}

func resolve(tb testing.TB, addr netip.AddrPort, qname string, qtype uint16) *dns.Msg {
	tb.Helper()
	query := new(dns.Msg).SetQuestion(qname, qtype)
	query.SetEdns0(1232, true)
	reply, _, err := (&dns.Client{Timeout: 10 * time.Second}).ExchangeContext(tb.Context(), query, addr.String())
	if err != nil {
		tb.Fatalf("%s %s: %v", qname, dns.Type(qtype), err)
	}
	return reply
}

// TestSecure_DelvValidates asks as `delv` does, which trusts the zone's key.
func TestSecure_DelvValidates(t *testing.T) {
	t.Parallel()
	addr, key := family(t)
	anchor := key.DNSKEY(0)
	anchors := write(t, filepath.Join(t.TempDir(), "anchors"),
		fmt.Sprintf("trust-anchors { \"apps.test.\" static-key %d 3 13 %q; };\n", anchor.Flags, anchor.PublicKey), 0o600)
	for _, c := range []struct{ name, qtype, want string }{
		{"many.apps.test", "A", "; fully validated"},
		{"alias.apps.test", "AAAA", "; fully validated"},
		{"x.y.wild.apps.test", "TXT", "; fully validated"},
		{"torename.apps.test", "A", "; fully validated"},
		{"secure.apps.test", "DS", "; fully validated"},
		{"apps.test", "DNSKEY", "; fully validated"},
		{"mail.apps.test", "TXT", "; negative response, fully validated"},
		{"missing.apps.test", "A", "; negative response, fully validated"},
		{"down.ent.apps.test", "A", "; negative response, fully validated"},
		{"insecure.apps.test", "DS", "; negative response, fully validated"},
	} {
		out, err := exec.CommandContext(t.Context(), "delv", "@"+addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port())),
			"-a", anchors, "+root=apps.test", c.name, c.qtype).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s %s: %v (is the Debian package bind9-dnsutils installed?)\n%s", c.name, c.qtype, err, out)
		}
	}
}
