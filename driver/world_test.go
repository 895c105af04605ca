package driver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/dnsflip"
	"switchd/driver"
	"switchd/gate"
	"switchd/ledger"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// newWorld has an environment with a zone.
func newWorld(t *testing.T, server *devconsul.Lone, env string) *driver.World {
	t.Helper()
	w := &driver.World{
		Ledger: &ledger.Ledger{Consul: server.Client(), Keys: consul.Keys{Env: env}},
		Log:    slog.New(slog.DiscardHandler),
	}
	zone := zone()
	if err := w.Apply(t.Context(), "test", &spec.Desired{Environment: spec.Environment{Name: env, Zone: &zone}}); err != nil {
		t.Fatal(err)
	}
	return w
}

func zone() spec.Zone {
	return spec.Zone{Name: "apps.test", NameServers: []string{"ns1.apps.test"}, Admin: "dns@example.net", TTL: spec.Duration(time.Minute), NegativeTTL: spec.Duration(time.Second)}
}

// switched is a rollout of 2.0.0 that has just led users from blue to green.
func switched() rollout.Situation {
	return rollout.Situation{
		Spec: spec.Service{Name: "web", Port: 80, Switch: spec.Switch{Name: "web", TTL: spec.Duration(5 * time.Second)}},
		Record: &rollout.Record{
			ID: "r1", Service: "web", Version: "2.0.0", Pool: spec.Green, From: pools.Side{Pool: spec.Blue, Version: "1.0.0"},
			Phase: rollout.Switching, SwitchedAt: time.Now(),
		},
	}
}

func run(ctx context.Context, w *driver.World, kind rollout.JobKind, s rollout.Situation) gate.Verdict {
	return w.Run(ctx, rollout.Job{Rollout: "r1", Kind: kind}, s, func(gate.Verdict) {})
}

// dnsServer leads the users of web to a pool.
type dnsServer struct{ *dnsflip.Server }

func startDNS(t *testing.T, pool string) dnsServer {
	t.Helper()
	s := dnsServer{dnsflip.NewServer(dnsflip.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler)})}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.lead(t, pool, 1)
	return s
}

func (s dnsServer) lead(t *testing.T, pool string, serial uint32) {
	t.Helper()
	addrs := map[string][]netip.Addr{spec.Blue: {netip.MustParseAddr("192.0.2.1")}, spec.Green: {netip.MustParseAddr("192.0.2.2")}}
	if err := s.Publish(dnsflip.View{Zone: zone(), Serial: serial, At: time.Now(), Flips: map[string]dnsflip.Flip{
		"web": {Service: "web", Live: pool, TTL: spec.Duration(5 * time.Second), Pools: addrs},
	}}); err != nil {
		t.Fatal(err)
	}
}

func (s dnsServer) addr() string { return s.Addrs()[0] }

// register makes replicas known, and waits until Consul holds those for
// healthy that are.
func register(t *testing.T, w *driver.World, replicas ...replica.Replica) {
	t.Helper()
	healthy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(healthy.Close)
	want := make(map[string]bool)
	for _, r := range replicas {
		want[r.Name] = r.Passing
		r.Env, r.HTTP = w.Keys.Env, "127.0.0.1:1"
		if r.Passing {
			r.HTTP = strings.TrimPrefix(healthy.URL, "http://")
		}
		if err := replica.Register(t.Context(), w.Consul, r); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	settled := false
	w.Consul.WatchService(ctx, replica.Service, func(seen consul.Seen[[]*api.ServiceEntry]) {
		settled = seen.Err == nil
		for _, r := range replica.FromHealth(seen.Value, w.Keys.Env) {
			settled = settled && r.Passing == want[r.Name]
		}
		if settled {
			cancel()
		}
	})
	if !settled {
		t.Fatalf("the replicas never were %v", want)
	}
}

// silent is an address at which nothing is refused and nothing answered, as at
// a machine that is switched off.
func silent(t *testing.T) string {
	t.Helper()
	var listen net.ListenConfig
	tcp, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tcp.Close() })
	udp, err := listen.ListenPacket(t.Context(), "udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = udp.Close() })
	return tcp.Addr().String()
}

