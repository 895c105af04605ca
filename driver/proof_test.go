//go:build linux

package driver_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"switchd/consul"
	"switchd/dnsflip"
	"switchd/driver"
	"switchd/gate"
	"switchd/ledger"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
	"switchd/testenv/nameserver"
)

// newWorldOf has an environment with the zone and services.
func newWorldOf(t *testing.T, server *devconsul.Lone, env string, zone *spec.Zone, services ...spec.Service) *driver.World {
	t.Helper()
	w := &driver.World{
		Ledger: &ledger.Ledger{Consul: server.Client(), Keys: consul.Keys{Env: env}},
		Log:    slog.New(slog.DiscardHandler),
	}
	if err := w.Apply(t.Context(), "test", &spec.Desired{Environment: spec.Environment{Name: env, Zone: zone}, Services: services}); err != nil {
		t.Fatal(err)
	}
	return w
}

// startDNSAt leads the users of web to a pool, at an address of its own.
func startDNSAt(t *testing.T, ip, pool string) netip.AddrPort {
	t.Helper()
	s := dnsServer{dnsflip.NewServer(dnsflip.Config{Listen: []string{ip + ":0"}, Log: slog.New(slog.DiscardHandler)})}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.lead(t, pool, 7)
	return netip.MustParseAddrPort(s.addr())
}

// lookup finds hosts outside of the zone: by name, no such host if it isn't
// there, and not at all if its addresses are empty.
func lookup(hosts map[string][]netip.Addr) func(context.Context, string) ([]netip.Addr, error) {
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		addrs, found := hosts[host]
		switch {
		case !found:
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		case len(addrs) == 0:
			return nil, &net.DNSError{Err: "server misbehaving", Name: host, IsTemporary: true}
		default:
			return addrs, nil
		}
	}
}

func TestProof_WantsWhateverUsersAreLedBy(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	own := startDNS(t, spec.Green)
	green, blue, public := startDNSAt(t, "127.0.0.2", spec.Green), startDNSAt(t, "127.0.0.3", spec.Blue), startDNSAt(t, "127.0.0.4", spec.Green)
	old := startDNSAt(t, "127.0.0.5", spec.Blue)
	resolver := func(t *testing.T, of netip.AddrPort) string {
		t.Helper()
		return nameserver.ResolverForTest(t, nameserver.ResolverOptions{Stubs: map[string][]netip.AddrPort{"apps.test": {of}}}).Addr().String()
	}
	const inside, outside = "ns1.apps.test", "ns.example.net"
	served := zone()
	served.NameServers = []string{inside, outside, "lost.example.net", "silent.example.net"}
	if err := own.Publish(dnsflip.View{Zone: served, Serial: 1, At: time.Now(), Flips: views(spec.Green)}); err != nil {
		t.Fatal(err)
	}
	nobody := netip.MustParseAddr("127.0.0.99") // refuses
	for name, c := range map[string]struct {
		edit  func(t *testing.T, z *spec.Zone)
		hosts map[string][]netip.Addr
		port  uint16
		want  gate.Outcome
		words []string // of the reason and the evidence
	}{
		"all show it": {
			edit: func(t *testing.T, z *spec.Zone) {
				t.Helper()
				z.Secondaries, z.VerifyResolvers = []spec.Secondary{{Address: green.String()}}, []string{resolver(t, green)}
			},
			hosts: map[string][]netip.Addr{outside: {public.Addr(), nobody}}, port: public.Port(), want: gate.Pass,
			words: []string{
				"1 of 1 replicas, 1 of 1 secondaries, 1 of 2 name servers, 1 of 1 resolvers lead web.apps.test to green",
				"secondary " + green.String() + " answers green, serial 7", "name server ns.example.net answers green, serial 7",
				"name server ns.example.net (127.0.0.99", // whose other address answers
				"name server ns1.apps.test has no address",
			},
		},
		"a name server is also a secondary": {
			edit:  func(_ *testing.T, z *spec.Zone) { z.Secondaries = []spec.Secondary{{Address: green.String()}} },
			hosts: map[string][]netip.Addr{outside: {green.Addr(), nobody}}, port: green.Port(), want: gate.Pass,
			words: []string{"1 of 1 replicas, 1 of 1 secondaries, 0 of 1 name servers lead", "another address of it is asked"},
		},
		"a name server is also a replica": {
			hosts: map[string][]netip.Addr{outside: {netip.MustParseAddr("127.0.0.1")}}, want: gate.Pass, words: []string{"1 of 1 replicas lead"},
		},
		"no such name server": {want: gate.Pass, words: []string{"1 of 1 replicas lead", "name server ns.example.net has no address"}},
		"others show nothing, or the old pool": {
			edit: func(t *testing.T, z *spec.Zone) {
				t.Helper()
				z.Secondaries = []spec.Secondary{{Address: green.String()}, {Address: blue.String()}}
				z.VerifyResolvers = []string{resolver(t, green), resolver(t, blue), "127.0.0.99:9"}
			},
			hosts: map[string][]netip.Addr{outside: {old.Addr()}, "lost.example.net": {}, "silent.example.net": {nobody}}, port: old.Port(), want: gate.Unknown,
			words: []string{
				"secondary " + blue.String() + " still answers blue", "name server ns.example.net (" + old.String() + ") still answers blue",
				"name server lost.example.net can't be found: lookup lost.example.net: server misbehaving",
				"name server silent.example.net (127.0.0.99", "still answers blue, for 5s more", "resolver 127.0.0.99:9 does not answer",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := served
			if c.edit != nil {
				c.edit(t, &z)
			}
			w := newWorldOf(t, server, strings.NewReplacer(" ", "-", ",", "").Replace(name), &z)
			w.NameServers.Lookup, w.NameServers.Port = lookup(c.hosts), c.port
			register(t, w, replica.Replica{Name: "ns1", DNS: own.addr(), Passing: true})
			v := run(t.Context(), w, rollout.JobProof, switched())
			said := v.Why + "\n" + strings.Join(v.Evidence, "\n")
			if c.want == gate.Unknown {
				said = v.Why // nothing but what is missing
			}
			if v.Outcome != c.want {
				t.Fatalf("got %s, want %s: %s", v.Outcome, c.want, said)
			}
			for _, word := range c.words {
				if !strings.Contains(said, word) {
					t.Errorf("%q isn't said: %s", word, said)
				}
			}
			if c.want == gate.Unknown && strings.Contains(said, "green") {
				t.Errorf("what shows it is said to be missing: %s", said)
			}
		})
	}
}

