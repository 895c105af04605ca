package cluster_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"switchd/dnsproof"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/cluster"
)

// TestAway takes away, one after the other, the driver by a pause that is
// longer than its lease, all controllers, and Consul itself. Users must not
// notice, and nothing may happen that should not.
func TestAway(t *testing.T) {
	t.Parallel()
	c := cluster.ForTest(t, cluster.Options{
		Nodes: 2, Replicas: 2, Prometheus: true, LeaseTTL: 2 * time.Second, SessionTTL: 4 * time.Second,
	})
	l, err := c.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	k := &killing{T: t, cluster: c, ledger: l, service: cluster.DefaultService()}
	k.service.Quorum, k.service.Bake, k.service.Drain = 1, time.Second, false
	if err := c.Apply(t.Context(), k.service); err != nil {
		t.Fatal(err)
	}
	k.publish("1.0.0")
	k.first("1.0.0")
	stop := k.watch()
	defer stop()

	k.pausedDriver()
	k.noController()
	k.noConsul()
	k.judge(stop)
}

// pausedDriver stops the driver in the canary for longer than its lease. The
// other replica ends the rollout; what the paused one then wants to do is
// fenced off.
func (k *killing) pausedDriver() {
	k.Helper()
	k.publish("2.0.0")
	before, err := k.ledger.Live(k.Context(), "web")
	if err != nil {
		k.Fatal(err)
	}
	k.promote("2.0.0")
	var paused *cluster.Replica
	k.await("2.0.0", func(r *rollout.Record) bool {
		if r.Phase == rollout.Canary && paused == nil {
			paused = k.driver()
			if err := paused.Signal(unix.SIGSTOP); err != nil {
				k.Fatal(err)
			}
		}
		return r.Phase == rollout.Done
	})
	// A stopped process' kernel still takes connections and packets, which is
	// the worst a replica can do to its clients; they have the other one.
	if err := paused.Signal(unix.SIGCONT); err != nil {
		k.Fatal(err)
	}
	k.leadsTo(spec.Green)
	after, err := k.ledger.Live(k.Context(), "web")
	if err != nil {
		k.Fatal(err)
	}
	if after.Generation != before.Generation+2 || after.Pool != spec.Green {
		k.Errorf("live after the pause: %+v, was generation %d", after, before.Generation)
	}
}

// driver is the replica that holds the lease.
func (k *killing) driver() *cluster.Replica {
	k.Helper()
	lease, err := k.ledger.Consul.Get(k.Context(), k.ledger.Keys.Lease())
	if err != nil {
		k.Fatal(err)
	}
	for _, r := range k.cluster.Replicas {
		if r.Name == string(lease.Value) {
			return r
		}
	}
	k.Fatal("nobody drives")
	return nil
}

// leadsTo waits until every replica answers with a pool.
func (k *killing) leadsTo(pool string) {
	k.Helper()
	ctx, cancel := context.WithTimeout(k.Context(), 20*time.Second)
	defer cancel()
	for _, r := range k.cluster.Replicas {
		for {
			got, err := dnsproof.Ask(ctx, r.DNS(), "web."+cluster.Zone)
			if err == nil && got.Target == "web-"+pool+"."+cluster.Zone {
				break
			}
			if ctx.Err() != nil {
				k.Fatalf("%s answers %s (%v), want %s", r.Name, got, err, pool)
			}
		}
	}
}

// noController rolls back while no replica runs: one write that needs Consul
// and nothing else. The replicas take it in when they come back.
func (k *killing) noController() {
	k.Helper()
	// Clients have nobody to ask meanwhile, which is not what is looked at
	// here; their caches are short.
	k.load.Mark("no controller, and so no DNS")
	for _, r := range k.cluster.Replicas {
		if err := r.Kill(); err != nil {
			k.Fatal(err)
		}
	}
	out, err := k.cluster.Switchd(k.Context(), "rollback", "web")
	if err != nil {
		k.Fatal(err)
	}
	if !strings.Contains(out, "1.0.0 on blue is live") {
		k.Errorf("rollback said %q", out)
	}
	for _, r := range k.cluster.Replicas {
		if err := r.Start(k.Context()); err != nil {
			k.Fatal(err)
		}
	}
	k.leadsTo(spec.Blue)
	k.load.Mark("controllers are back")
}

// noConsul kills the Consul server, restarts a replica without it, kills a
// service, and has Consul back.
func (k *killing) noConsul() {
	k.Helper()
	before := k.answer(k.cluster.Replicas[0])
	k.setBlind(true)
	if err := k.cluster.Server.Kill(); err != nil {
		k.Fatal(err)
	}
	for _, r := range k.cluster.Replicas {
		if got := k.answer(r); got != before {
			k.Errorf("%s answers %s without Consul, before %s", r.Name, got, before)
		}
	}
	restarted := k.cluster.Replicas[0]
	if err := restarted.Kill(); err != nil {
		k.Fatal(err)
	}
	if err := restarted.Start(k.Context()); err != nil {
		k.Fatal(err)
	}
	if got := k.answer(restarted); got != before {
		k.Errorf("%s answers %s after a restart without Consul, before %s", restarted.Name, got, before)
	}
	if err := k.cluster.StartServer(k.Context()); err != nil {
		k.Fatal(err)
	}
	// A server that has just begun holds the nodes for dead until it has heard
	// from them.
	k.awaitHealth()
	k.setBlind(false)
	// It follows again: the next release goes all the way.
	k.publish("3.0.0")
	k.first("3.0.0")
	k.leadsTo(spec.Green)
}

func (k *killing) setBlind(blind bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.blind = blind
}

// awaitHealth waits until a Consul server that has begun anew knows all nodes
// again. What it tells at first is what it has read from its disk; then it
// finds nobody there, and then one node after the other.
func (k *killing) awaitHealth() {
	k.Helper()
	const settled = 4 * time.Second
	const memberAlive = 1 // serf.StatusAlive
	nodes := 2 * k.cluster.Nodes
	since := time.Now()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		members, err := k.ledger.Consul.API().Agent().Members(false)
		alive := 0
		for _, m := range members {
			if m.Status == memberAlive {
				alive++
			}
		}
		now, readErr := pools.Read(k.Context(), k.ledger.Consul, "web")
		passing := now[spec.Blue].Passing("") + now[spec.Green].Passing("")
		if err != nil || readErr != nil || alive < nodes+1 || passing < nodes {
			since = time.Now()
		}
		if time.Since(since) >= settled {
			return
		}
	}
	k.Fatal("the nodes did not pass again")
}

// answer is a replica's pool and serial.
func (k *killing) answer(r *cluster.Replica) string {
	k.Helper()
	reply, err := dnsproof.Ask(k.Context(), r.DNS(), "web."+cluster.Zone)
	if err != nil {
		k.Fatalf("ask %s: %v", r.Name, err)
	}
	return reply.Target + " " + time.Unix(int64(reply.Serial), 0).UTC().String()
}
