//go:build linux

package driver_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"switchd/consul"
	"switchd/dnsfeed"
	"switchd/dnsflip"
	"switchd/dnsproof"
	"switchd/driver"
	"switchd/gate"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
	"switchd/testenv/nameserver"
)

// armed is a rollout whose name is to be given for five seconds.
func armed() rollout.Situation {
	s := switched()
	s.Spec.Switch.TTL, s.Spec.Switch.ArmedTTL = spec.Duration(time.Minute), spec.Duration(5*time.Second)
	s.Record.Phase, s.Record.SwitchedAt = rollout.Staging, time.Time{}
	return s
}

// startGiving gives the name of web for a time, at an address of its own.
func startGiving(t *testing.T, ip, pool string, ttl time.Duration, serial uint32) netip.AddrPort {
	t.Helper()
	server := dnsflip.NewServer(dnsflip.Config{Listen: []string{ip + ":0"}, Log: slog.New(slog.DiscardHandler)})
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	flips := views(pool)
	web := flips["web"]
	web.TTL = spec.Duration(ttl)
	flips["web"] = web
	z := zone()
	z.NameServers = []string{"ns1.apps.test", "ns.example.net"}
	if err := server.Publish(dnsflip.View{Zone: z, Serial: serial, At: time.Now(), Flips: flips}); err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(server.Addrs()[0])
}

func TestArmed_WantsTheShortTTLOfWhateverAnswersForTheName(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	const short, long = 5 * time.Second, time.Minute
	later := uint32(time.Now().Add(time.Hour).Unix()) // than what Consul has
	own := startGiving(t, "127.0.0.1", spec.Blue, short, later)
	before := startGiving(t, "127.0.0.1", spec.Blue, short, 7)
	slow := startGiving(t, "127.0.0.2", spec.Blue, long, later)
	quick := startGiving(t, "127.0.0.3", spec.Blue, short, later)
	strange := startGiving(t, "127.0.0.4", spec.Blue, short, 7)
	nothing := startGiving(t, "127.0.0.5", "", short, later)
	ns := func(name string, at netip.AddrPort) replica.Replica {
		return replica.Replica{Name: name, DNS: at.String(), Passing: true}
	}
	for name, c := range map[string]struct {
		replicas    []replica.Replica
		secondaries []netip.AddrPort
		public      netip.AddrPort
		want        gate.Outcome
		words       []string // of the reason and the evidence
	}{
		"all give it": {
			[]replica.Replica{ns("ns1", own), {Name: "ns2", DNS: silent(t)}},
			[]netip.AddrPort{quick}, strange, // another name server may have serials of its own
			gate.Pass, []string{
				"1 of 2 replicas, 1 of 1 secondaries, 1 of 1 name servers give web.apps.test for 5s at most", "ns1 answers blue for 5s, serial",
				"ns2 (127.0.0.1:", "Consul holds it for dead",
			},
		},
		"others are behind": {
			[]replica.Replica{ns("ns1", own), ns("ns2", slow), ns("ns3", before), ns("ns4", nothing)},
			[]netip.AddrPort{slow, quick, strange}, slow,
			gate.Unknown, []string{
				"ns2 (" + slow.String() + ") still answers blue for 1m0s", "ns3 (" + before.String() + ") still answers blue for 5s, serial 7 of before it was armed", "ns4 (",
				"secondary " + slow.String() + " still answers blue for 1m0s", "secondary " + strange.String() + " still answers blue for 5s, serial 7 of before",
			},
		},
		"a name server is behind": {
			[]replica.Replica{ns("ns1", own)}, nil, slow, gate.Unknown, []string{"name server ns.example.net (" + slow.String() + ") still answers blue for 1m0s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			z := zone()
			z.VerifyResolvers = []string{"127.0.0.99:9"} // which may keep the long TTL, and isn't asked
			for _, at := range c.secondaries {
				z.Secondaries = append(z.Secondaries, spec.Secondary{Address: at.String()})
			}
			w := newWorldOf(t, server, strings.ReplaceAll(name, " ", "-"), &z)
			w.NameServers.Lookup, w.NameServers.Port = lookup(map[string][]netip.Addr{"ns.example.net": {c.public.Addr()}}), c.public.Port()
			register(t, w, c.replicas...)
			v := run(t.Context(), w, rollout.JobArmed, armed())
			said := v.Why + "\n" + strings.Join(v.Evidence, "\n")
			if v.Outcome != c.want {
				t.Fatalf("got %s, want %s: %s", v.Outcome, c.want, said)
			}
			for _, word := range c.words {
				if !strings.Contains(said, word) {
					t.Errorf("%q isn't said: %s", word, said)
				}
			}
			if strings.Contains(said, "resolver") || c.want == gate.Unknown && (strings.Contains(said, own.String()) || strings.Contains(said, quick.String())) {
				t.Errorf("what isn't waited for is said: %s", said)
			}
		})
	}
	t.Run("an apex", func(t *testing.T) {
		t.Parallel()
		apex := dnsServer{dnsflip.NewServer(dnsflip.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)})}
		if err := apex.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = apex.Close() })
		w := newWorld(t, server, "apex")
		register(t, w, replica.Replica{Name: "ns1", DNS: apex.addr(), Passing: true})
		s := armed()
		s.Spec.Switch.Name = spec.SwitchApex
		for i, c := range []struct {
			ttl  time.Duration
			want gate.Outcome
			word string
		}{{long, gate.Unknown, "still answers web-blue.apps.test for 1m0s"}, {short, gate.Pass, "give apps.test for 5s at most"}} {
			flip := views(spec.Blue)["web"]
			flip.PoolName, flip.TTL = "web", spec.Duration(c.ttl)
			if err := apex.Publish(dnsflip.View{Zone: zone(), Serial: later + uint32(i), At: time.Now(), Flips: map[string]dnsflip.Flip{dnsflip.Apex: flip}}); err != nil {
				t.Fatal(err)
			}
			if v := run(t.Context(), w, rollout.JobArmed, s); v.Outcome != c.want || !strings.Contains(v.Why, c.word) {
				t.Errorf("with a TTL of %s: %s: %s", c.ttl, v.Outcome, v.Why)
			}
		}
	})
}

