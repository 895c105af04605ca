package rolling_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/artifact"
	"switchd/consul"
	"switchd/pools"
	"switchd/rolling"
	"switchd/rollout"
	"switchd/runner"
	"switchd/runner/process"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// patience is how long anything may take before a test fails.
const patience = 30 * time.Second

// nodeName is what the lone Consul server calls itself, and so its node.
const nodeName = "server"

// node is one node with an agent, in the blue pool of a service of its own, so
// that many can share a Consul.
type node struct {
	*testing.T

	consul     *consul.Client
	keys       consul.Keys
	service    spec.Service
	address    string
	root       string
	ttl        time.Duration
	again      time.Duration // how often it registers; zero: the default
	runtime    *runtime
	log        syncBuffer
	stage      func(version string) error // what a fetch ends with
	memory     *memory                    // nil: nothing can be preloaded
	manifest   func(*artifact.Manifest)   // changes what is filed
	rollout    *rollout.Record
	liveRecord *pools.Live
	stop       func()     // ends the agent that runs; nil: none
	died       chan error // from dieAt
}

func newNode(t *testing.T, server *devconsul.Lone, name string) *node {
	t.Helper()
	n := makeNode(t, server.Client(), name)
	n.service = spec.Service{
		Name: name, Port: freePort(t, n.address),
		Pools: map[string]spec.Pool{spec.Blue: {Nodes: []string{nodeName}}, spec.Green: {Nodes: []string{"elsewhere"}}},
		Runtime: spec.Runtime{
			Kind: spec.RuntimeProcess, Command: []string{"./app", "--addr", "{{address}}:{{port}}"},
			StopSignal: "SIGTERM", StopGrace: spec.Duration(5 * time.Second),
		},
		Health: spec.Health{Path: "/healthz", Interval: spec.Duration(time.Second), Timeout: spec.Duration(time.Second)},
		Roll: spec.Roll{
			Quorum: spec.Nodes(1), MaxUnavailable: spec.Nodes(1),
			MinHealthyTime: spec.Duration(100 * time.Millisecond), HealthyDeadline: spec.Duration(10 * time.Second),
		},
	}
	n.apply()
	return n
}

// twin is another machine that calls itself by this node's name.
func (n *node) twin() *node {
	n.Helper()
	twin := makeNode(n.T, n.consul, n.keys.Env)
	twin.service, twin.ttl = n.service, n.ttl
	return twin
}

func makeNode(t *testing.T, client *consul.Client, env string) *node {
	t.Helper()
	n := &node{
		T: t, consul: client, keys: consul.Keys{Env: env}, root: t.TempDir(), ttl: 5 * time.Second,
		address: fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(250)),
		runtime: &runtime{Runtime: process.New([]string{"/proc/self/exe", shimArg}, slog.New(slog.DiscardHandler)), started: make(chan runner.Handle, 100)},
		stage:   func(string) error { return nil },
	}
	t.Cleanup(func() {
		n.end()
		n.killAll()
		if t.Failed() {
			t.Logf("the agents' log:\n%s", n.log.String())
		}
	})
	return n
}

func freePort(t *testing.T, address string) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address+":0")
	must(t, err)
	defer func() { must(t, listener.Close()) }()
	return listener.Addr().(*net.TCPAddr).Port
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// runtime is a real one that tells of its starts and can be interrupted.
type runtime struct {
	runner.Runtime

	started chan runner.Handle
	mu      sync.Mutex
	before  func(action string)
	after   func(action string)
}

func (r *runtime) hooks() (before, after func(string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	nothing := func(string) {}
	before, after = nothing, nothing
	if r.before != nil {
		before = r.before
	}
	if r.after != nil {
		after = r.after
	}
	return before, after
}

func (r *runtime) hook(before, after func(string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before, r.after = before, after
}

// Start starts the instance and tells its handle.
func (r *runtime) Start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	before, after := r.hooks()
	before("start")
	h, err := r.Runtime.Start(ctx, inst)
	if err == nil {
		r.started <- h
	}
	after("start")
	return h, err
}

// Stop stops the instance.
func (r *runtime) Stop(ctx context.Context, h runner.Handle, inst runner.Instance) error {
	before, after := r.hooks()
	before("stop")
	err := r.Runtime.Stop(ctx, h, inst)
	after("stop")
	return err
}

// Status looks after the process.
func (r *runtime) Status(ctx context.Context, h runner.Handle) (runner.Status, error) {
	before, _ := r.hooks()
	before("look")
	return r.Runtime.Status(ctx, h)
}

// Find looks for the unit's processes.
func (r *runtime) Find(ctx context.Context, inst runner.Instance) ([]runner.Handle, error) {
	before, _ := r.hooks()
	before("look")
	return r.Runtime.Find(ctx, inst)
}

// Stage is quick: what the tests stage can be started, or is to fail there.
func (r *runtime) Stage(context.Context, runner.Instance) error { return nil }

// Release gives the manifest of any version.
func (n *node) Release(_ context.Context, service, version string) (artifact.Manifest, error) {
	age, _ := strconv.Atoi(version) // the higher, the newer
	m := artifact.Manifest{Service: service, Version: version, SHA256: "sha-of-" + version, Created: time.Unix(int64(age), 0)}
	if n.manifest != nil {
		n.manifest(&m)
	}
	return m, nil
}

// Dir is where a version is unpacked.
func (n *node) Dir(m artifact.Manifest) string { return filepath.Join(n.root, "releases", m.Version) }

// Stage unpacks a version: the sample app, whose name says how it behaves.
func (n *node) Stage(_ context.Context, m artifact.Manifest, _ func(done, total int64)) (string, error) {
	if err := n.stage(m.Version); err != nil {
		return "", err
	}
	dir := n.Dir(m)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	config := map[string]any{"version": m.Version, "unhealthy": strings.Contains(m.Version, "sick")}
	if strings.Contains(m.Version, "exits") {
		config["exit_after"] = "1ns"
	}
	text, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "app.json"), text, 0o600); err != nil {
		return "", err
	}
	if strings.Contains(m.Version, "empty") {
		return dir, nil
	}
	app := filepath.Join(dir, "app")
	if err := os.Link(os.Getenv(appVar), app); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	return dir, nil
}

