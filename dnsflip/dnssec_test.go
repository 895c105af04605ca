//go:build linux

package dnsflip_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip"
	"switchd/dnssec"
	"switchd/spec"
	"switchd/testenv/nameserver"
	"switchd/zone"
)

// startSigned returns a server of a signed zone, which serves no view yet.
func startSigned(t *testing.T) (server *dnsflip.Server, addr netip.AddrPort, key dnssec.Key) {
	t.Helper()
	origin, err := zone.ParseName("apps.test")
	if err != nil {
		t.Fatal(err)
	}
	if key, err = dnssec.Generate(t.TempDir(), origin, time.Now()); err != nil {
		t.Fatal(err)
	}
	server, at := start(t, dnsflip.Config{Keys: []dnssec.Key{key}})
	return server, netip.MustParseAddrPort(at), key
}

func signedView(serial uint32, live string) dnsflip.View {
	v := testView(serial, live)
	v.Zone.DNSSEC = true
	for label, f := range v.Flips {
		f.TTL = spec.Duration(time.Second) // caches don't hold the tests up
		v.Flips[label] = f
	}
	return v
}

// startValidator returns a resolver that trusts a key.
func startValidator(t *testing.T, addr netip.AddrPort, key dnssec.Key) string {
	t.Helper()
	return nameserver.ResolverForTest(t, nameserver.ResolverOptions{
		Stubs:        map[string][]netip.AddrPort{"apps.test": {addr}},
		TrustAnchors: []string{strings.Join(strings.Fields(key.DS(0).String()), " ")},
	}).Addr().String()
}

// secure asks with DO set.
func secure(name string, qtype uint16) *dns.Msg {
	return question(name, qtype).SetEdns0(1232, true)
}

// recursive asks a resolver with DO set.
func recursive(name string, qtype uint16) *dns.Msg {
	query := secure(name, qtype)
	query.RecursionDesired = true
	return query
}

// target is where an answer's alias leads to.
func target(reply *dns.Msg) string {
	for _, rr := range reply.Answer {
		if alias, ok := rr.(*dns.CNAME); ok {
			return alias.Target
		}
	}
	return ""
}

// TestServer_SignedAnswersValidateBeforeDuringAndAfterFlips has a resolver
// with a trust anchor and delv ask all the time, while the live pool changes.
func TestServer_SignedAnswersValidateBeforeDuringAndAfterFlips(t *testing.T) {
	t.Parallel()
	server, addr, key := startSigned(t)
	publish(t, server, signedView(1, spec.Blue))
	resolver := startValidator(t, addr, key)
	anchors := filepath.Join(t.TempDir(), "anchors")
	record := key.DNSKEY(0)
	text := fmt.Sprintf("trust-anchors { \"apps.test.\" static-key %d 3 13 %q; };\n", record.Flags, record.PublicKey)
	if err := os.WriteFile(anchors, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	defer asking.Wait()
	defer stop()
	validated, delved := 0, 0
	asking.Go(func() {
		client := dns.Client{Timeout: 10 * time.Second}
		for ctx.Err() == nil {
			reply, _, err := client.ExchangeContext(t.Context(), recursive("web.apps.test.", dns.TypeA), resolver)
			if err != nil || !reply.AuthenticatedData || len(reply.Answer) < 2 {
				t.Errorf("the resolver does not validate: %v\n%v", err, reply)
				return
			}
			validated++
		}
	})
	asking.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			asked, want := "web.apps.test", "\n; fully validated\n"
			if i%2 == 1 {
				asked, want = "missing.apps.test", "; negative response, fully validated\n"
			}
			out, err := exec.CommandContext(t.Context(), "delv", "@"+addr.Addr().String(), "-p", strconv.Itoa(int(addr.Port())),
				"-a", anchors, "+root=apps.test", asked, "A").CombinedOutput()
			if err != nil || !strings.Contains("\n"+string(out), want) {
				t.Errorf("delv %s: %v (is the Debian package bind9-dnsutils installed?)\n%s", asked, err, out)
				return
			}
			delved++
		}
	})
	const flips = 4
	for i := range flips {
		live := []string{spec.Green, spec.Blue}[i%2]
		publish(t, server, signedView(uint32(i+2), live))
		want := "web-" + live + ".apps.test."
		if reply := ask(t, "udp", addr.String(), secure("web.apps.test.", dns.TypeA)); target(reply) != want {
			t.Errorf("after flip %d: want %s, got\n%s", i+1, want, reply)
		}
		for end := time.Now().Add(5 * time.Second); ; { // until what the resolver has expires
			reply := ask(t, "udp", resolver, recursive("web.apps.test.", dns.TypeA))
			if !reply.AuthenticatedData || time.Now().After(end) {
				t.Fatalf("after flip %d: want %s, validated; got\n%s", i+1, want, reply)
			}
			if target(reply) == want {
				break
			}
		}
	}
	stop()
	asking.Wait()
	if validated == 0 || delved == 0 {
		t.Errorf("%d and %d answers were validated during the flips", validated, delved)
	}
}