func TestArmed_OfANameElsewhereAsksItsPrimaryAndItsNameServers(t *testing.T) {
	t.Parallel()
	o := newOther(t, devconsul.Start(t, nil), "prod", nameserver.BIND)
	second := o.startSecond(t, spec.Blue) // which never hears of an update
	s := armed()
	s.Spec = o.service()
	v := run(t.Context(), o.World, rollout.JobArmed, s)
	for _, word := range []string{"primary " + o.primary.Addr().String() + " still answers blue for 1m0s", "name server ns1.example.net (" + second.Addr().String() + ") still answers blue for 1m0s"} {
		if v.Outcome != gate.Unknown || !strings.Contains(v.Why, word) {
			t.Errorf("got %s: %s, which doesn't say %q", v.Outcome, v.Why, word)
		}
	}
	o.keep(t)
	o.lead(t, spec.Blue, true)
	o.await(t, "blue.lb.example.net", 5*time.Second)
	if v = run(t.Context(), o.World, rollout.JobArmed, s); v.Outcome != gate.Unknown || strings.Contains(v.Why, "primary") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
	// A primary that is away can't have taken the short TTL up.
	if err := o.primary.Stop(); err != nil {
		t.Fatal(err)
	}
	o.lead(t, spec.Green, true)
	o.says(t, "reach the primary")
	if v = run(t.Context(), o.World, rollout.JobArmed, s); v.Outcome != gate.Unknown || !strings.Contains(v.Why, "primary "+o.primary.Addr().String()+" does not answer") ||
		!strings.Contains(v.Why, "the last update failed") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
}