// agent is a new agent on the node's data directory.
func (n *node) agent() *rolling.Agent {
	agent := &rolling.Agent{
		Consul: n.consul, Keys: n.keys, Node: nodeName, Address: n.address, Root: n.root, Runtimes: map[string]runner.Runtime{spec.RuntimeProcess: n.runtime}, Stager: n, Releases: n,
		TTL: n.ttl, LockDelay: time.Millisecond, Reassert: n.again, Log: slog.New(slog.NewTextHandler(&n.log, nil)),
	}
	if n.memory != nil {
		agent.Preloader = n.memory
	}
	return agent
}

// begin starts an agent; end ends it.
func (n *node) begin() {
	n.Helper()
	n.stop = n.run(n.agent())
}

func (n *node) run(agent *rolling.Agent) (stop func()) {
	n.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.Context()))
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				n.Errorf("agent: %v", err)
			}
		case <-time.After(patience):
			n.Error("the agent did not end")
		}
	})
}

func (n *node) end() {
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
}

// instance is the name of what the agent runs.
func (n *node) instance() string { return n.root + ":" + n.unit() }

func (n *node) unit() string { return pools.ID(n.service.Name, spec.Blue) }

// processes are the service's processes on this node.
func (n *node) processes() []runner.Handle {
	n.Helper()
	found, err := n.runtime.Find(context.WithoutCancel(n.Context()), runner.Instance{ID: n.instance(), LogFile: filepath.Join(n.root, "logs", n.unit()+".log")})
	must(n.T, err)
	return found
}

func (n *node) killAll() {
	n.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.Context()), patience)
	defer cancel()
	for _, h := range n.processes() {
		if err := n.runtime.Runtime.Stop(ctx, h, runner.Instance{ID: n.instance(), StopSignal: "SIGKILL"}); err != nil {
			n.Errorf("%s is left over: %v", h, err)
		}
	}
}

func pid(h runner.Handle) int {
	id, _ := strconv.Atoi(strings.Split(string(h), ":")[1])
	return id
}

// killPid kills the service as nobody but its node would.
func (n *node) killPid(h runner.Handle) {
	n.Helper()
	must(n.T, syscall.Kill(pid(h), syscall.SIGKILL))
}

func (n *node) put(key string, value any) {
	n.Helper()
	text, err := json.Marshal(value)
	must(n.T, err)
	_, err = n.consul.API().KV().Put(&api.KVPair{Key: key, Value: text}, nil)
	must(n.T, err)
}

// apply writes the desired state.
func (n *node) apply() {
	n.Helper()
	n.put(n.keys.Spec(n.service.Name), n.service)
}

// roll writes the record of a rollout that rolls the blue pool.
func (n *node) roll(id, version string) {
	n.Helper()
	n.record(&rollout.Record{ID: id, Service: n.service.Name, Version: version, Pool: spec.Blue, Phase: rollout.Rolling})
}

// record has a rollout's record and the live record say what is to be done.
func (n *node) record(r *rollout.Record) {
	n.Helper()
	n.rollout = r
	n.put(n.keys.Order(n.service.Name), rollout.OrderOf(n.rollout, n.liveRecord))
}

// live writes the live record.
func (n *node) live(version string, generation uint64) {
	n.Helper()
	n.liveRecord = &pools.Live{Service: n.service.Name, Pool: spec.Blue, Version: version, Generation: generation}
	n.record(n.rollout)
}

// deployed has a version running on the node, with a peer that holds the
// quorum, and returns its process.
func (n *node) deployed(version string) runner.Handle {
	n.Helper()
	n.peer("peer", true)
	n.begin()
	n.roll("r-"+version, version)
	n.awaitReport(version, rollout.Running)
	n.awaitSlotsFree()
	return n.nextStart()
}

// peer puts another node of the pool into the catalog, which runs what this
// node runs.
func (n *node) peer(name string, passing bool) {
	n.Helper()
	n.register(name, "", passing)
}

