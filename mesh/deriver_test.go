package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/mesh"
	"switchd/pools"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// source is what is wanted, as the test says.
type source struct {
	mu   sync.Mutex
	spec spec.Service
	live *pools.Live
}

func (s *source) Service(context.Context, string) (spec.Service, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spec, nil
}

func (s *source) Live(context.Context, string) (*pools.Live, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live, nil
}

// lead makes a pool live, one generation on, with the percentage of users that
// the other one has.
func (s *source) lead(pool string, share int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	live := s.live.Next("test", time.Now())
	live.Service, live.Pool, live.Version = s.spec.Name, pool, "1.0.0"
	if share > 0 {
		live.Weights = map[string]int{pool: 100 - share, spec.Other(pool): share}
	}
	s.live = live
}

// world is a service, with a name of its own in the mesh.
type world struct {
	*source

	name    string
	client  *consul.Client
	deriver *mesh.Deriver
}

func newWorld(server *devconsul.Lone, name string) world {
	w := world{name: name, client: server.Client()}
	w.source = &source{spec: spec.Service{Name: "shop", Mesh: &spec.Mesh{Service: name, Protocol: "http"}}}
	w.deriver = &mesh.Deriver{Env: "prod", Source: w.source, Store: w.client}
	return w
}

// derive makes the entries right, and gives the kinds that had to be written.
func (w world) derive(t *testing.T) string {
	t.Helper()
	done, err := w.deriver.Derive(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return kinds(done.Steps)
}

func kinds(steps []mesh.Step) string {
	var all []string
	for _, s := range steps {
		kind := s.Kind
		if s.Write == nil {
			kind = "no " + kind
		}
		all = append(all, kind)
	}
	return strings.Join(all, ", ")
}

// leads is what the compiled chain says.
func (w world) leads(t *testing.T) string {
	t.Helper()
	chain, err := w.client.Chain(t.Context(), w.name)
	if err != nil {
		t.Fatal(err)
	}
	_, words := mesh.Leads(chain, "")
	return words
}

func (w world) edit(t *testing.T, entry api.ConfigEntry) {
	t.Helper()
	if _, _, err := w.client.API().ConfigEntries().Set(entry, nil); err != nil {
		t.Fatal(err)
	}
}

func entry[P api.ConfigEntry](t *testing.T, w world, kind string) (found P) {
	t.Helper()
	have, err := w.client.ConfigEntry(t.Context(), kind, w.name)
	if err != nil {
		t.Fatal(err)
	}
	if have != nil {
		found = have.(P)
	}
	return found
}

func TestDerive_OnARealConsul(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	for name, test := range map[string]func(*testing.T, world){
		"follows-the-live-record":                    testFollows,
		"puts-an-edit-back-and-keeps-what-leads-not": testPutsBack,
		"tells-an-edit-of-its-own-writes":            testTells,
		"proves-nothing-while-some-are-led-away":     testElsewhere,
		"leaves-a-splitter-that-was-there-before":    testLeaves,
		"writes-nothing-without-its-fence":           testFence,
		"by-many-at-once-ends-with-the-last-record":  testMany,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(server, name))
		})
	}
}

func testFollows(t *testing.T, w world) {
	if got := w.derive(t); got != "" {
		t.Fatalf("while nothing is live, it wrote: %s", got)
	}
	if got := w.leads(t); got != "all instances" {
		t.Errorf("the default chain leads to %s", got)
	}
	for _, step := range []struct {
		pool         string
		share        int
		wrote, leads string
	}{
		{spec.Blue, 0, "service-defaults, service-resolver", "blue"},
		{spec.Blue, 1, "service-resolver, service-splitter", "99 % to blue, 1 % to green"},
		{spec.Blue, 25, "service-resolver, service-splitter", "75 % to blue, 25 % to green"},
		{spec.Green, 0, "service-resolver, no service-splitter", "green"},
		{spec.Blue, 0, "service-resolver", "blue"}, // a rollback is one write
	} {
		w.lead(step.pool, step.share)
		if got := w.derive(t); got != step.wrote {
			t.Errorf("%s with %d %%: wrote %q, want %q", step.pool, step.share, got, step.wrote)
		}
		if got := w.leads(t); got != step.leads {
			t.Errorf("%s with %d %%: leads %s, want %s", step.pool, step.share, got, step.leads)
		}
		// Not a write more, by whoever looks: Consul gives back just what was
		// written.
		if got := w.derive(t); got != "" {
			t.Errorf("%s with %d %%: written again: %s", step.pool, step.share, got)
		}
	}
}

