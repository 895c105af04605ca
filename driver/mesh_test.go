package driver_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/client_golang/prometheus"

	"switchd/consul"
	"switchd/driver"
	"switchd/gate"
	"switchd/mesh"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// meshed is a service that is switched in the mesh.
type meshed struct {
	*driver.World

	name    string // in the mesh
	log     *lines
	metrics *prometheus.Registry
}

func newMeshed(t *testing.T, server *devconsul.Lone, env string, named bool) *meshed {
	t.Helper()
	m := &meshed{name: "web-" + env, log: &lines{}, metrics: prometheus.NewRegistry()}
	zone := zone()
	m.World = newWorldOf(t, server, env, &zone, m.service(named))
	m.Log, m.Metrics = slog.New(slog.NewTextHandler(m.log, nil)), driver.NewMetrics(m.metrics)
	return m
}

func (m *meshed) service(named bool) spec.Service {
	s := spec.Service{Name: "web", Weights: []int{10}, Mesh: &spec.Mesh{Service: m.name, Protocol: "http"}}
	if named {
		s.Switch = spec.Switch{Kind: spec.SwitchDNS, Name: "web", TTL: spec.Duration(5 * time.Second)}
	}
	return s
}

// switched is a rollout that has just led users to green.
func (m *meshed) switched(named bool) rollout.Situation {
	s := switched()
	s.Spec = m.service(named)
	return s
}

func (m *meshed) lead(t *testing.T, live pools.Live) {
	t.Helper()
	entry, err := m.Consul.Get(t.Context(), m.Keys.Live("web"))
	if err != nil {
		t.Fatal(err)
	}
	live.Service, live.Version, live.Generation, live.At = "web", "2.0.0", entry.Index+1, time.Now()
	value, err := json.Marshal(live)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Consul.Txn(t.Context(), "lead", consul.CAS(entry.Key, value, entry.Index)); err != nil {
		t.Fatal(err)
	}
}

// keep has the entries kept until the test's end, under a lease.
func (m *meshed) keep(t *testing.T) {
	t.Helper()
	lease, err := m.Consul.Acquire(t.Context(), consul.LeaseOptions{Key: m.Keys.Lease(), Holder: "test", TTL: 10 * time.Second, LockDelay: time.Second, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.Fence = lease
	ctx, cancel := context.WithCancel(t.Context())
	var keeping sync.WaitGroup
	keeping.Go(func() { m.KeepMesh(ctx) })
	t.Cleanup(func() {
		cancel()
		keeping.Wait()
		if err := lease.Release(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	})
}

// await waits until the chain leads somewhere, and tells for how long.
func (m *meshed) await(t *testing.T, want string) time.Duration {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := ""
	m.Consul.WatchChain(ctx, m.name, func(seen consul.Seen[*api.CompiledDiscoveryChain]) {
		if seen.Err != nil {
			return
		}
		if _, got = mesh.Leads(seen.Value, ""); got == want {
			cancel()
		}
	})
	if got != want {
		t.Fatalf("the mesh leads to %s, want %s\n%s", got, want, m.log)
	}
	return time.Since(began)
}

func (m *meshed) edit(t *testing.T, entry api.ConfigEntry) {
	t.Helper()
	if _, _, err := m.Consul.API().ConfigEntries().Set(entry, nil); err != nil {
		t.Fatal(err)
	}
}

// looks are those that had an outcome.
func (m *meshed) looks(t *testing.T, outcome string) float64 {
	t.Helper()
	value, _ := (&other{metrics: m.metrics}).metric(t, "switchd_mesh_looks_total", outcome)
	return value
}

// drift waits for a value of the metric.
func (m *meshed) drift(t *testing.T, want float64) {
	t.Helper()
	got := -1.0
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got, _ = (&other{metrics: m.metrics}).metric(t, "switchd_mesh_drift", ""); got == want {
			return
		}
	}
	t.Errorf("drift is %v, want %v\n%s", got, want, m.log)
}

func TestKeepMesh_HasTheMeshFollowAndPutsEditsBack(t *testing.T) {
	t.Parallel()
	m := newMeshed(t, devconsul.Start(t, nil), "prod", false)
	m.keep(t)
	m.lead(t, pools.Live{Pool: spec.Blue})
	m.await(t, "blue")
	m.lead(t, pools.Live{Pool: spec.Blue, Weights: map[string]int{spec.Blue: 90, spec.Green: 10}})
	m.await(t, "90 % to blue, 10 % to green")
	m.lead(t, pools.Live{Pool: spec.Green})
	m.await(t, "green")
	if n := m.looks(t, "righted"); n > 0 {
		t.Errorf("%v of its own writes were taken for edits:\n%s", n, m.log)
	}

	resolver := func(to string) *api.ServiceResolverConfigEntry {
		return &api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: m.name, DefaultSubset: to, Subsets: map[string]api.ServiceResolverSubset{to: {}}}
	}
	splitter := &api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: m.name, Splits: []api.ServiceSplit{{Weight: 100, ServiceSubset: spec.Blue}}}
	for name, edit := range map[string]func(){
		"a resolver": func() { m.edit(t, resolver("v7")) },
		"a splitter": func() { m.edit(t, splitter) },
		"nothing": func() {
			if _, err := m.Consul.API().ConfigEntries().Delete(api.ServiceResolver, m.name, nil); err != nil {
				t.Fatal(err)
			}
		},
	} {
		righted := m.looks(t, "righted")
		edit()
		// The edit may have been put back before the chain is looked at.
		if took := m.await(t, "green"); took > time.Second {
			t.Errorf("%s was put back after %s", name, took)
		}
		for deadline := time.Now().Add(10 * time.Second); m.looks(t, "righted") == righted; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s isn't reported:\n%s", name, m.log)
			}
		}
		m.await(t, "green")
	}
	for _, want := range []string{"put right", "default subset v7 of v7", "100 % to blue", "kind=service-splitter"} {
		if !strings.Contains(m.log.String(), want) {
			t.Errorf("%q isn't said:\n%s", want, m.log)
		}
	}

	// What can't be made right is said, and made right once it can be.
	m.edit(t, &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: m.name, Protocol: "tcp"})
	m.drift(t, 1)
	m.lead(t, pools.Live{Pool: spec.Blue, Weights: map[string]int{spec.Blue: 90, spec.Green: 10}})
	m.await(t, "blue")
	if n := m.looks(t, "foreign"); n == 0 || !strings.Contains(m.log.String(), "say protocol tcp") {
		t.Errorf("it isn't reported:\n%s", m.log)
	}
	m.edit(t, &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: m.name, Protocol: "http2"})
	m.await(t, "90 % to blue, 10 % to green")
	m.drift(t, 0)
}

