package ledger_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// world is an environment on a Consul of its own, with the service web: 1.0.0
// is live on blue, 2.0.0 passes on green.
type world struct {
	*ledger.Ledger

	client *consul.Client
}

func newWorld(t *testing.T) world {
	t.Helper()
	client := devconsul.Start(t, nil).Client()
	w := world{&ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "prod"}}, client}
	if err := w.Apply(t.Context(), "test", desired(web())); err != nil {
		t.Fatal(err)
	}
	w.node(t, "b1", spec.Blue, "1.0.0", api.HealthPassing)
	w.node(t, "g1", spec.Green, "2.0.0", api.HealthPassing)
	if _, err := w.Do(t.Context(), "web", "test", func(s rollout.Situation) (*rollout.Change, error) {
		live := s.Live.Next("test", time.Now())
		live.Service, live.Pool, live.Version = "web", spec.Blue, "1.0.0"
		live.Previous = pools.Side{Pool: spec.Green, Version: "2.0.0"}
		return &rollout.Change{Live: live, What: "begin"}, nil
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

func web() spec.Service {
	return spec.Service{
		Name: "web", Port: 80, Roll: spec.Roll{Quorum: spec.Nodes(1)}, Weights: []int{10},
		Smoke: []spec.Smoke{{Name: "s"}}, Approvals: []spec.Approval{{Name: "owner"}},
		Pools: map[string]spec.Pool{spec.Blue: {Nodes: []string{"b1"}}, spec.Green: {Nodes: []string{"g1", "g2"}}},
	}
}

func desired(services ...spec.Service) *spec.Desired {
	return &spec.Desired{Environment: spec.Environment{Name: "prod"}, Services: services}
}

// node puts an instance of web into the catalog, on a node without an agent,
// so that its check is what the test says.
func (w world) node(t *testing.T, name, pool, version, status string) {
	t.Helper()
	_, err := w.client.API().Catalog().Register(&api.CatalogRegistration{
		Node: name, Address: "192.0.2.1",
		Service: &api.AgentService{ID: pools.ID("web", pool), Service: "web", Port: 80, Meta: map[string]string{pools.MetaPool: pool, pools.MetaVersion: version}},
		Checks: api.HealthChecks{
			{Node: name, CheckID: "serfHealth", Name: "alive", Status: api.HealthPassing},
			{Node: name, CheckID: "app", Name: "GET /", ServiceID: pools.ID("web", pool), Status: status},
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func (w world) lease(t *testing.T) *consul.Lease {
	t.Helper()
	lease, err := w.client.Acquire(t.Context(), consul.LeaseOptions{Key: w.Keys.Lease(), Holder: "test", TTL: consul.MinSessionTTL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lease.Release(t.Context()) }) // some tests have destroyed it
	return lease
}

// destroySessions is what an expired TTL does.
func (w world) destroySessions(t *testing.T) {
	t.Helper()
	sessions, _, err := w.client.API().Session().List(nil)
	if err != nil || len(sessions) == 0 {
		t.Fatalf("no session to destroy (%v)", err)
	}
	for _, s := range sessions {
		if _, err := w.client.API().Session().Destroy(s.ID, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func (w world) observe(t *testing.T) rollout.Situation {
	t.Helper()
	s, err := w.Observe(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w world) put(t *testing.T, key, value string) {
	t.Helper()
	if _, err := w.client.API().KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
		t.Fatal(err)
	}
}

// everything is all that the environment holds, but for leases.
func (w world) everything(t *testing.T) string {
	t.Helper()
	entries, err := w.client.List(t.Context(), w.Keys.Prefix())
	if err != nil {
		t.Fatal(err)
	}
	held := make(map[string]string)
	for _, e := range entries {
		if e.Key != w.Keys.Lease() && !strings.HasPrefix(e.Key, w.Keys.Operators()) {
			held[e.Key] = fmt.Sprintf("%s at %d: %s\n", e.Key, e.Index, e.Value)
		}
	}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(held)) {
		text.WriteString(held[key])
	}
	return text.String()
}

// promote begins a rollout of 2.0.0.
func promote(id string) func(rollout.Situation) (*rollout.Change, error) {
	return func(s rollout.Situation) (*rollout.Change, error) {
		s.Released = true
		return rollout.Promote(s, id, "2.0.0", "test", time.Now())
	}
}

func rollback(s rollout.Situation) (*rollout.Change, error) {
	return rollout.Rollback(s, "test", "", time.Now())
}

func stop(s rollout.Situation) (*rollout.Change, error) {
	return rollout.StopRollout(s, "test", "", time.Now())
}

func resume(s rollout.Situation) (*rollout.Change, error) {
	return rollout.Resume(s, "test", time.Now())
}

// shift moves a share of users.
func shift(percent int) func(rollout.Situation) (*rollout.Change, error) {
	return func(s rollout.Situation) (*rollout.Change, error) {
		live := s.Live.Next("test", time.Now())
		live.Weights = map[string]int{live.Pool: 100 - percent, spec.Other(live.Pool): percent}
		return &rollout.Change{Live: live, What: "shift"}, nil
	}
}

func manifest(version, digit string) artifact.Manifest {
	return artifact.NewManifest("web", version, "test", time.Unix(1e9, 0), artifact.Info{Size: 1, Unpacked: 1, SHA256: strings.Repeat(digit, 64)})
}