func testPutsBack(t *testing.T, w world) {
	for _, other := range []string{"db", "spare"} {
		w.edit(t, &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: other, Protocol: "http"})
	}
	w.lead(spec.Green, 10)
	w.derive(t)
	for name, edit := range map[string]func(){
		"another pool": func() {
			w.edit(t, &api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: w.name, DefaultSubset: "blue", Subsets: entry[*api.ServiceResolverConfigEntry](t, w, api.ServiceResolver).Subsets})
		},
		"another filter": func() {
			e := entry[*api.ServiceResolverConfigEntry](t, w, api.ServiceResolver)
			e.Subsets["green"] = api.ServiceResolverSubset{Filter: `Service.Meta.pool == "blue"`}
			w.edit(t, e)
		},
		"a subset more": func() {
			e := entry[*api.ServiceResolverConfigEntry](t, w, api.ServiceResolver)
			e.Subsets["red"] = api.ServiceResolverSubset{}
			w.edit(t, e)
		},
		"a far record": func() {
			e := entry[*api.ServiceResolverConfigEntry](t, w, api.ServiceResolver)
			e.Meta[mesh.MetaGeneration] = "4711"
			w.edit(t, e)
		},
		"other weights": func() {
			e := entry[*api.ServiceSplitterConfigEntry](t, w, api.ServiceSplitter)
			e.Splits[0].Weight, e.Splits[1].Weight = 60, 40
			w.edit(t, e)
		},
		"another service": func() {
			e := entry[*api.ServiceSplitterConfigEntry](t, w, api.ServiceSplitter)
			e.Splits[0].Service, e.Splits[0].ServiceSubset = "db", ""
			w.edit(t, e)
		},
		"changed headers": func() {
			e := entry[*api.ServiceSplitterConfigEntry](t, w, api.ServiceSplitter)
			e.Splits[0].RequestHeaders = &api.HTTPHeaderModifiers{Set: map[string]string{"x": "y"}}
			w.edit(t, e)
		},
		"no splitter": func() {
			if _, err := w.client.API().ConfigEntries().Delete(api.ServiceSplitter, w.name, nil); err != nil {
				t.Fatal(err)
			}
		},
		"a splitter of one's own": func() {
			w.edit(t, &api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: w.name, Splits: []api.ServiceSplit{{Weight: 100, ServiceSubset: "blue"}}})
		},
		"nothing at all": func() {
			for _, kind := range []string{api.ServiceSplitter, api.ServiceResolver} {
				if _, err := w.client.API().ConfigEntries().Delete(kind, w.name, nil); err != nil {
					t.Fatal(err)
				}
			}
		},
		"a redirect": func() {
			if _, err := w.client.API().ConfigEntries().Delete(api.ServiceSplitter, w.name, nil); err != nil {
				t.Fatal(err)
			}
			w.edit(t, &api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: w.name, Redirect: &api.ServiceResolverRedirect{Service: "db"}})
		},
	} {
		edit()
		if got := w.derive(t); got == "" {
			t.Errorf("%s: nothing was put back", name)
		}
		if got := w.leads(t); got != "10 % to blue, 90 % to green" {
			t.Errorf("%s: leads %s", name, got)
		}
	}

	resolver := entry[*api.ServiceResolverConfigEntry](t, w, api.ServiceResolver)
	resolver.ConnectTimeout, resolver.RequestTimeout = 3*time.Second, 7*time.Second
	resolver.LoadBalancer = &api.LoadBalancer{Policy: "least_request"}
	resolver.Failover = map[string]api.ServiceResolverFailover{"*": {Service: "spare"}}
	resolver.Meta["team"] = "shop"
	w.edit(t, resolver)
	if got := w.derive(t); got != "" {
		t.Errorf("what doesn't lead was put back: %s", got)
	}
	w.lead(spec.Blue, 0)
	w.derive(t)
	now := entry[*api.ServiceResolverConfigEntry](t, w, api.ServiceResolver)
	if now.ConnectTimeout != 3*time.Second || now.RequestTimeout != 7*time.Second || now.LoadBalancer == nil || now.LoadBalancer.Policy != "least_request" ||
		now.Failover["*"].Service != "spare" || now.Meta["team"] != "shop" || now.DefaultSubset != spec.Blue {
		t.Errorf("the switch has changed more than the pool: %+v", now)
	}
}

