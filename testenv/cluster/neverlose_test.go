package cluster_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/cluster"
	"switchd/testenv/load"
)

// The phases in which something is killed; a rollout that goes well is in each
// of them.
var killedIn = []rollout.Phase{ //nolint:gochecknoglobals // a constant list
	rollout.Queued, rollout.Staging, rollout.Rolling, rollout.Smoke, rollout.Warmup, rollout.Canary,
	rollout.Switching, rollout.Draining, rollout.Baking, rollout.Converging,
}

// slowApp takes a moment for each answer, so that even the smoke test lasts
// long enough to be interrupted.
func slowApp(version string) cluster.App { return cluster.App{Version: version, Latency: "100ms"} }

// TestNeverLose_TheDriver kills the driving replica with SIGKILL in each phase
// of one rollout.
func TestNeverLose_TheDriver(t *testing.T) {
	t.Parallel()
	k, stop := startKilling(t)
	k.rollout("2.0.0", spec.Blue, k.killDriver)
	k.judge(stop)
}

// TestNeverLose_AnAgent kills an agent with SIGKILL in each phase of one
// rollout.
func TestNeverLose_AnAgent(t *testing.T) {
	t.Parallel()
	k, stop := startKilling(t)
	k.rollout("2.0.0", spec.Blue, k.killAgent)
	k.judge(stop)
}

// startKilling has 1.0.0 live on blue and idle on green, under load.
func startKilling(t *testing.T) (k *killing, stop func()) {
	t.Helper()
	c := cluster.ForTest(t, cluster.Options{
		Nodes: 3, Replicas: 2, Prometheus: true, LeaseTTL: 2 * time.Second, SessionTTL: 4 * time.Second,
	})
	l, err := c.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	k = &killing{T: t, cluster: c, ledger: l, service: cluster.DefaultService()}
	k.service.AfterBake, k.service.Bake = spec.AfterBakeUpgrade, 3*time.Second
	// The app takes its time at this path, and so does the smoke test.
	k.service.Extra = `
  approval "owner" {}
  smoke "slow" {
    path = "/"
  }
`
	if err := c.Apply(t.Context(), k.service); err != nil {
		t.Fatal(err)
	}
	k.publish("0.9.0")
	k.first("0.9.0")
	stop = k.watch() // a canary without clients could not be judged
	k.publish("1.0.0")
	k.first("1.0.0")
	k.publish("2.0.0")
	return k, stop
}

// first brings a version live without a disturbance.
func (k *killing) first(version string) {
	k.Helper()
	k.promote(version)
	k.await(version, func(r *rollout.Record) bool {
		k.approve(r)
		return r.Phase == rollout.Done
	})
}

// judge holds the run to the promises: a rollout that ended right, no step
// twice, no pool below its quorum, and no failed request.
func (k *killing) judge(stop func()) {
	k.Helper()
	stop()
	for _, chapter := range k.load.Snapshot() {
		if !strings.Contains(chapter.Name, "no DNS") && chapter.Failed() > 0 {
			k.Errorf("requests failed: %s", chapter)
		}
		k.Logf("%s", chapter)
	}
	for colour, n := range k.lowest {
		if n < k.service.Quorum {
			k.Errorf("pool %s was down to %d passing nodes, its quorum is %d", colour, n, k.service.Quorum)
		}
	}
}

// killing is one run of the test.
type killing struct {
	*testing.T

	cluster *cluster.Cluster
	ledger  *ledger.Ledger
	load    *load.Generator
	service cluster.Service

	mu     sync.Mutex
	lowest map[string]int // passing nodes, by pool
	blind  bool           // Consul itself does not know how the nodes are
}

// watch has clients send requests, and notes the health of the pools, until
// the function that it returns is called.
func (k *killing) watch() (stop func()) {
	k.Helper()
	var err error
	k.load, err = load.New(load.Config{Name: "web." + cluster.Zone, Port: k.cluster.AppPort(), Servers: k.cluster.DNS(), Workers: 30, Rate: 120})
	if err != nil {
		k.Fatal(err)
	}
	k.lowest = map[string]int{spec.Blue: k.cluster.Nodes, spec.Green: k.cluster.Nodes}
	ctx, cancel := context.WithCancel(k.Context())
	var work sync.WaitGroup
	work.Go(func() { k.load.Run(ctx) })
	work.Go(func() {
		full := make(map[string]bool)
		k.ledger.Consul.WatchService(ctx, "web", func(seen consul.Seen[[]*api.ServiceEntry]) {
			if seen.Err != nil {
				return
			}
			now := pools.FromHealth(seen.Value)
			k.mu.Lock()
			defer k.mu.Unlock()
			if k.blind {
				return
			}
			for colour := range k.lowest {
				n := now[colour].Passing("")
				// A pool runs nothing before its first release.
				full[colour] = full[colour] || n == k.cluster.Nodes
				if full[colour] {
					k.lowest[colour] = min(k.lowest[colour], n)
				}
			}
		})
	})
	return sync.OnceFunc(func() {
		cancel()
		work.Wait()
	})
}

func (k *killing) publish(version string) {
	k.Helper()
	if err := k.cluster.Publish(k.Context(), slowApp(version)); err != nil {
		k.Fatal(err)
	}
}

func (k *killing) promote(version string) {
	k.Helper()
	if _, err := k.cluster.Switchd(k.Context(), "promote", "--detach", "web", version); err != nil {
		k.Fatal(err)
	}
}