// peerRunning puts another node into the catalog, which runs a version.
func (n *node) peerRunning(name, version string) {
	n.Helper()
	n.register(name, version, true)
}

func (n *node) register(name, version string, passing bool) {
	n.Helper()
	status := api.HealthPassing
	if !passing {
		status = api.HealthCritical
	}
	_, err := n.consul.API().Catalog().Register(&api.CatalogRegistration{
		Node: name, Address: "127.0.0.1",
		Service: &api.AgentService{
			ID: n.unit(), Service: n.service.Name, Port: 1, Meta: map[string]string{pools.MetaPool: spec.Blue, pools.MetaVersion: version},
		},
		Check: &api.AgentCheck{Node: name, CheckID: n.unit(), Name: "peer", ServiceID: n.unit(), Status: status},
	}, nil)
	must(n.T, err)
}

// awaitKey waits until a key is as wanted.
func (n *node) awaitKey(key, what string, wanted func(consul.Entry) bool) {
	n.Helper()
	ctx, cancel := context.WithTimeout(n.Context(), patience)
	defer cancel()
	var last consul.Entry
	n.consul.WatchKey(ctx, key, func(seen consul.Seen[consul.Entry]) {
		if last = seen.Value; seen.Err == nil && wanted(last) {
			cancel()
		}
	})
	if !errors.Is(ctx.Err(), context.Canceled) {
		n.Fatalf("no %s: %s is %q, held by %q", what, key, last.Value, last.Session)
	}
}

// awaitReport waits for a report of this node.
func (n *node) awaitReport(version string, state rollout.ReportState) (report rollout.Report) {
	n.Helper()
	n.awaitKey(n.reportKey(version), string(state), func(e consul.Entry) bool {
		report = rollout.Report{}
		return e.Session != "" && json.Unmarshal(e.Value, &report) == nil && report.State == state
	})
	return report
}

func (n *node) reportKey(version string) string {
	return n.keys.Staging(n.service.Name, version, nodeName)
}

func (n *node) slotKey() string { return n.keys.Slot(n.service.Name, spec.Blue, 0) }

// awaitSlotsFree waits until nobody holds the slot.
func (n *node) awaitSlotsFree() {
	n.Helper()
	n.awaitKey(n.slotKey(), "free slot", func(e consul.Entry) bool { return e.Session == "" })
}

// nextStart is the next process that the runtime started.
func (n *node) nextStart() runner.Handle {
	n.Helper()
	select {
	case h := <-n.runtime.started:
		return h
	case <-time.After(patience):
		n.Fatal("nothing was started")
		return ""
	}
}

// noStart fails when anything was started.
func (n *node) noStart() {
	n.Helper()
	select {
	case h := <-n.runtime.started:
		n.Errorf("%s was started, want nothing", h)
	default:
	}
}

// serving asks the service for its version, "" while it doesn't answer.
func (n *node) serving() string {
	n.Helper()
	ctx, cancel := context.WithTimeout(n.Context(), 5*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(n.address, strconv.Itoa(n.service.Port))+"/version", nil)
	must(n.T, err)
	response, err := client.Do(request)
	if err != nil {
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	var answer struct{ Version string }
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	must(n.T, err)
	must(n.T, json.Unmarshal(text, &answer))
	return answer.Version
}

// wantServing fails unless one process runs and answers with the version.
func (n *node) wantServing(version string) {
	n.Helper()
	if got := n.serving(); got != version {
		n.Errorf("the service answers with version %q, want %q", got, version)
	}
	if found := n.processes(); len(found) != 1 {
		n.Errorf("processes %q, want one", found)
	}
}

// awaitServing waits for an answer with the version, which nothing announces.
func (n *node) awaitServing(version string) {
	n.Helper()
	n.awaitThat("answer with version "+version, func() bool { return n.serving() == version })
}

func (n *node) awaitThat(what string, is func() bool) {
	n.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			n.Fatalf("no %s", what)
		}
	}
}

// passes tells whether the catalog has the node passing with the version.
func (n *node) passes(version string) bool {
	n.Helper()
	now, err := pools.Read(n.Context(), n.consul, n.service.Name)
	must(n.T, err)
	in, _ := now[spec.Blue].On(nodeName)
	return in.Passing && in.Version == version
}

// wantCatalog fails unless the catalog has the node passing with the version.
func (n *node) wantCatalog(version string) {
	n.Helper()
	now, err := pools.Read(n.Context(), n.consul, n.service.Name)
	must(n.T, err)
	in, _ := now[spec.Blue].On(nodeName)
	if in.Version != version || !in.Passing || in.Address != n.address || in.Port != n.service.Port || in.Release != "sha-of-"+version {
		n.Errorf("the catalog has %+v, want %s to pass at %s:%d", in, version, n.address, n.service.Port)
	}
}

// journal is the unit as it is on disk.
func (n *node) journal() rolling.Unit {
	n.Helper()
	journal, err := rolling.ReadJournal(n.root)
	if errors.Is(err, os.ErrNotExist) {
		return rolling.Unit{}
	}
	must(n.T, err)
	return journal.Unit(n.unit())
}