// edited is a store that somebody else edits just after a write to it.
type edited struct {
	mesh.Store

	edit func()
}

func (e edited) WriteConfigEntry(ctx context.Context, entry api.ConfigEntry, index uint64) error {
	defer e.edit()
	return e.Store.WriteConfigEntry(ctx, entry, index)
}

// An edit that is made while a derivation still looks whether all is right is
// put back by it too, and is no write of its own.
func testTells(t *testing.T, w world) {
	var once sync.Once
	w.deriver.Store = edited{w.client, func() {
		once.Do(func() {
			w.edit(t, &api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: w.name, DefaultSubset: "v7", Subsets: map[string]api.ServiceResolverSubset{"v7": {}}})
		})
	}}
	w.spec.Mesh.Protocol = "" // one write makes all right
	w.lead(spec.Green, 0)
	done, err := w.deriver.Derive(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.leads(t); got != "green" {
		t.Errorf("leads %s", got)
	}
	if len(done.Steps) != 2 || done.Steps[0].Undoes || !done.Steps[1].Undoes || done.Steps[1].Was != "default subset v7 of v7" {
		t.Errorf("got %+v", done.Steps)
	}
	// What follows a new record is not an edit.
	var switched sync.Once
	w.deriver.Store = edited{w.client, func() { switched.Do(func() { w.lead(spec.Blue, 0) }) }}
	w.lead(spec.Green, 0)
	if done, err = w.deriver.Derive(t.Context(), "shop"); err != nil || len(done.Steps) != 2 || slices.ContainsFunc(done.Steps, func(s mesh.Step) bool { return s.Undoes }) {
		t.Errorf("got %+v: %v", done.Steps, err)
	}
}

// A proof is of all requests: what an edit leads elsewhere is not at the pool,
// though everything else is.
func testElsewhere(t *testing.T, w world) {
	w.lead(spec.Green, 0)
	w.derive(t)
	proved := func() bool {
		t.Helper()
		chain, err := w.client.Chain(t.Context(), w.name)
		if err != nil {
			t.Fatal(err)
		}
		leads, _ := mesh.Leads(chain, spec.Green)
		return leads
	}
	if !proved() {
		t.Fatalf("leads %s", w.leads(t))
	}
	w.edit(t, &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "away", Protocol: "http"})
	w.edit(t, &api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: w.name, Splits: []api.ServiceSplit{{Weight: 50, ServiceSubset: spec.Green}, {Weight: 50, Service: "away"}}})
	if got := w.leads(t); proved() || got != "50 % to another place, 50 % to green" {
		t.Errorf("proved with %s", got)
	}
	w.derive(t)
	resolver := entry[*api.ServiceResolverConfigEntry](t, w, api.ServiceResolver)
	w.edit(t, &api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: w.name, Meta: resolver.Meta, Subsets: resolver.Subsets, Redirect: &api.ServiceResolverRedirect{Service: w.name, ServiceSubset: spec.Green, Datacenter: "dc7"}})
	if got := w.leads(t); proved() {
		t.Errorf("proved with %s", got)
	}
	// A route to another service is for its requests.
	w.derive(t)
	w.edit(t, &api.ServiceRouterConfigEntry{Kind: api.ServiceRouter, Name: w.name, Routes: []api.ServiceRoute{{
		Match: &api.ServiceRouteMatch{HTTP: &api.ServiceRouteHTTPMatch{PathPrefix: "/away"}}, Destination: &api.ServiceRouteDestination{Service: "away"},
	}}})
	if got := w.leads(t); !proved() {
		t.Errorf("not proved with %s", got)
	}
}

