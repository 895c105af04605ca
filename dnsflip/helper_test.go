package dnsflip_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"switchd/dnsflip"
	"switchd/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// testView has one service of every kind: web is live, api has weights, new
// has no live release, dark has a live pool without an address.
func testView(serial uint32, live string) dnsflip.View {
	return dnsflip.View{
		Zone: spec.Zone{
			Name:        "apps.test",
			NameServers: []string{"ns1.infra.apps.test", "ns.example.net"},
			Admin:       "dns.admin@example.net",
			TTL:         spec.Duration(time.Minute),
			NegativeTTL: spec.Duration(5 * time.Second),
		},
		Serial: serial,
		At:     time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		NameServerAddrs: map[string][]netip.Addr{
			"ns1.infra.apps.test": addrs("192.0.2.53", "2001:db8::53"),
		},
		Flips: map[string]dnsflip.Flip{
			"web": {
				Service: "web", Live: live, TTL: spec.Duration(5 * time.Second),
				Pools: map[string][]netip.Addr{
					spec.Blue:  addrs("192.0.2.1", "192.0.2.2", "2001:db8::1"),
					spec.Green: addrs("192.0.2.11", "192.0.2.12"),
				},
			},
			"api": {
				Service: "api", Live: spec.Blue, TTL: spec.Duration(90 * time.Second),
				Weights: map[string]int{spec.Blue: 0, spec.Green: 100},
				Pools:   map[string][]netip.Addr{spec.Blue: addrs("192.0.2.21"), spec.Green: addrs("192.0.2.31")},
			},
			"new":  {Service: "new", TTL: spec.Duration(5 * time.Second), Pools: map[string][]netip.Addr{spec.Blue: addrs("192.0.2.41")}},
			"dark": {Service: "dark", Live: spec.Green, TTL: spec.Duration(5 * time.Second)},
		},
	}
}

// start returns a server on a free port of the loopback interface.
func start(t testing.TB, cfg dnsflip.Config) (server *dnsflip.Server, addr string) {
	t.Helper()
	if cfg.Listen == nil {
		cfg.Listen = []string{"127.0.0.1:0"}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	server = dnsflip.NewServer(cfg)
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server, server.Addrs()[0]
}

func publish(t testing.TB, server *dnsflip.Server, v dnsflip.View) {
	t.Helper()
	if err := server.Publish(v); err != nil {
		t.Fatal(err)
	}
}

func question(name string, qtype uint16) *dns.Msg {
	query := new(dns.Msg)
	query.SetQuestion(name, qtype)
	query.RecursionDesired = false
	return query
}

func ask(t testing.TB, network, addr string, query *dns.Msg) *dns.Msg {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	client := dns.Client{Net: network, UDPSize: dns.MaxMsgSize}
	reply, _, err := client.ExchangeContext(ctx, query, addr)
	if err != nil {
		t.Fatalf("%s %v: %v", network, query.Question, err)
	}
	return reply
}

// records writes a section as sorted zone file lines.
func records(rrs []dns.RR) []string {
	var lines []string
	for _, rr := range rrs {
		if _, ok := rr.(*dns.OPT); ok {
			continue
		}
		lines = append(lines, rr.String())
	}
	slices.Sort(lines)
	return lines
}

// raw sends packets over one UDP socket and returns the first reply.
func raw(t testing.TB, addr string, packets ...[]byte) []byte {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's client
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		if _, err := conn.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, dns.MaxMsgSize)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}
