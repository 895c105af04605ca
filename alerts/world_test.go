package alerts_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/prometheus/common/model"

	"switchd/alerts"
	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// world is an environment in Consul. Each of its services has
// 1.0.0 live on blue, and 2.0.0 passing on green.
type world struct {
	*ledger.Ledger

	client *consul.Client
}

func newWorld(t *testing.T, client *consul.Client, env spec.Environment, services ...spec.Service) world {
	t.Helper()
	w := world{&ledger.Ledger{Consul: client, Keys: consul.Keys{Env: env.Name}}, client}
	if err := w.Apply(t.Context(), "test", &spec.Desired{Environment: env, Services: services}); err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		w.node(t, s.Name, "b1", spec.Blue, "1.0.0", api.HealthPassing)
		w.node(t, s.Name, "g1", spec.Green, "2.0.0", api.HealthPassing)
		w.do(t, s.Name, func(s rollout.Situation) (*rollout.Change, error) {
			live := s.Live.Next("test", time.Now())
			live.Service, live.Pool, live.Version = s.Spec.Name, spec.Blue, "1.0.0"
			return &rollout.Change{Live: live, What: "begin"}, nil
		})
	}
	return w
}

func service(name string, declared ...spec.Alert) spec.Service {
	return spec.Service{
		Name: name, Port: 80, Roll: spec.Roll{Quorum: spec.Nodes(1)}, Alerts: declared,
		Pools: map[string]spec.Pool{spec.Blue: {Nodes: []string{"b1"}}, spec.Green: {Nodes: []string{"g1"}}},
	}
}

// node puts an instance into the catalog, on a node without an agent, so that
// its check is what the test says.
func (w world) node(t *testing.T, service, name, pool, version, status string) {
	t.Helper()
	_, err := w.client.API().Catalog().Register(&api.CatalogRegistration{
		Node: name, Address: "192.0.2.1",
		Service: &api.AgentService{ID: pools.ID(service, pool), Service: service, Port: 80, Meta: map[string]string{pools.MetaPool: pool, pools.MetaVersion: version}},
		Checks:  api.HealthChecks{{Node: name, CheckID: "app-" + service, Name: "GET /", ServiceID: pools.ID(service, pool), Status: status}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func (w world) do(t *testing.T, service string, operation func(rollout.Situation) (*rollout.Change, error)) {
	t.Helper()
	if _, err := w.Do(t.Context(), service, "test", operation); err != nil {
		t.Fatal(err)
	}
}

// rollOut has a rollout of 2.0.0 in a phase; from switching on, users are on it.
func (w world) rollOut(t *testing.T, service string, phase rollout.Phase) {
	t.Helper()
	w.do(t, service, promote)
	w.do(t, service, to(phase))
}

func promote(s rollout.Situation) (*rollout.Change, error) {
	s.Released = true
	return rollout.Promote(s, ledger.NewID(s.Spec.Name, "2.0.0", time.Now()), "2.0.0", "test", time.Now())
}

// to puts a rollout into a phase, in a canary with a share of users.
func to(phase rollout.Phase) func(rollout.Situation) (*rollout.Change, error) {
	return func(s rollout.Situation) (*rollout.Change, error) {
		r, now := *s.Record, time.Now().UTC()
		r.Phase, r.Entered = phase, now
		c := &rollout.Change{Record: &r, Saw: s.Live.Read(), What: "go on to " + string(phase)}
		live := s.Live.Next("test", now)
		live.Rollout = r.ID
		switch phase {
		case rollout.Canary:
			live.Weights = map[string]int{spec.Blue: 90, spec.Green: 10}
		case rollout.Switching, rollout.Draining, rollout.Baking, rollout.Converging:
			live.Pool, live.Version, live.Previous, live.Weights = spec.Green, "2.0.0", pools.Side{Pool: spec.Blue, Version: "1.0.0"}, nil
			r.SwitchedAt = now
		default:
			live = nil
		}
		if live != nil {
			c.Live, r.Generation = live, live.Generation
		}
		r.Timeline = append(r.Timeline, rollout.Event{At: now, Phase: phase, What: string(phase) + " began"})
		return c, nil
	}
}

func resume(s rollout.Situation) (*rollout.Change, error) {
	return rollout.Resume(s, "somebody", time.Now())
}

func (w world) record(t *testing.T, service string) *rollout.Record {
	t.Helper()
	r, err := w.Record(t.Context(), service)
	if err != nil || r == nil {
		t.Fatalf("record of %s: %v, %v", service, r, err)
	}
	return r
}

// await waits for a service's rollout to be in a phase.
func (w world) await(t *testing.T, service string, phase rollout.Phase) *rollout.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var found *rollout.Record
	w.client.WatchKey(ctx, w.Keys.Rollout(service), func(seen consul.Seen[consul.Entry]) {
		if r, err := rollout.ParseRecord(seen.Value.Value, seen.Value.Index); err == nil && r != nil && r.Phase == phase {
			found = r
			cancel()
		}
	})
	if found == nil {
		t.Fatalf("%s is in phase %s and not %s after 20 s", service, w.record(t, service).Phase, phase)
	}
	return found
}

// run has a halter follow the world until the test ends.
func (w world) run(t *testing.T, metrics *alerts.Metrics, log *slog.Logger) *alerts.Halter {
	t.Helper()
	h := &alerts.Halter{Rollouts: w.Ledger, Log: log, Metrics: metrics}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { h.Run(ctx, w.client, w.Keys) })
	t.Cleanup(func() {
		cancel()
		work.Wait()
	})
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := h.Take(t.Context(), nil); err == nil {
			return h
		}
		if time.Now().After(deadline) {
			t.Fatal("the desired state is not known after 10 s")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// alert is one of a service that fires since a moment.
func alert(service string, since time.Time) alerts.Alert {
	return alerts.Alert{
		Labels: model.LabelSet{"alertname": "HighErrorRate", "service": model.LabelValue(service), "severity": "page"},
		Firing: true, StartsAt: since, Source: alerts.Alertmanager, Receiver: "switchd", GeneratorURL: "http://prometheus.apps.test/graph",
	}
}

func resolved(a alerts.Alert) alerts.Alert {
	a.Firing = false
	return a
}

// effects are those of one alert, by service.
func effects(t *testing.T, outcomes []alerts.Outcome, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, o := range outcomes {
		all = append(all, strings.TrimSpace(o.Service+" "+string(o.Effect)))
	}
	return strings.Join(all, ", ")
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
