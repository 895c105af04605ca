package driver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/hashicorp/consul/api"

	"switchd/acl"
	"switchd/artifact"
	"switchd/consul"
	"switchd/driver"
	"switchd/ledger"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
	"switchd/upstream"
)

// master is the token that may do everything on a test's own Consul.
const master = "22222222-3333-4444-5555-666666666666"

// startGuarded starts a Consul that denies whatever was not granted.
func startGuarded(t *testing.T) *devconsul.Lone {
	t.Helper()
	return devconsul.Start(t, map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": master, "agent": master},
	}})
}

// grant makes a token of a role.
func grant(t *testing.T, server *devconsul.Lone, g acl.Grant) string {
	t.Helper()
	policy, err := acl.For(g)
	if err != nil {
		t.Fatal(err)
	}
	client := clientOf(t, server, master).API()
	made, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: fmt.Sprintf("%s-%s", g.Env, g.Role), Rules: policy.String()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: made.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token.SecretID
}

func clientOf(t *testing.T, server *devconsul.Lone, token string) *consul.Client {
	t.Helper()
	client, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: token})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// chain is an environment and the one before it, each on a Consul of its own,
// with the rights that `switchd acl` prints and no others.
type chain struct {
	before, here *ledger.Ledger // with all rights, for the test
	at           *devconsul.Lone
	token        string // reads the environment before
	controller   *consul.Client
	key          minisign.PrivateKey
	keys         artifact.TrustedKeys
	stores       string // directory of this environment's archives
	offered      *artifact.Store
	after        spec.Upstream
	addr         string // of the Consul before, if it is another one than at's
}

func newChain(t *testing.T, before, here *devconsul.Lone, name string) *chain {
	t.Helper()
	staging, prod := "staging-"+name, "prod-"+name
	c := &chain{
		before:     &ledger.Ledger{Consul: clientOf(t, before, master), Keys: consul.Keys{Env: staging}},
		here:       &ledger.Ledger{Consul: clientOf(t, here, master), Keys: consul.Keys{Env: prod}},
		at:         before,
		token:      grant(t, before, acl.Grant{Role: acl.Upstream, Env: staging}),
		controller: clientOf(t, here, grant(t, here, acl.Grant{Role: acl.Controller, Env: prod, Pull: true})),
		stores:     t.TempDir(),
		after:      spec.Upstream{Environment: staging, Promote: true},
	}
	public, private, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.key, c.keys = private, artifact.TrustedKeys{public}
	if c.offered, err = artifact.NewStore(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	c.offer(t, artifact.NewHandler(c.offered, artifact.Policy{Keys: c.keys}, slog.New(slog.DiscardHandler)))
	return c
}

// offer makes a store the replica of the environment before.
func (c *chain) offer(t *testing.T, handler http.Handler) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	r := replica.Replica{Name: "ns1", Env: c.before.Keys.Env, HTTP: strings.TrimPrefix(server.URL, "http://")}
	if err := replica.Register(t.Context(), c.before.Consul, r); err != nil {
		t.Fatal(err)
	}
}