func testLeaves(t *testing.T, w world) {
	w.edit(t, &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: w.name, Protocol: "http"})
	w.edit(t, &api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: w.name, Subsets: map[string]api.ServiceResolverSubset{"blue": {}, "v1": {}}})
	w.edit(t, &api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: w.name, Splits: []api.ServiceSplit{{Weight: 100, ServiceSubset: "v1"}}})
	w.lead(spec.Green, 10)
	done, err := w.deriver.Derive(t.Context(), "shop")
	if _, ok := errors.AsType[*mesh.ForeignError](err); !ok || len(done.Steps) > 0 || !strings.Contains(err.Error(), "100 % to v1") || !strings.Contains(err.Error(), "consul config delete -kind service-splitter -name "+w.name) {
		t.Errorf("wrote %s: %v", kinds(done.Steps), err)
	}
	if _, err := w.client.API().ConfigEntries().Delete(api.ServiceSplitter, w.name, nil); err != nil {
		t.Fatal(err)
	}
	w.derive(t)
	if got := w.leads(t); got != "10 % to blue, 90 % to green" {
		t.Errorf("leads %s", got)
	}
	// Another environment in the same Consul would undo it for ever.
	other := &mesh.Deriver{Env: "staging", Source: w.source, Store: w.client}
	if done, err := other.Derive(t.Context(), "shop"); err == nil || !strings.Contains(err.Error(), "environment prod") || len(done.Steps) > 0 {
		t.Errorf("wrote %s: %v", kinds(done.Steps), err)
	}
}

func TestDerive_KeepsTheProtocolThatSomebodySet(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	for name, c := range map[string]struct {
		set   api.ConfigEntry
		want  string // of the service-defaults; "": there are none
		wrong string
	}{
		"nobody":               {nil, "http", ""},
		"all services":         {&api.ProxyConfigEntry{Kind: api.ProxyDefaults, Name: api.ProxyConfigGlobal, Config: map[string]any{"protocol": "http2"}}, "", ""},
		"the service":          {&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Protocol: "grpc"}, "grpc", ""},
		"the service, for tcp": {&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Protocol: "tcp"}, "tcp", `say protocol tcp, but weights need http`},
		"the service, else":    {&api.ServiceConfigEntry{Kind: api.ServiceDefaults, BalanceInboundConnections: "exact_balance"}, "", `say no protocol, but weights need http`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(server, strings.NewReplacer(" ", "-", ",", "").Replace(name))
			switch set := c.set.(type) {
			case *api.ServiceConfigEntry:
				set.Name = w.name
				w.edit(t, set)
			case *api.ProxyConfigEntry: // it holds for all
				w = newWorld(devconsul.Start(t, nil), w.name)
				w.edit(t, set)
			}
			w.lead(spec.Blue, 5)
			_, err := w.deriver.Derive(t.Context(), "shop")
			if text := fmt.Sprint(err); (err != nil) != (c.wrong != "") || !strings.Contains(text, c.wrong) {
				t.Errorf("got %v, want %q", err, c.wrong)
			}
			defaults := entry[*api.ServiceConfigEntry](t, w, api.ServiceDefaults)
			if got := ""; c.want != "" && defaults == nil || defaults != nil && defaults.Protocol != c.want {
				t.Errorf("the service-defaults are %v %+v, want %q", got, defaults, c.want)
			}
			if splitter := entry[*api.ServiceSplitterConfigEntry](t, w, api.ServiceSplitter); (splitter == nil) != (c.wrong != "") {
				t.Errorf("the splitter is %+v", splitter)
			}
			// A rollback works, whatever the protocol is.
			w.lead(spec.Green, 0)
			_, _ = w.deriver.Derive(t.Context(), "shop")
			if got := w.leads(t); got != "green" {
				t.Errorf("leads %s", got)
			}
			// What switchd has set itself follows the spec.
			if c.set != nil {
				return
			}
			w.spec.Mesh = &spec.Mesh{Service: w.name, Protocol: "grpc"}
			w.derive(t)
			if got := entry[*api.ServiceConfigEntry](t, w, api.ServiceDefaults).Protocol; got != "grpc" {
				t.Errorf("the protocol is %s", got)
			}
		})
	}
}

