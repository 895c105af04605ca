package pools_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/pools"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// registered is a healthy instance that Consul has seen to pass.
type registered struct {
	client *consul.Client
	is     pools.Registration
	health chan bool // asked of the instance from now on
}

func register(t *testing.T) *registered {
	t.Helper()
	r := &registered{client: devconsul.Start(t, nil).Client(), health: make(chan bool, 1)}
	r.health <- true
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		ok := <-r.health
		r.health <- ok
		if !ok {
			http.Error(w, "the database is away", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(app.Close)
	at := netip.MustParseAddrPort(app.Listener.Addr().String())
	r.is = pools.Registration{
		Service: spec.Service{Name: "web", Health: spec.Health{Path: "/healthz", Interval: spec.Duration(time.Second), Timeout: spec.Duration(time.Second)}},
		Pool:    spec.Blue, Version: "1.0.0", Release: "abc", Address: at.Addr().String(), Port: int(at.Port()),
	}
	if err := pools.Register(t.Context(), r.client, r.is); err != nil {
		t.Fatal(err)
	}
	r.await(t, "it to pass", func(in pools.Instance) bool { return in.Passing })
	return r
}

// await follows the catalog until the instance is as wanted.
func (r *registered) await(t *testing.T, what string, wanted func(pools.Instance) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	found := false
	r.client.WatchService(ctx, "web", func(seen consul.Seen[[]*api.ServiceEntry]) {
		in, ok := pools.FromHealth(seen.Value)[spec.Blue].On("server")
		if ok && wanted(in) {
			found = true
			cancel()
		}
	})
	if !found {
		now, err := pools.Read(t.Context(), r.client, "web")
		t.Fatalf("waited in vain for %s; now: %+v (%v)", what, now, err)
	}
}

func (r *registered) entry(t *testing.T) *api.ServiceEntry {
	t.Helper()
	entries, err := r.client.Service(t.Context(), "web")
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d registrations (%v)", len(entries), err)
	}
	return entries[0]
}

func TestRegister_SaysPoolVersionAndShareInTheCatalog(t *testing.T) {
	t.Parallel()
	r := register(t)
	e := r.entry(t)
	if !slices.Equal(e.Service.Tags, []string{"blue", "idle"}) || e.Service.ID != "web-blue" {
		t.Errorf("registered as %s with tags %v", e.Service.ID, e.Service.Tags)
	}
	in, ok := pools.FromHealth([]*api.ServiceEntry{e})[spec.Blue].On("server")
	want := pools.Instance{Node: "server", Address: r.is.Address, Port: r.is.Port, Version: "1.0.0", Release: "abc", Passing: true}
	if !ok || in != want {
		t.Errorf("got %+v, want %+v", in, want)
	}
	green := r.is
	green.Pool, green.Live = spec.Green, true
	if err := pools.Register(t.Context(), r.client, green); err != nil {
		t.Fatal(err)
	}
	found, err := pools.Read(t.Context(), r.client, "web")
	if err != nil || len(found[spec.Blue]) != 1 || len(found[spec.Green]) != 1 {
		t.Fatalf("two pools on one node: %+v (%v)", found, err)
	}
	if found[spec.Green][0].Passing {
		t.Error("a new registration passes before its first check")
	}
	if err := pools.Deregister(t.Context(), r.client, "web", spec.Green); err != nil {
		t.Fatal(err)
	}
	if found, err = pools.Read(t.Context(), r.client, "web"); err != nil || len(found[spec.Green]) != 0 || len(found[spec.Blue]) != 1 {
		t.Errorf("after green was deregistered: %+v (%v)", found, err)
	}
}

// TestRegister_AgainKeepsTheChecksState changes tags, version and path of the
// check many times. A watch would see the instance critical if only for a
// moment.
func TestRegister_AgainKeepsTheChecksState(t *testing.T) {
	t.Parallel()
	r := register(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var down []string
	go func() {
		defer close(done)
		r.client.WatchService(ctx, "web", func(seen consul.Seen[[]*api.ServiceEntry]) {
			if in, _ := pools.FromHealth(seen.Value)[spec.Blue].On("server"); seen.Err == nil && !in.Passing {
				down = append(down, in.Why)
			}
		})
	}()
	for i := range 20 {
		next := r.is
		next.Live = i%2 == 0
		next.Version = []string{"1.0.0", "1.1.0"}[i/2%2]
		next.Healthy, next.Replace = true, i%2 == 0 // another version was proven
		next.Service.Health.Path = []string{"/healthz", "/ready"}[i/4%2]
		if err := pools.Register(t.Context(), r.client, next); err != nil {
			t.Fatal(err)
		}
		e := r.entry(t)
		if status := e.Checks.AggregatedStatus(); status != api.HealthPassing {
			t.Fatalf("registration %d made it %s", i, status)
		}
		want := "idle"
		if next.Live {
			want = "live"
		}
		if !slices.Contains(e.Service.Tags, want) || e.Service.Meta[pools.MetaVersion] != next.Version {
			t.Fatalf("registration %d is in the catalog as %v %v", i, e.Service.Tags, e.Service.Meta)
		}
	}
	cancel()
	<-done
	if len(down) > 0 {
		t.Errorf("was down in between: %q", down)
	}
	<-r.health
	r.health <- false
	r.await(t, "the check, still done, to fail", func(in pools.Instance) bool {
		return !in.Passing && in.Why != ""
	})
	if err := pools.Register(t.Context(), r.client, r.is); err != nil {
		t.Fatal(err)
	}
	if in, _ := pools.FromHealth([]*api.ServiceEntry{r.entry(t)})[spec.Blue].On("server"); in.Passing {
		t.Error("a registration made a failing instance pass")
	}
}

func TestMaintain_TakesTheInstanceOutUntilItIsTakenBack(t *testing.T) {
	t.Parallel()
	r := register(t)
	if err := pools.Maintain(t.Context(), r.client, "web", spec.Blue, "being replaced", true); err != nil {
		t.Fatal(err)
	}
	in, _ := pools.FromHealth([]*api.ServiceEntry{r.entry(t)})[spec.Blue].On("server")
	if in.Passing || in.Why != "Service Maintenance Mode: being replaced" {
		t.Fatalf("in maintenance: %+v", in)
	}
	next := r.is
	next.Version, next.Live = "2.0.0", true
	if err := pools.Register(t.Context(), r.client, next); err != nil {
		t.Fatal(err)
	}
	if in, _ = pools.FromHealth([]*api.ServiceEntry{r.entry(t)})[spec.Blue].On("server"); in.Passing || in.Version != "2.0.0" {
		t.Fatalf("registered again in maintenance: %+v", in)
	}
	if err := pools.Maintain(t.Context(), r.client, "web", spec.Blue, "", false); err != nil {
		t.Fatal(err)
	}
	r.await(t, "it to pass again", func(in pools.Instance) bool { return in.Passing && in.Version == "2.0.0" })
	if err := pools.Maintain(t.Context(), r.client, "web", spec.Green, "", true); err == nil {
		t.Error("an instance that isn't registered was put into maintenance")
	}
}