// released is a service of which 1.0.0 is live on blue and 2.0.0 runs on green,
// with a replica, and a secondary of another make.
type released struct {
	*driver.World

	secondary *nameserver.Server
}

const (
	shortTTL = time.Second
	longTTL  = 2 * time.Second
)

func newReleased(t *testing.T) *released {
	t.Helper()
	consulServer := devconsul.Start(t, nil)
	replica1 := dnsflip.NewServer(dnsflip.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)})
	if err := replica1.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica1.Close() })
	r := &released{secondary: nameserver.ForTest(t, nameserver.Knot, nameserver.Options{Zones: []nameserver.Zone{{
		Origin: "apps.test", Primaries: []nameserver.Peer{{Addr: netip.MustParseAddrPort(replica1.Addrs()[0])}},
	}}})}
	z := zone()
	z.Refresh, z.Retry, z.Expire = spec.Duration(time.Hour), spec.Duration(time.Second), spec.Duration(24*time.Hour)
	z.Secondaries = []spec.Secondary{{Address: r.secondary.Addr().String()}}
	web := switched().Spec
	web.Health = spec.Health{Path: "/", Interval: spec.Duration(time.Second), Timeout: spec.Duration(time.Second)}
	web.Pools = map[string]spec.Pool{spec.Blue: {Nodes: []string{"server"}}, spec.Green: {Nodes: []string{"server"}}} // the node of the test's Consul
	web.Roll = spec.Roll{Quorum: spec.Nodes(1), MaxUnavailable: spec.Nodes(1)}
	web.Switch = spec.Switch{Kind: spec.SwitchDNS, Name: "web", TTL: spec.Duration(longTTL), ArmedTTL: spec.Duration(shortTTL)}
	web.Smoke = []spec.Smoke{{Name: "home", Method: "GET", Path: "/", Status: 200, Timeout: spec.Duration(5 * time.Second)}}
	web.Bake, web.AfterBake, web.Deadlines = spec.Duration(time.Minute), spec.AfterBakeKeep, map[string]spec.Deadline{}
	for _, phase := range spec.Phases() {
		web.Deadlines[phase] = spec.Deadline{After: spec.Duration(time.Minute), Then: spec.ThenHalt}
	}
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(app.Close)
	at := netip.MustParseAddrPort(app.Listener.Addr().String())
	web.Port = int(at.Port())
	r.World = newWorldOf(t, consulServer, "prod", &z, web)
	r.NameServers.Lookup = lookup(nil)
	lease, err := r.Consul.Acquire(t.Context(), consul.LeaseOptions{Key: r.Keys.Lease(), Holder: "test", TTL: 10 * time.Second, LockDelay: time.Second, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	r.Fence = lease
	t.Cleanup(func() {
		if err := lease.Release(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	for pool, version := range map[string]string{spec.Blue: "1.0.0", spec.Green: "2.0.0"} {
		if err := pools.Register(t.Context(), r.Consul, pools.Registration{Service: web, Pool: pool, Version: version, Address: at.Addr().String(), Port: web.Port, Healthy: true}); err != nil {
			t.Fatal(err)
		}
	}
	register(t, r.World, replica.Replica{Name: "ns1", DNS: replica1.Addrs()[0], Passing: true})
	r.do(t, func(s rollout.Situation) (*rollout.Change, error) {
		live := s.Live.Next("test", time.Now())
		live.Service, live.Pool, live.Version = "web", spec.Blue, "1.0.0"
		return &rollout.Change{Live: live, What: "first"}, nil
	})
	r.beside(t, func(ctx context.Context) {
		(&dnsfeed.Feed{Consul: r.Consul, Keys: r.Keys, Server: replica1, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
	})
	return r
}

// beside has something run until the test ends.
func (r *released) beside(t *testing.T, run func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() { run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

func (r *released) do(t *testing.T, operation func(rollout.Situation) (*rollout.Change, error)) *rollout.Change {
	t.Helper()
	change, err := r.Do(t.Context(), "web", "test", operation)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

// promote begins the rollout that the node has done its part of.
func (r *released) promote(t *testing.T) {
	t.Helper()
	if err := r.Consul.Txn(t.Context(), "publish", consul.CAS(r.Keys.Release("web", "2.0.0"), []byte("{}"), 0)); err != nil {
		t.Fatal(err)
	}
	id := r.do(t, func(s rollout.Situation) (*rollout.Change, error) {
		s.Released = true
		return rollout.Promote(s, "r1", "2.0.0", "test", time.Now())
	}).Record.ID
	report, err := json.Marshal(rollout.Report{Rollout: id, Pool: spec.Green, State: rollout.Staged})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Consul.Txn(t.Context(), "report", consul.CAS(r.Keys.Staging("web", "2.0.0", "server"), report, 0)); err != nil {
		t.Fatal(err)
	}
}

// gives waits until the secondary gives the name for a time.
func (r *released) gives(t *testing.T, ttl time.Duration) {
	t.Helper()
	var got dnsproof.Reply
	var err error
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got, err = dnsproof.Ask(t.Context(), r.secondary.Addr().String(), "web.apps.test"); err == nil && got.TTL == ttl {
			return
		}
	}
	t.Fatalf("the secondary gives %s for %s (%v), want %s", got, got.TTL, err, ttl)
}

// await waits until the rollout is as wanted.
func (r *released) await(t *testing.T, wanted func(*rollout.Record) bool) *rollout.Record {
	t.Helper()
	var record *rollout.Record
	var err error
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if record, err = r.Record(t.Context(), "web"); err == nil && wanted(record) {
			return record
		}
	}
	t.Fatalf("the rollout is %+v (%v), and waits %+v", record, err, record.Wait)
	return nil
}

// TestDrive_ASecondaryThatIsAwayDelaysTheSwitchAlone lets the whole engine run:
// what goes before the switch goes on, and the switch follows when no cache can
// have the long TTL of the secondary any more.
func TestDrive_ASecondaryThatIsAwayDelaysTheSwitchAlone(t *testing.T) {
	t.Parallel()
	r := newReleased(t)
	r.gives(t, longTTL)
	if err := r.secondary.Stop(); err != nil {
		t.Fatal(err)
	}
	r.promote(t)
	engine := rollout.Engine{World: r.World, Log: slog.New(slog.DiscardHandler)}
	names := make(chan []string)
	r.beside(t, func(ctx context.Context) { r.Active(ctx, names) })
	r.beside(t, func(ctx context.Context) { engine.Supervise(ctx, names) })
	record := r.await(t, func(record *rollout.Record) bool {
		return record.Phase == rollout.Switching && record.Wait != nil && strings.Contains(record.Wait.For, r.secondary.Addr().String())
	})
	if want := "to give a TTL of 1s at most: secondary " + r.secondary.Addr().String() + " does not answer"; !strings.Contains(record.Wait.For, want) || !record.Settled.IsZero() {
		t.Errorf("waits %q, which doesn't say %q; settled at %s", record.Wait.For, want, record.Settled)
	}
	if live, err := r.Live(t.Context(), "web"); err != nil || live.Pool != spec.Blue || !live.Armed {
		t.Errorf("live is %+v, %v", live, err)
	}
	back := time.Now()
	if err := r.secondary.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	record = r.await(t, func(record *rollout.Record) bool { return !record.SwitchedAt.IsZero() })
	if earliest := back.Add(longTTL); record.Settled.Before(earliest) || record.SwitchedAt.Before(record.Settled) {
		t.Errorf("the secondary was back at %s; settled at %s, switched at %s", back, record.Settled, record.SwitchedAt)
	}
	r.await(t, func(record *rollout.Record) bool { return !record.ProvedAt.IsZero() })
	r.gives(t, shortTTL)
}