// verify checks the signature of each RRset of a reply, and that the proof
// does not deny what is denied.
func verify(reply *dns.Msg, key dnssec.Key, qtype uint16) error {
	records := slices.Concat(reply.Answer, reply.Ns)
	for _, rr := range records {
		head := rr.Header()
		if proof, ok := rr.(*dns.NSEC); ok && qtype != dns.TypeNSEC && slices.Contains(proof.TypeBitMap, qtype) {
			return fmt.Errorf("%s does not prove that there is no %s", proof, dns.Type(qtype))
		}
		var set []dns.RR
		var sig *dns.RRSIG
		for _, other := range records {
			switch s, ok := other.(*dns.RRSIG); {
			case other.Header().Name != head.Name:
			case ok && s.TypeCovered == head.Rrtype:
				sig = s
			case other.Header().Rrtype == head.Rrtype:
				set = append(set, other)
			}
		}
		switch {
		case head.Rrtype == dns.TypeRRSIG:
		case sig == nil:
			return fmt.Errorf("%s is not signed", rr)
		case !sig.ValidityPeriod(time.Now()):
			return fmt.Errorf("%s is not valid now", sig)
		default:
			if err := sig.Verify(key.DNSKEY(0), set); err != nil {
				return fmt.Errorf("%s: %w", sig, err)
			}
		}
	}
	return nil
}

// TestServer_EverySignedAnswerValidates asks a resolver for all there is, and
// isn't, with weights and pools that are empty.
func TestServer_EverySignedAnswerValidates(t *testing.T) {
	t.Parallel()
	server, addr, key := startSigned(t)
	v := signedView(1, spec.Blue)
	half := v.Flips["api"]
	half.Weights = map[string]int{spec.Blue: 50, spec.Green: 50}
	v.Flips["api"] = half
	// Only one of the pools has addresses of the other family.
	v.Flips[dnsflip.Apex] = dnsflip.Flip{
		Service: "apex", Live: spec.Blue, TTL: spec.Duration(5 * time.Second), PoolName: "apex", Port: 443,
		Weights: map[string]int{spec.Blue: 50, spec.Green: 50},
		Pools:   map[string][]netip.Addr{spec.Blue: addrs("192.0.2.71"), spec.Green: addrs("2001:db8::72")},
	}
	publish(t, server, v)
	resolver := startValidator(t, addr, key)
	names := []string{
		"apps.test.", "web.apps.test.", "web-blue.apps.test.", "web-green.apps.test.", "api.apps.test.", "new.apps.test.", "dark.apps.test.",
		"ns1.infra.apps.test.", "infra.apps.test.", "missing.apps.test.", "x.web.apps.test.", "apex-blue.apps.test.", "apex-green.apps.test.",
	}
	types := []uint16{
		dns.TypeA, dns.TypeAAAA, dns.TypeCNAME, dns.TypeHTTPS, dns.TypeSRV, dns.TypeNS, dns.TypeSOA, dns.TypeTXT, dns.TypeDS, dns.TypeDNSKEY,
		dns.TypeNSEC,
	}
	for _, name := range names {
		for _, qtype := range types {
			if name == "apps.test." && qtype == dns.TypeDS {
				continue // the parent's
			}
			if reply := ask(t, "udp", resolver, recursive(name, qtype)); !reply.AuthenticatedData {
				t.Errorf("%s %s does not validate:\n%s", name, dns.Type(qtype), reply)
			}
			for range 8 { // which the resolver would not: choices differ, and kept answers are asked for again
				reply := ask(t, "udp", addr.String(), secure(name, qtype))
				if err := verify(reply, key, qtype); err != nil {
					t.Errorf("%s %s: %v\n%s", name, dns.Type(qtype), err, reply)
				}
			}
		}
	}
}

