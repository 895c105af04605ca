package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"switchd/rolling"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/cluster"
)

// TestCutOff pulls the cable of a node, in a network of namespaces, while it
// holds a slot and its new version is to be proved. The slot must come back,
// the roll hold by the quorum and say so, and go on without the node when it
// may. The node must keep its service running, and catch up when it is back,
// with the one process that it has.
func TestCutOff(t *testing.T) {
	const nodes = 3
	k := startCutOff(t, nodes, nodes-1)
	cut, before := k.cutWhileProving("2.0.0")
	k.until("word of the quorum", 30*time.Second, func() string {
		text, err := k.cluster.Switchd(t.Context(), "status", "web")
		if err != nil {
			return err.Error()
		}
		if !strings.Contains(text, "the quorum of 2 would not hold") || !strings.Contains(text, "down or about to be: "+cut.Node) {
			return text
		}
		return ""
	})
	k.aliveAlone(cut, before)
	k.service.Quorum--
	k.apply()
	k.await("2.0.0", func(r *rollout.Record) bool {
		if r.Phase == rollout.Done {
			t.Logf("2.0.0:\n%s", timeline(r))
		}
		return r.Phase == rollout.Done
	})
	k.aliveAlone(cut, before)
	if err := cut.Host().Heal(); err != nil {
		t.Fatal(err)
	}
	k.settled(spec.Blue, "2.0.0")
	k.aliveAlone(cut, before)
}

// startCutOff has 1.0.0 idle on blue and live on green.
func startCutOff(t *testing.T, nodes, quorum int) *killing {
	t.Helper()
	c := cluster.ForTest(t, cluster.Options{
		Nodes: nodes, Replicas: 1, LeaseTTL: 2 * time.Second, SessionTTL: 2 * time.Second, Namespaces: true,
	})
	l, err := c.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	k := &killing{T: t, cluster: c, ledger: l, service: cluster.DefaultService()}
	k.service.Analysis, k.service.Warmup, k.service.Drain, k.service.Weights = false, false, false, nil
	k.service.Quorum, k.service.Bake = quorum, time.Second
	k.apply()
	for _, version := range []string{"0.9.0", "1.0.0"} {
		k.release(cluster.App{Version: version})
		k.first(version)
	}
	// Time enough to be cut off in.
	k.service.MinHealthyTime = 3 * time.Second
	k.apply()
	return k
}

// cutWhileProving promotes a version and cuts the first node off that has
// started it.
func (k *killing) cutWhileProving(version string) (*cluster.Agent, cluster.Instance) {
	k.Helper()
	k.release(cluster.App{Version: version})
	k.promote(version)
	var cut *cluster.Agent
	k.until("a node that proves "+version, 30*time.Second, func() string {
		for _, a := range k.pool(spec.Blue) {
			if move := k.unit(a).Move; move != nil && move.Step == rolling.Proving {
				cut = a
				return ""
			}
		}
		return "none yet"
	})
	if err := cut.Host().Cut(); err != nil {
		k.Fatal(err)
	}
	running, err := cut.Instances()
	if err != nil || len(running) != 1 {
		k.Fatalf("%s runs %+v (%v)", cut.Node, running, err)
	}
	slots, err := k.ledger.Consul.List(k.Context(), k.ledger.Keys.Slots("web", spec.Blue))
	if err != nil || len(slots) != 1 || string(slots[0].Value) != cut.Node || slots[0].Session == "" {
		k.Fatalf("the slots are %+v (%v), want one of %s", slots, err, cut.Node)
	}
	held := slots[0].Session
	k.until("the end of its slot", 30*time.Second, func() string {
		slot, err := k.ledger.Consul.Get(k.Context(), slots[0].Key)
		if err != nil || slot.Session == held {
			return fmt.Sprintf("%s still holds %s (%v)", cut.Node, slot.Key, err)
		}
		return ""
	})
	return cut, running[0]
}

// aliveAlone makes sure that a node runs the same one process as before, which
// answers.
func (k *killing) aliveAlone(a *cluster.Agent, before cluster.Instance) {
	k.Helper()
	now, err := a.Instances()
	if err != nil || len(now) != 1 || now[0] != before {
		k.Errorf("%s runs %+v (%v), did run %+v", a.Node, now, err, before)
	}
	if _, err := a.Get(k.Context(), "/healthz"); err != nil {
		k.Errorf("%s: %v", a.Node, err)
	}
}