func TestProof_WantsEveryReplicaThatAnswersAndEveryOneThatLives(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	green, blue := startDNS(t, spec.Green), startDNS(t, spec.Blue)
	dead := startDNS(t, spec.Blue)
	deadAddr := dead.addr()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	ns1 := replica.Replica{Name: "ns1", DNS: green.addr(), Passing: true}
	for name, c := range map[string]struct {
		replicas []replica.Replica
		want     gate.Outcome
		words    []string // of the reason and the evidence
	}{
		"all show it":                       {[]replica.Replica{ns1, {Name: "ns2", DNS: green.addr(), Passing: true}}, gate.Pass, []string{"2 of 2 replicas", "ns1 answers green, serial 1"}},
		"one still answers old":             {[]replica.Replica{ns1, {Name: "ns2", DNS: blue.addr(), Passing: true}}, gate.Unknown, []string{"ns2", "still answers blue"}},
		"one held for dead still answers":   {[]replica.Replica{ns1, {Name: "ns2", DNS: blue.addr()}}, gate.Unknown, []string{"ns2", "still answers blue"}},
		"one is dead":                       {[]replica.Replica{ns1, {Name: "ns2", DNS: deadAddr}}, gate.Pass, []string{"1 of 2 replicas", "ns2", "Consul holds it for dead"}},
		"one is dead and refuses nothing":   {[]replica.Replica{ns1, {Name: "ns2", DNS: silent(t)}}, gate.Pass, []string{"1 of 2 replicas", "ns2", "Consul holds it for dead"}},
		"one lives and does not answer DNS": {[]replica.Replica{ns1, {Name: "ns2", DNS: deadAddr, Passing: true}}, gate.Unknown, []string{"ns2", "does not answer"}},
		"one lives and is silent":           {[]replica.Replica{ns1, {Name: "ns2", DNS: silent(t), Passing: true}}, gate.Unknown, []string{"ns2", "does not answer"}},
		"one has no DNS":                    {[]replica.Replica{ns1, {Name: "ns2", Passing: true}}, gate.Pass, []string{"1 of 2 replicas", "ns2 serves no DNS"}},
		"nobody is left":                    {[]replica.Replica{{Name: "ns2", DNS: deadAddr}}, gate.Unknown, []string{"no replica"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, server, strings.ReplaceAll(name, " ", "-"))
			register(t, w, c.replicas...)
			v := run(t.Context(), w, rollout.JobProof, switched())
			said := v.Why + "\n" + strings.Join(v.Evidence, "\n")
			if v.Outcome != c.want {
				t.Fatalf("got %s, want %s: %s", v.Outcome, c.want, said)
			}
			for _, word := range c.words {
				if !strings.Contains(said, word) {
					t.Errorf("%q isn't said: %s", word, said)
				}
			}
		})
	}
}

func TestProof_WaitsForAReplicaThatIsABitLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, devconsul.Start(t, nil), "prod")
	server := startDNS(t, spec.Blue)
	register(t, w, replica.Replica{Name: "ns1", DNS: server.addr(), Passing: true})
	s := switched()
	late := time.AfterFunc(300*time.Millisecond, func() { server.lead(t, spec.Green, 2) })
	defer late.Stop()
	if v := run(t.Context(), w, rollout.JobProof, s); v.Outcome != gate.Pass || !strings.Contains(v.Why, "1 of 1 replicas lead web.apps.test to green") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
}

func TestDrain_WithoutAQueryWaitsForThreeTTLs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &driver.World{}
		s := switched()
		began := time.Now()
		if v := run(t.Context(), w, rollout.JobDrain, s); v.Outcome != gate.Pass || time.Since(began) != 15*time.Second {
			t.Errorf("after %s: %s %s", time.Since(began), v.Outcome, v.Why)
		}
		// Another driver that goes on later doesn't begin the wait again.
		began = time.Now()
		if v := run(t.Context(), w, rollout.JobDrain, s); v.Outcome != gate.Pass || time.Since(began) != 0 {
			t.Errorf("after %s more: %s %s", time.Since(began), v.Outcome, v.Why)
		}
		// Until the proof, a replica that was cut off led caches to the old pool.
		s = switched()
		s.Record.ProvedAt = s.Record.SwitchedAt.Add(10 * time.Second)
		began = time.Now()
		if v := run(t.Context(), w, rollout.JobDrain, s); v.Outcome != gate.Pass || time.Since(began) != 25*time.Second {
			t.Errorf("with a late proof, after %s: %s %s", time.Since(began), v.Outcome, v.Why)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 14*time.Second)
		defer cancel()
		if v := run(ctx, w, rollout.JobDrain, switched()); v.Outcome != gate.Unknown {
			t.Errorf("ended early: %s %s", v.Outcome, v.Why)
		}
	})
}

// asked is what came to an HTTP server.
type asked struct {
	mu    sync.Mutex
	texts []string
}

func (a *asked) add(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.texts = append(a.texts, text)
}