// TestServer_DeniesNamesAsTheClientKnowsHow compares clients that don't want
// signatures, that do, and that know compact denials too (RFC 9824).
func TestServer_DeniesNamesAsTheClientKnowsHow(t *testing.T) {
	t.Parallel()
	server, addr, _ := startSigned(t)
	publish(t, server, signedView(1, spec.Blue))
	compact := secure("missing.apps.test.", dns.TypeA)
	compact.IsEdns0().SetCo()
	for _, c := range []struct {
		title string
		query *dns.Msg
		rcode int
		types []uint16
	}{
		{"plain", question("missing.apps.test.", dns.TypeA), dns.RcodeNameError, []uint16{dns.TypeSOA}},
		{"DO", secure("missing.apps.test.", dns.TypeA), dns.RcodeSuccess, []uint16{dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeRRSIG}},
		{"CO", compact, dns.RcodeNameError, []uint16{dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeRRSIG}},
		{"NXNAME", secure("missing.apps.test.", dns.TypeNXNAME), dns.RcodeFormatError, nil},
	} {
		for _, network := range []string{"udp", "udp", "tcp"} {
			reply := ask(t, network, addr.String(), c.query)
			var types []uint16
			for _, rr := range reply.Ns {
				types = append(types, rr.Header().Rrtype)
			}
			if reply.Rcode != c.rcode || !slices.Equal(types, c.types) || len(reply.Answer) > 0 {
				t.Errorf("%s by %s: want %s with %v, got\n%s", c.title, network, dns.RcodeToString[c.rcode], c.types, reply)
			}
		}
	}
}

// TestServer_DoesNotTransferASignedZone asks for what could not be denied by
// whoever got it.
func TestServer_DoesNotTransferASignedZone(t *testing.T) {
	t.Parallel()
	server, addr, _ := startSigned(t)
	publish(t, server, signedView(1, spec.Blue))
	if reply := ask(t, "tcp", addr.String(), question("apps.test.", dns.TypeAXFR)); reply.Rcode != dns.RcodeRefused {
		t.Errorf("want REFUSED, got\n%s", reply)
	}
}

// TestServer_DoesNotPublishASignedZoneWithoutAKey keeps the answers that it
// had: unsigned ones would be bogus to who trusts the key.
func TestServer_DoesNotPublishASignedZoneWithoutAKey(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	publish(t, server, testView(1, spec.Blue))
	err := server.Publish(signedView(2, spec.Green))
	if err == nil || !strings.Contains(err.Error(), "--dnssec-key") {
		t.Errorf("got error %v, want one that names --dnssec-key", err)
	}
	if got := target(ask(t, "udp", addr, question("web.apps.test.", dns.TypeA))); got != "web-blue.apps.test." {
		t.Errorf("got %q, want the answer from before", got)
	}
}