func testFence(t *testing.T, w world) {
	w.lead(spec.Blue, 0)
	w.derive(t)
	w.lead(spec.Green, 0)
	w.deriver.Fence = func() error { return consul.ErrFenced }
	if _, err := w.deriver.Derive(t.Context(), "shop"); !errors.Is(err, consul.ErrFenced) {
		t.Errorf("got %v", err)
	}
	if got := w.leads(t); got != "blue" {
		t.Errorf("leads %s", got)
	}
}

func testMany(t *testing.T, w world) {
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			for j := range 8 {
				w.lead([]string{spec.Blue, spec.Green}[(i+j)%2], (i*j)%3*10)
				if _, err := w.deriver.Derive(t.Context(), "shop"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	want, words := w.live, w.leads(t)
	resolver := entry[*api.ServiceResolverConfigEntry](t, w, api.ServiceResolver)
	if got := resolver.Meta[mesh.MetaGeneration]; got != fmt.Sprint(want.Generation) || resolver.DefaultSubset != want.Pool {
		t.Errorf("generation %s leads to %s, want %d and %s", got, resolver.DefaultSubset, want.Generation, want.Pool)
	}
	chain, err := w.client.Chain(t.Context(), w.name)
	if err != nil {
		t.Fatal(err)
	}
	shares := make(map[string]float32)
	for _, pool := range []string{spec.Blue, spec.Green} {
		if share := want.Share(pool); share > 0 {
			shares[pool] = float32(share)
		}
	}
	if got := mesh.Shares(chain); !maps.Equal(got, shares) {
		t.Errorf("leads %s, want %v", words, shares)
	}
}

// The right to write the service is all that it takes; the right to read it is
// enough to see where it leads.
func TestDerive_NeedsTheRightToWriteTheServiceAndNoOther(t *testing.T) {
	t.Parallel()
	const manager = "11111111-2222-3333-4444-555555555555"
	server := devconsul.Start(t, map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": manager},
	}})
	as := func(token string) *consul.Client {
		t.Helper()
		client, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: token})
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	token := func(policy string) *consul.Client {
		t.Helper()
		made, _, err := as(manager).API().ACL().PolicyCreate(&api.ACLPolicy{Name: policy, Rules: fmt.Sprintf("service \"web\" { policy = %q }", policy)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := as(manager).API().ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: made.ID}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return as(token.SecretID)
	}
	w := newWorld(server, "web")
	w.lead(spec.Green, 10)
	w.client = token("read")
	w.deriver.Store = w.client
	if done, err := w.deriver.Derive(t.Context(), "shop"); !errors.Is(err, consul.ErrDenied) || len(done.Steps) > 0 {
		t.Errorf("one who may read wrote %s: %v", kinds(done.Steps), err)
	}
	w.deriver.Store = token("write")
	w.derive(t)
	if got := w.leads(t); got != "10 % to blue, 90 % to green" {
		t.Errorf("leads %s", got)
	}
}