func TestDrain_AsksForTheTrafficOfTheOldPool(t *testing.T) {
	t.Parallel()
	var queries asked
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		queries.add(r.FormValue("query"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"scalar","result":[%d,"0"]}}`, time.Now().Unix())
	}))
	t.Cleanup(prometheus.Close)
	w := newWorld(t, devconsul.Start(t, nil), "prod")
	s := switched()
	s.Record.SwitchedAt = time.Now().Add(-time.Hour)
	s.Spec.Analysis = &spec.Analysis{Prometheus: prometheus.URL}
	s.Spec.Drain = spec.Drain{Query: `rate({{service}}{pool="{{pool}}",other="{{other_pool}}",version="{{version}}"})`, For: spec.Duration(time.Millisecond)}
	if v := run(t.Context(), w, rollout.JobDrain, s); v.Outcome != gate.Pass {
		t.Fatalf("got %s: %s", v.Outcome, v.Why)
	}
	if want := `rate(web{pool="blue",other="green",version="1.0.0"})`; queries.texts[0] != want {
		t.Errorf("asked for %s, want %s", queries.texts[0], want)
	}
	// Without one there is nothing that could be measured with.
	s.Spec.Analysis = nil
	if v := run(t.Context(), w, rollout.JobDrain, s); v.Outcome != gate.Fail {
		t.Errorf("without a Prometheus: %s %s", v.Outcome, v.Why)
	}
}

func TestSmoke_ReachesTheNewNodesAndTheNewPoolByItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, devconsul.Start(t, nil), "prod")
	var paths asked
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" { // which Consul asks for
			paths.add(r.Host + r.URL.Path)
		}
	}))
	t.Cleanup(app.Close)
	at := netip.MustParseAddrPort(app.Listener.Addr().String())
	server := startDNS(t, spec.Blue)
	if err := server.Publish(dnsflip.View{Zone: zone(), Serial: 2, At: time.Now(), Flips: map[string]dnsflip.Flip{
		"web": {Service: "web", Live: spec.Blue, TTL: spec.Duration(time.Second), Pools: map[string][]netip.Addr{spec.Green: {at.Addr()}}},
	}}); err != nil {
		t.Fatal(err)
	}
	register(t, w, replica.Replica{Name: "ns1", DNS: server.addr(), Passing: true})
	s := switched()
	s.Record.Members = []string{"server"} // the node of the test's Consul
	s.Spec.Port = int(at.Port())
	s.Spec.Smoke = []spec.Smoke{{Name: "home", Method: "GET", Path: "/{{version}}/{{pool}}/{{other_pool}}", Status: 200, Timeout: spec.Duration(5 * time.Second)}}
	s.Spec.Health = spec.Health{Path: "/healthz", Interval: spec.Duration(time.Second), Timeout: spec.Duration(time.Second)}

	if v := run(t.Context(), w, rollout.JobSmoke, s); v.Outcome != gate.Unknown || !strings.Contains(v.Why, "server is not in Consul's catalog") {
		t.Errorf("without the node: got %s: %s", v.Outcome, v.Why)
	}
	registration := pools.Registration{Service: s.Spec, Pool: spec.Green, Version: "1.9.0", Address: at.Addr().String(), Port: int(at.Port())}
	if err := pools.Register(t.Context(), w.Consul, registration); err != nil {
		t.Fatal(err)
	}
	if v := run(t.Context(), w, rollout.JobSmoke, s); v.Outcome != gate.Unknown || !strings.Contains(v.Why, "server runs 1.9.0") {
		t.Errorf("with another version: got %s: %s", v.Outcome, v.Why)
	}
	registration.Version = "2.0.0"
	if err := pools.Register(t.Context(), w.Consul, registration); err != nil {
		t.Fatal(err)
	}
	var v gate.Verdict
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if v = run(t.Context(), w, rollout.JobSmoke, s); v.Outcome != gate.Unknown {
			break
		}
	}
	if v.Outcome != gate.Pass {
		t.Fatalf("got %s: %s %s", v.Outcome, v.Why, v.Evidence)
	}
	port := fmt.Sprint(at.Port())
	for _, want := range []string{"127.0.0.1:" + port + "/2.0.0/green/blue", "web-green.apps.test:" + port + "/2.0.0/green/blue"} {
		if !strings.Contains(strings.Join(paths.texts, "\n")+"\n", want+"\n") {
			t.Errorf("%s wasn't asked for: %q", want, paths.texts)
		}
	}
	if len(paths.texts) != 2 {
		t.Errorf("asked for %q", paths.texts)
	}
}