// rollout promotes a version and calls kill in each phase.
func (k *killing) rollout(version, pool string, kill func(phase rollout.Phase, r *rollout.Record)) {
	k.Helper()
	before, err := k.ledger.Live(k.Context(), "web")
	if err != nil {
		k.Fatal(err)
	}
	k.load.Mark(version)
	// Nobody drives yet when the rollout is queued: the driver is dead.
	kill(rollout.Queued, nil)
	killed := map[rollout.Phase]bool{rollout.Queued: true}
	k.promote(version)
	began := time.Now()
	k.await(version, func(r *rollout.Record) bool {
		if slices.Contains(killedIn, r.Phase) && !killed[r.Phase] {
			kill(r.Phase, r)
			killed[r.Phase] = true
		}
		if r.Phase == rollout.Switching {
			k.approve(r)
		}
		return r.Phase == rollout.Done
	})
	k.Logf("%s was done %s after it was promoted; something was killed in %v", version, time.Since(began).Round(100*time.Millisecond), slices.Sorted(maps.Keys(killed)))
	for _, phase := range killedIn {
		if !killed[phase] {
			k.Errorf("%s: nothing was killed in phase %s, it was over too soon", version, phase)
		}
	}
	s, err := k.ledger.Observe(k.Context(), "web")
	if err != nil {
		k.Fatal(err)
	}
	for colour, nodes := range s.Pools {
		if n := nodes.Passing(version); n != k.cluster.Nodes {
			k.Errorf("%d nodes of %s pass with %s at the end: %+v", n, colour, version, nodes)
		}
	}
	// One share for the canary and one switch, whoever drove them.
	if s.Live.Pool != pool || s.Live.Version != version || s.Live.Generation != before.Generation+2 {
		k.Errorf("live at the end: %+v, was generation %d", s.Live, before.Generation)
	}
}

// await watches the rollout's record until done says so.
func (k *killing) await(version string, done func(*rollout.Record) bool) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), 4*time.Minute)
	defer cancel()
	ended := false
	var last *rollout.Record
	k.ledger.Consul.WatchKey(ctx, k.ledger.Keys.Rollout("web"), func(seen consul.Seen[consul.Entry]) {
		record, err := rollout.ParseRecord(seen.Value.Value, seen.Value.Index)
		if seen.Err != nil || err != nil || record == nil || record.Version != version {
			return
		}
		last = record
		ended = done(record)
		if ended || record.Phase.Ended() || record.Phase == rollout.Halted {
			cancel()
		}
	})
	if !ended {
		k.Fatalf("%s did not get there: %s, waits %+v, outcome %q\n%s", version, last.Phase, last.Wait, last.Outcome, timeline(last))
	}
}

func timeline(r *rollout.Record) string {
	var lines []string
	for _, e := range r.Timeline {
		lines = append(lines, fmt.Sprintf("%s %s %s", e.At.Format("15:04:05.000"), e.Phase, e.What))
	}
	return strings.Join(lines, "\n")
}

// approve gives the consent that the switch waits for, once.
func (k *killing) approve(r *rollout.Record) {
	k.Helper()
	if r.Phase != rollout.Switching || r.Approved("owner") {
		return
	}
	if _, err := k.cluster.Switchd(k.Context(), "approve", "web"); err != nil && cluster.Status(err) != 9 {
		k.Fatal(err)
	}
}

// killDriver kills the replica that holds the lease, and starts it again.
func (k *killing) killDriver(phase rollout.Phase, _ *rollout.Record) {
	k.Helper()
	lease, err := k.ledger.Consul.Get(k.Context(), k.ledger.Keys.Lease())
	if err != nil {
		k.Fatal(err)
	}
	if lease.Session == "" {
		k.Logf("nobody drives in phase %s yet", phase)
		return
	}
	r := k.driver()
	if err := r.Kill(); err != nil {
		k.Fatal(err)
	}
	k.Logf("killed %s, which drove, in phase %s", r.Name, phase)
	if err := r.Start(k.Context()); err != nil {
		k.Fatal(err)
	}
}

// killAgent kills an agent of a pool that rolls, one that is replacing where
// there is one, and starts it again, as an init system would.
func (k *killing) killAgent(phase rollout.Phase, r *rollout.Record) {
	k.Helper()
	pool, victim := spec.Blue, ""
	if phase == rollout.Converging {
		pool = spec.Green
	}
	if phase == rollout.Rolling || phase == rollout.Converging {
		victim = k.replacing(pool, r.Version)
	}
	for _, a := range k.cluster.Agents {
		if a.Pool != pool || (victim != "" && a.Node != victim) {
			continue
		}
		before := k.appOf(a)
		if err := a.Kill(); err != nil {
			k.Fatal(err)
		}
		k.Logf("killed the agent of %s in phase %s", a.Node, phase)
		if after := k.appOf(a); victim == "" && after != before {
			k.Errorf("the service of %s did not outlive its agent: %s, then %s", a.Node, before, after)
		}
		if err := a.Start(k.Context()); err != nil {
			k.Fatal(err)
		}
		return
	}
}

// replacing waits for a node that is being replaced.
func (k *killing) replacing(pool, version string) string {
	k.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		reports, err := k.ledger.Reports(k.Context(), "web", version)
		if err != nil {
			k.Fatal(err)
		}
		for _, a := range k.cluster.Agents {
			if a.Pool == pool && reports[a.Node].State == rollout.Replacing {
				return a.Node
			}
		}
	}
	k.Fatal("no node was ever being replaced")
	return ""
}

// appOf tells what a node's journal says that it runs.
func (k *killing) appOf(a *cluster.Agent) string {
	k.Helper()
	out, err := k.cluster.AgentStatus(k.Context(), a)
	if err != nil {
		k.Fatal(err)
	}
	return out
}