func TestProof_OfASwitchInTheMeshIsTheDiscoveryChain(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	t.Run("alone", func(t *testing.T) {
		t.Parallel()
		m := newMeshed(t, server, "alone", false)
		derive := func() {
			if _, err := (&mesh.Deriver{Env: "alone", Source: m, Store: m.Consul}).Derive(t.Context(), "web"); err != nil {
				t.Error(err)
			}
		}
		m.lead(t, pools.Live{Pool: spec.Blue, Weights: map[string]int{spec.Blue: 90, spec.Green: 10}})
		derive()
		if v := run(t.Context(), m.World, rollout.JobProof, m.switched(false)); v.Outcome != gate.Unknown || !strings.Contains(v.Why, "still leads to 90 % to blue, 10 % to green") {
			t.Errorf("got %s: %s", v.Outcome, v.Why)
		}
		m.lead(t, pools.Live{Pool: spec.Green})
		var late sync.WaitGroup
		defer late.Wait()
		late.Go(func() {
			time.Sleep(300 * time.Millisecond) // the proof waits for it
			derive()
		})
		if v := run(t.Context(), m.World, rollout.JobProof, m.switched(false)); v.Outcome != gate.Pass || !strings.Contains(v.Why, "the discovery chain of web-alone leads to green") {
			t.Errorf("got %s: %s", v.Outcome, v.Why)
		}
	})
	t.Run("with a name", func(t *testing.T) {
		t.Parallel()
		m := newMeshed(t, server, "both", true)
		dns := startDNS(t, spec.Blue)
		register(t, m.World, replica.Replica{Name: "ns1", DNS: dns.addr(), Passing: true})
		s := m.switched(true)
		if v := run(t.Context(), m.World, rollout.JobProof, s); v.Outcome != gate.Unknown || !strings.Contains(v.Why, "ns1") || !strings.Contains(v.Why, "still leads to all instances") {
			t.Errorf("got %s: %s", v.Outcome, v.Why)
		}
		dns.lead(t, spec.Green, 2)
		if v := run(t.Context(), m.World, rollout.JobProof, s); v.Outcome != gate.Unknown || strings.Contains(v.Why, "ns1") {
			t.Errorf("got %s: %s", v.Outcome, v.Why)
		}
		m.lead(t, pools.Live{Pool: spec.Green})
		if _, err := (&mesh.Deriver{Env: "both", Source: m, Store: m.Consul}).Derive(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		if v := run(t.Context(), m.World, rollout.JobProof, s); v.Outcome != gate.Pass || !strings.Contains(v.Why, "1 of 1 replicas") || !strings.Contains(v.Why, "discovery chain") || len(v.Evidence) < 2 {
			t.Errorf("got %s: %s %q", v.Outcome, v.Why, v.Evidence)
		}
	})
}