// views are the flips of a view that leads web to a pool.
func views(pool string) map[string]dnsflip.Flip {
	return map[string]dnsflip.Flip{"web": {Service: "web", Live: pool, TTL: spec.Duration(5 * time.Second), Pools: map[string][]netip.Addr{
		spec.Blue: {netip.MustParseAddr("192.0.2.1")}, spec.Green: {netip.MustParseAddr("192.0.2.2")},
	}}}
}

func TestProof_FollowsAResolverUntilItsTTLIsOver(t *testing.T) {
	t.Parallel()
	w := newWorldOf(t, devconsul.Start(t, nil), "prod", nil)
	own := startDNS(t, spec.Blue)
	lead := func(pool string, serial uint32) {
		flips := views(pool)
		web := flips["web"]
		web.TTL = spec.Duration(2 * time.Second)
		flips["web"] = web
		if err := own.Publish(dnsflip.View{Zone: zone(), Serial: serial, At: time.Now(), Flips: flips}); err != nil {
			t.Fatal(err)
		}
	}
	lead(spec.Blue, 1)
	z := zone()
	z.VerifyResolvers = []string{nameserver.ResolverForTest(t, nameserver.ResolverOptions{
		Stubs: map[string][]netip.AddrPort{"apps.test": {netip.MustParseAddrPort(own.addr())}},
	}).Addr().String()}
	if err := w.Apply(t.Context(), "test", &spec.Desired{Environment: spec.Environment{Name: "prod", Zone: &z}}); err != nil {
		t.Fatal(err)
	}
	register(t, w, replica.Replica{Name: "ns1", DNS: own.addr(), Passing: true})
	if v := run(t.Context(), w, rollout.JobProof, switched()); v.Outcome != gate.Unknown || !strings.Contains(v.Why, "ns1") || !strings.Contains(v.Why, "resolver") {
		t.Fatalf("before: %s: %s", v.Outcome, v.Why)
	}
	lead(spec.Green, 2)
	s := switched()
	s.Record.SwitchedAt = time.Now()
	var v gate.Verdict
	for v.Outcome != gate.Pass && time.Since(s.Record.SwitchedAt) < 8*time.Second {
		v = run(t.Context(), w, rollout.JobProof, s)
		if v.Outcome != gate.Pass && strings.Contains(v.Why, "ns1") {
			t.Errorf("the replica shows it, but: %s", v.Why)
		}
	}
	if v.Outcome != gate.Pass || !strings.Contains(v.Why, "1 of 1 resolvers") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
	if took := time.Since(s.Record.SwitchedAt); took > 5*time.Second {
		t.Errorf("the proof came %s after the switch, with a TTL of 2s", took)
	}
}

func TestProof_OfAnApexGoesByItsAddresses(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	z := zone()
	s := switched()
	s.Spec.Switch.Name = spec.SwitchApex
	start := func(ip, pool string) string {
		d := dnsServer{dnsflip.NewServer(dnsflip.Config{Listen: []string{ip + ":0"}, Log: slog.New(slog.DiscardHandler)})}
		if err := d.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		flip := views(pool)["web"]
		flip.PoolName = "web"
		if err := d.Publish(dnsflip.View{Zone: z, Serial: 3, At: time.Now(), Flips: map[string]dnsflip.Flip{dnsflip.Apex: flip}}); err != nil {
			t.Fatal(err)
		}
		return d.addr()
	}
	green, blue := start("127.0.0.1", spec.Green), start("127.0.0.2", spec.Blue)
	for name, c := range map[string]struct {
		stub string
		want gate.Outcome
		word string
	}{
		"green": {green, gate.Pass, "1 of 1 replicas, 1 of 1 resolvers lead apps.test to green"},
		"blue":  {blue, gate.Unknown, "still answers blue, for 5s more"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := z
			z.VerifyResolvers = []string{nameserver.ResolverForTest(t, nameserver.ResolverOptions{
				Stubs: map[string][]netip.AddrPort{"apps.test": {netip.MustParseAddrPort(c.stub)}},
			}).Addr().String()}
			w := newWorldOf(t, server, name, &z)
			register(t, w, replica.Replica{Name: "ns1", DNS: green, Passing: true})
			if v := run(t.Context(), w, rollout.JobProof, s); v.Outcome != c.want || !strings.Contains(v.Why, c.word) {
				t.Errorf("got %s: %s, want %s", v.Outcome, v.Why, c.word)
			}
		})
	}
}