// apply declares services here, and the nodes of their blue pools.
func (c *chain) apply(t *testing.T, services ...spec.Service) {
	t.Helper()
	for _, s := range services {
		for _, node := range s.Pools[spec.Blue].Nodes {
			if _, err := c.here.Consul.API().Catalog().Register(&api.CatalogRegistration{Node: node, Address: "192.0.2.1"}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	env := spec.Environment{Name: c.here.Keys.Env, After: &c.after}
	if err := c.here.Apply(t.Context(), "test", &spec.Desired{Environment: env, Services: services}); err != nil {
		t.Fatal(err)
	}
}

func shopService(name string, dependsOn ...string) spec.Service {
	return spec.Service{
		Name: name, Port: 80, DependsOn: dependsOn, Roll: spec.Roll{Quorum: spec.Nodes(1)},
		Pools: map[string]spec.Pool{spec.Blue: {Nodes: []string{name + "-b1"}}, spec.Green: {Nodes: []string{name + "-g1"}}},
	}
}

// publish packs, signs, stores and publishes a release in the environment before.
func (c *chain) publish(t *testing.T, service, version string) artifact.Manifest {
	t.Helper()
	file := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(file, []byte(service+version), 0o600); err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	info, err := artifact.Pack(t.Context(), file, &archive)
	if err != nil {
		t.Fatal(err)
	}
	m := artifact.NewManifest(service, version, "test", time.Now(), info)
	if err := artifact.Sign(&m, c.key); err != nil {
		t.Fatal(err)
	}
	if err := c.offered.Put(t.Context(), m, &archive); err != nil {
		t.Fatal(err)
	}
	if err := c.before.Publish(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// done has a version be live in the environment before, by a rollout that ended
// well at a time.
func (c *chain) done(t *testing.T, service, version string, at time.Time) {
	t.Helper()
	live := &pools.Live{Service: service, Pool: spec.Blue, Version: version, Generation: 1, Rollout: service + version, By: "test", At: at}
	record := &rollout.Record{
		ID: service + version, Service: service, Version: version, Pool: spec.Blue, Phase: rollout.Done, At: at.Add(-time.Minute), SwitchedAt: at, Entered: at,
	}
	put(t, c.before, c.before.Keys.Rollout(service), record)
	put(t, c.before, c.before.Keys.Live(service), live)
}

func put(t *testing.T, l *ledger.Ledger, key string, value any) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Consul.API().KV().Put(&api.KVPair{Key: key, Value: text}, nil); err != nil {
		t.Fatal(err)
	}
}

// drive has replicas follow the environment before, all of them at once, until
// the returned function is called. No lease keeps them apart: the record must.
func (c *chain) drive(t *testing.T, replicas int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for i := range replicas {
		store, err := artifact.NewStore(filepath.Join(c.stores, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		l := &ledger.Ledger{Consul: c.controller, Keys: c.here.Keys}
		fence, err := l.Operate(ctx, "test")
		if err != nil {
			t.Fatal(err)
		}
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		taker := upstream.Taker{Store: store, Others: func(context.Context) ([]string, error) { return nil, nil }, Log: log}
		w := &driver.World{Ledger: l, Fence: fence, Log: log, Upstream: &driver.Upstream{Open: c.open, Keys: c.keys, Take: taker.Take}}
		working.Go(func() {
			w.KeepUpstream(ctx)
			_ = fence.Close(context.WithoutCancel(ctx)) // its TTL ends it otherwise
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		working.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func (c *chain) open(after spec.Upstream) (*upstream.Source, error) {
	addr := c.addr
	if addr == "" {
		addr = c.at.Addr()
	}
	client, clock, err := consul.NewClientElsewhere(consul.Elsewhere{Address: addr, Token: func() (string, error) { return c.token, nil }})
	if err != nil {
		return nil, err
	}
	return upstream.NewSource(client, clock, after.Environment), nil
}

// await returns when something holds of what this environment's KV has.
func (c *chain) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	held := false
	c.here.Consul.WatchPrefix(ctx, c.here.Keys.Prefix(), func(seen consul.Seen[[]consul.Entry]) {
		if seen.Err == nil && holds() {
			held = true
			cancel()
		}
	})
	if !held {
		t.Fatalf("after half a minute, not yet: %s", what)
	}
}

func (c *chain) record(t *testing.T, service string) *rollout.Record {
	t.Helper()
	record, err := c.here.Record(context.WithoutCancel(t.Context()), service)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func (c *chain) eligible(t *testing.T, service string) *rollout.Eligibility {
	t.Helper()
	e, err := c.here.Eligible(context.WithoutCancel(t.Context()), service)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (c *chain) begun(t *testing.T, service, version string) func() bool {
	t.Helper()
	return func() bool {
		r := c.record(t, service)
		return r != nil && r.Version == version
	}
}

func TestUpstream(t *testing.T) {
	t.Parallel()
	before, here := startGuarded(t), startGuarded(t)
	for name, test := range map[string]func(*testing.T, *chain){
		"brings-a-new-environment-up":  bringsUp,
		"waits-for-the-time":           waitsForTheTime,
		"counts-by-the-others-clock":   countsByTheOthersClock,
		"takes-only-what-is-signed":    takesOnlyWhatIsSigned,
		"takes-no-wrong-bytes":         takesNoWrongBytes,
		"never-changes-a-release":      neverChangesARelease,
		"begins-once":                  beginsOnce,
		"leaves-what-failed":           leavesWhatFailed,
		"remembers-what-failed":        remembers,
		"waits-for-nodes":              waitsForNodes,
		"reads-and-never-writes":       readsAndNeverWrites,
		"catches-up-to-the-newest-one": catchesUp,
		"forgets-what-no-longer-is":    forgets,
		"writes-over-what-is-broken":   writesOver,
		"says-that-it-goes-unread":     saysThatItGoesUnread,
		"says-that-it-can-t-be-asked":  saysThatItCantBeAsked,
		"says-what-takes-too-long":     saysWhatTakesTooLong,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newChain(t, before, here, name))
		})
	}
}

// bringsUp has a new environment come to what is proven, in the order of what
// depends on what, with nobody pushing anything.
func bringsUp(t *testing.T, c *chain) {
	long := time.Now().Add(-24 * time.Hour)
	var manifests []artifact.Manifest
	for _, service := range []string{"cart", "web"} {
		manifests = append(manifests, c.publish(t, service, "2.0.0"))
		c.done(t, service, "2.0.0", long)
	}
	c.apply(t, shopService("cart"), shopService("web", "cart"))
	c.drive(t, 1)
	c.await(t, "cart begins, and web waits for it", func() bool {
		return c.begun(t, "cart", "2.0.0")() && c.eligible(t, "web").Waits != ""
	})
	if r := c.record(t, "web"); r != nil {
		t.Fatalf("web began before cart, which it needs: %+v", r)
	}
	if e := c.eligible(t, "web"); !e.Eligible("2.0.0") || !strings.Contains(e.Waits, "cart 2.0.0 is under way") {
		t.Errorf("web: %+v", e)
	}
	r := c.record(t, "cart")
	if r.Phase != rollout.Queued || !strings.HasPrefix(r.By, "switchd (eligible since ") || !strings.HasSuffix(r.By, "in "+c.before.Keys.Env+")") {
		t.Errorf("the rollout is %+v", r)
	}
	if len(r.Gates) != 1 || r.Gates[0].Kind != rollout.GateUpstream || r.Gates[0].Outcome != rollout.GatePassed {
		t.Errorf("the decision record has %+v", r.Gates)
	}
	for _, m := range manifests {
		got, err := c.here.Release(t.Context(), m.Service, m.Version)
		if err != nil {
			t.Fatal(err)
		}
		if got != m {
			t.Errorf("the manifest has changed on its way: %+v, it was %+v", got, m)
		}
		if _, err := os.Stat(filepath.Join(c.stores, "0", m.SHA256)); err != nil {
			t.Errorf("its archive is not here: %v", err)
		}
	}
	// Cart comes to its end.
	r.Phase, r.SwitchedAt = rollout.Done, time.Now()
	put(t, c.here, c.here.Keys.Rollout("cart"), r)
	put(t, c.here, c.here.Keys.Live("cart"), &pools.Live{Service: "cart", Pool: spec.Blue, Version: "2.0.0", Generation: 1, At: time.Now()})
	c.await(t, "web begins", c.begun(t, "web", "2.0.0"))
}

func waitsForTheTime(t *testing.T, c *chain) {
	c.after.For = spec.Duration(4 * time.Second)
	c.publish(t, "web", "2.0.0")
	c.apply(t, shopService("web"))
	at := time.Now()
	c.done(t, "web", "2.0.0", at)
	c.drive(t, 1)
	c.await(t, "it is known", func() bool { return c.eligible(t, "web").Version == "2.0.0" })
	if e := c.eligible(t, "web"); e.Eligible("2.0.0") {
		t.Fatalf("eligible after %s: %+v", time.Since(at), e)
	}
	c.await(t, "web begins", c.begun(t, "web", "2.0.0"))
	if r := c.record(t, "web"); r.At.Sub(at) < 4*time.Second {
		t.Errorf("it began after %s", r.At.Sub(at))
	}
}

// countsByTheOthersClock has the environment before live an hour ahead: there,
// the version was done three minutes ago.
func countsByTheOthersClock(t *testing.T, c *chain) {
	const ahead = time.Hour
	target, err := url.Parse("http://" + c.at.Addr())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{DisableKeepAlives: true},
		ModifyResponse: func(r *http.Response) error {
			r.Header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
	t.Cleanup(proxy.Close)
	c.addr, c.after.For = proxy.URL, spec.Duration(10*time.Minute)
	c.publish(t, "web", "2.0.0")
	c.publish(t, "cart", "2.0.0")
	c.done(t, "web", "2.0.0", time.Now().Add(ahead-3*time.Minute))
	c.done(t, "cart", "2.0.0", time.Now().Add(ahead-11*time.Minute))
	c.apply(t, shopService("web"), shopService("cart"))
	c.drive(t, 1)
	c.await(t, "cart begins", c.begun(t, "cart", "2.0.0"))
	e := c.eligible(t, "web")
	if since := time.Since(e.Done); e.Eligible("2.0.0") || (since-3*time.Minute).Abs() > 20*time.Second {
		t.Errorf("done for %s here, want about 3m: %+v", since, e)
	}
}

func takesOnlyWhatIsSigned(t *testing.T, c *chain) {
	_, stranger, err := minisign.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	trusted := c.key
	c.key = stranger
	c.publish(t, "web", "2.0.0")
	c.key = trusted
	c.done(t, "web", "2.0.0", time.Now().Add(-time.Hour))
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	c.await(t, "the release is refused", func() bool { return strings.Contains(c.eligible(t, "web").Trouble, "not trusted") })
	if _, err := c.here.Release(t.Context(), "web", "2.0.0"); err == nil {
		t.Error("the release is here")
	}
	if r := c.record(t, "web"); r != nil {
		t.Errorf("a rollout began: %+v", r)
	}
}

// takesNoWrongBytes has the store there give other bytes of the right length.
func takesNoWrongBytes(t *testing.T, c *chain) {
	m := c.publish(t, "web", "2.0.0")
	var asked atomic.Bool
	c.offer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Store(true)
		_, _ = io.WriteString(w, strings.Repeat("x", int(m.Size)))
	}))
	c.done(t, "web", "2.0.0", time.Now().Add(-time.Hour))
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	c.await(t, "the archive is refused", func() bool { return strings.Contains(c.eligible(t, "web").Trouble, "not what the manifest describes") })
	if _, err := c.here.Release(t.Context(), "web", "2.0.0"); err == nil || !asked.Load() {
		t.Error("the release is here, or the store was not asked")
	}
	if left, err := filepath.Glob(filepath.Join(c.stores, "0", m.SHA256+"*")); err != nil || len(left) > 1 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if r := c.record(t, "web"); r != nil {
		t.Errorf("a rollout began: %+v", r)
	}
}

func neverChangesARelease(t *testing.T, c *chain) {
	m := c.publish(t, "web", "2.0.0")
	ours := m
	ours.SHA256 = strings.Repeat("0", 64)
	if err := c.here.Publish(t.Context(), ours); err != nil {
		t.Fatal(err)
	}
	c.done(t, "web", "2.0.0", time.Now().Add(-time.Hour))
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	c.await(t, "that they differ is said", func() bool { return strings.Contains(c.eligible(t, "web").Trouble, "with other bytes") })
	if got, err := c.here.Release(t.Context(), "web", "2.0.0"); err != nil || got.SHA256 != ours.SHA256 {
		t.Errorf("the release here is %+v (%v)", got, err)
	}
	if r := c.record(t, "web"); r != nil {
		t.Errorf("a rollout of other bytes than those that were proven began: %+v", r)
	}
}

// beginsOnce has three replicas compete without a lease.
func beginsOnce(t *testing.T, c *chain) {
	c.publish(t, "web", "2.0.0")
	c.done(t, "web", "2.0.0", time.Now().Add(-time.Hour))
	c.apply(t, shopService("web"))
	var mu sync.Mutex
	ids := make(map[string]bool)
	watching := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(watching)
		c.here.Consul.WatchKey(ctx, c.here.Keys.Rollout("web"), func(seen consul.Seen[consul.Entry]) {
			if r, err := rollout.ParseRecord(seen.Value.Value, seen.Value.Index); err == nil && r != nil {
				mu.Lock()
				ids[r.ID] = true
				mu.Unlock()
			}
		})
	}()
	stop := c.drive(t, 3)
	c.await(t, "web begins", c.begun(t, "web", "2.0.0"))
	r := c.record(t, "web")
	// It fails at once, which lets each of them think of it again.
	r.Phase, r.Outcome = rollout.Failed, "drawn"
	put(t, c.here, c.here.Keys.Rollout("web"), r)
	c.await(t, "it is left to a person", func() bool { return strings.Contains(c.eligible(t, "web").Waits, "a person may") })
	stop()
	cancel()
	<-watching
	if len(ids) != 1 {
		t.Errorf("rollouts were begun: %v", ids)
	}
}

// leavesWhatFailed knows from the history what went wrong here.
func leavesWhatFailed(t *testing.T, c *chain) {
	c.publish(t, "web", "2.0.0")
	c.done(t, "web", "2.0.0", time.Now().Add(-time.Hour))
	c.apply(t, shopService("web"))
	put(t, c.here, c.here.Keys.History("web", "old"), &rollout.Record{ID: "old", Service: "web", Version: "2.0.0", Phase: rollout.RolledBack, Outcome: "an alert"})
	put(t, c.here, c.here.Keys.Rollout("web"), &rollout.Record{ID: "new", Service: "web", Version: "1.0.0", Phase: rollout.Done, At: time.Now()})
	put(t, c.here, c.here.Keys.Live("web"), &pools.Live{Service: "web", Pool: spec.Green, Version: "1.0.0", Generation: 1, At: time.Now().Add(-2 * time.Hour)})
	c.drive(t, 1)
	c.await(t, "it is left to a person, who may", func() bool {
		e := c.eligible(t, "web")
		return e.Release != "" && strings.Contains(e.Waits, "its rollout here was rolled back: an alert; a person may promote it again")
	})
	if r := c.record(t, "web"); r.ID != "new" {
		t.Errorf("a rollout began: %+v", r)
	}
	// A person may: the version is eligible.
	s, err := c.here.Observe(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	s.Released = true
	if _, err := rollout.Promote(s, "by-hand", "2.0.0", "alice", time.Now()); err != nil {
		t.Error(err)
	}
}

// remembers has a version be rolled back here, and another one tried and rolled
// back after it, while the same replica drives.
func remembers(t *testing.T, c *chain) {
	c.publish(t, "web", "2.0.0")
	c.done(t, "web", "2.0.0", time.Now().Add(-time.Hour))
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	for _, version := range []string{"2.0.0", "1.0.0"} {
		if version != "2.0.0" {
			put(t, c.here, c.here.Keys.Rollout("web"), &rollout.Record{ID: version, Service: "web", Version: version, Phase: rollout.Staging, At: time.Now()})
		}
		c.await(t, version+" begins", c.begun(t, "web", version))
		if _, err := c.here.Do(t.Context(), "web", "test", func(s rollout.Situation) (*rollout.Change, error) {
			return rollout.Rollback(s, "test", "it was bad", time.Now())
		}); err != nil {
			t.Fatal(err)
		}
		c.await(t, "2.0.0 is left to a person", func() bool { return strings.Contains(c.eligible(t, "web").Waits, "a person may") })
	}
	c.publish(t, "web", "2.0.1")
	c.done(t, "web", "2.0.1", time.Now().Add(-time.Minute))
	c.await(t, "2.0.1 begins", c.begun(t, "web", "2.0.1"))
	past, err := c.here.History(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if len(past) != 2 {
		t.Errorf("there were %d rollouts before 2.0.1, want 2", len(past))
	}
}

func waitsForNodes(t *testing.T, c *chain) {
	c.publish(t, "web", "2.0.0")
	c.done(t, "web", "2.0.0", time.Now().Add(-time.Hour))
	s := shopService("web")
	s.Pools[spec.Blue] = spec.Pool{NodeMeta: map[string]string{"pool": c.here.Keys.Env}}
	c.apply(t, s)
	c.drive(t, 1)
	c.await(t, "it waits for nodes", func() bool { return strings.Contains(c.eligible(t, "web").Waits, "blue pool has 0 nodes") })
	if r := c.record(t, "web"); r != nil {
		t.Errorf("a rollout began without any node: %+v", r)
	}
}

// readsAndNeverWrites tries what a stolen token could do.
func readsAndNeverWrites(t *testing.T, c *chain) {
	c.apply(t, shopService("web"))
	c.done(t, "web", "2.0.0", time.Now())
	put(t, c.before, c.before.Keys.Spec("web"), "secret")
	read := clientOf(t, c.at, c.token)
	if _, err := read.Get(t.Context(), c.before.Keys.Live("web")); err != nil {
		t.Errorf("it can't read what it is for: %v", err)
	}
	for _, key := range []string{c.before.Keys.Spec("web"), c.here.Keys.Live("web"), c.before.Keys.Lease()} {
		if entry, err := read.Get(t.Context(), key); err == nil {
			t.Errorf("it reads %s: %s", key, entry.Value)
		}
	}
	for _, key := range []string{c.before.Keys.Live("web"), c.before.Keys.Rollout("web"), c.before.Keys.Release("web", "2.0.0"), c.here.Keys.Live("web")} {
		if err := read.Txn(t.Context(), "steal", consul.CAS(key, []byte("x"), 0)); err == nil {
			t.Errorf("it writes %s", key)
		}
	}
	// And the controller here has no right there, nor anywhere but in its own.
	elsewhere := clientOf(t, c.at, c.token)
	for _, client := range []*consul.Client{c.controller, elsewhere} {
		if err := client.Txn(t.Context(), "steal", consul.CAS(c.before.Keys.Live("cart"), []byte("x"), 0)); err == nil {
			t.Error("it writes in the environment before")
		}
	}
}

// catchesUp has an environment return that was cut off while three versions came
// and went.
func catchesUp(t *testing.T, c *chain) {
	weeks := time.Now().Add(-21 * 24 * time.Hour)
	c.apply(t, shopService("web"))
	put(t, c.here, c.here.Keys.Rollout("web"), &rollout.Record{ID: "own", Service: "web", Version: "1.0.0", Phase: rollout.Done, At: weeks, SwitchedAt: weeks})
	put(t, c.here, c.here.Keys.Live("web"), &pools.Live{Service: "web", Pool: spec.Green, Version: "1.0.0", Generation: 1, At: weeks})
	for i, version := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		at := weeks.Add(time.Duration(i-1) * 24 * time.Hour)
		put(t, c.before, c.before.Keys.History("web", version), &rollout.Record{ID: version, Service: "web", Version: version, Phase: rollout.Done, At: at, SwitchedAt: at, Entered: at})
	}
	c.publish(t, "web", "4.0.0")
	c.done(t, "web", "4.0.0", time.Now().Add(-time.Hour))
	c.drive(t, 1)
	c.await(t, "the newest one begins", c.begun(t, "web", "4.0.0"))
}

// forgets what was known when the environment needs no other one any more.
func forgets(t *testing.T, c *chain) {
	c.done(t, "web", "2.0.0", time.Now())
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	c.await(t, "it is known", func() bool { return c.eligible(t, "web").Version == "2.0.0" })
	if err := c.here.Apply(t.Context(), "test", &spec.Desired{Environment: spec.Environment{Name: c.here.Keys.Env}, Services: []spec.Service{shopService("web")}}); err != nil {
		t.Fatal(err)
	}
	c.await(t, "it is forgotten", func() bool {
		entry, err := c.here.Consul.Get(context.WithoutCancel(t.Context()), c.here.Keys.Eligible("web"))
		return err == nil && entry.Index == 0
	})
	if e := c.eligible(t, "web"); e != nil {
		t.Errorf("got %+v", e)
	}
}

// broken is what can't be read where a contact is to be.
const broken = "broken"

// contact is what this environment's KV has of how the one before is read.
func (c *chain) contact(t *testing.T) rollout.Contact {
	t.Helper()
	contact, err := c.here.Contact(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return contact
}

// writesOver has somebody break what is told of the contact, before the replica
// drives and while it does.
func writesOver(t *testing.T, c *chain) {
	put(t, c.here, c.here.Keys.Upstream(), broken)
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	read := func() bool { return c.contact(t).Upstream == c.before.Keys.Env && c.contact(t).Error == "" }
	c.await(t, "it is told that it is read", read)
	put(t, c.here, c.here.Keys.Upstream(), broken)
	c.await(t, "it is told again that it is read", read)
}

// saysThatItGoesUnread has nobody answer, which is the same all the time.
func saysThatItGoesUnread(t *testing.T, c *chain) {
	c.addr = "127.0.0.1:1"
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	unread := func() bool { return c.contact(t).Upstream == c.before.Keys.Env && c.contact(t).Error != "" }
	c.await(t, "it is told that it can't be read", unread)
	put(t, c.here, c.here.Keys.Upstream(), broken)
	c.await(t, "it is told again that it can't be read", unread)
}

func saysThatItCantBeAsked(t *testing.T, c *chain) {
	c.addr = "unix:///nowhere"
	put(t, c.here, c.here.Keys.Upstream(), broken)
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	c.await(t, "it is told that it can't be asked", func() bool {
		return c.contact(t).Upstream == c.before.Keys.Env && strings.Contains(c.contact(t).Error, "is reached by TCP")
	})
}

// saysWhatTakesTooLong has each answer come in time, and both together too late for
// the last look before a rollout.
func saysWhatTakesTooLong(t *testing.T, c *chain) {
	target, err := url.Parse("http://" + c.at.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var slow atomic.Bool
	forward := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:    &http.Transport{DisableKeepAlives: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() && strings.HasSuffix(r.URL.Path, "/web") {
			select {
			case <-time.After(4200 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	c.addr = proxy.URL
	store := artifact.NewHandler(c.offered, artifact.Policy{Keys: c.keys}, slog.New(slog.DiscardHandler))
	c.offer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" { // which Consul asks for
			slow.Store(true)
		}
		store.ServeHTTP(w, r)
	}))
	c.publish(t, "web", "2.0.0")
	c.done(t, "web", "2.0.0", time.Now().Add(-time.Hour))
	c.apply(t, shopService("web"))
	c.drive(t, 1)
	c.await(t, "that it takes too long is told", func() bool { return c.contact(t).Error != "" })
	if r := c.record(t, "web"); r != nil {
		t.Errorf("a rollout began: %+v", r)
	}
	slow.Store(false)
	c.await(t, "that it can be read again is told", func() bool { return c.contact(t).Error == "" })
}

// TestUpstream_IsAwayAndComesBack stops the environment before in the middle.
func TestUpstream_IsAwayAndComesBack(t *testing.T) {
	t.Parallel()
	before, here := startGuarded(t), startGuarded(t)
	c := newChain(t, before, here, "away")
	c.after.For = spec.Duration(3 * time.Second)
	c.publish(t, "web", "2.0.0")
	c.apply(t, shopService("web"))
	c.done(t, "web", "2.0.0", time.Now())
	c.drive(t, 1)
	c.await(t, "it is known, and its release is here", func() bool { return c.eligible(t, "web").Release != "" })
	before.Kill()
	c.await(t, "that it is away is said", func() bool { return c.eligible(t, "web").Contact.Error != "" })
	e := c.eligible(t, "web")
	// Its time passes while nobody can see whether it was rolled back.
	time.Sleep(time.Until(e.From().Add(time.Second)))
	if e = c.eligible(t, "web"); e.Eligible("2.0.0") || !strings.Contains(e.Lacks("2.0.0", time.Now()), "can't be read since") {
		t.Errorf("eligible on what was seen before its time: %+v", e)
	}
	if r := c.record(t, "web"); r != nil {
		t.Errorf("a rollout began on what nobody could see: %+v", r)
	}
	before.Start()
	c.await(t, "web begins", c.begun(t, "web", "2.0.0"))
	c.await(t, "that it is back is said", func() bool { return c.eligible(t, "web").Contact.Error == "" })
}
