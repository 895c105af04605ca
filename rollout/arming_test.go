package rollout_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/rollout"
	"switchd/spec"
)

// TestPlan_ArmsFirstAndWaitsOutTheTTLOfBefore has everything ready at once, so
// that nothing but caches is waited for.
func TestPlan_ArmsFirstAndWaitsOutTheTTLOfBefore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		if !w.live.Armed || w.live.Generation != 1 || !w.record.Settled.Equal(w.armedAt.Add(w.spec.Switch.TTL.Std()+time.Second)) {
			t.Fatalf("live %+v, settled at %s", w.live, w.record.Settled)
		}
		if share := w.live.Share(spec.Green); share != 0 {
			t.Fatalf("a share of %d %% was given while caches hold the TTL of before", share)
		}
		w.now = w.record.Settled.Add(-time.Millisecond)
		w.plan(t)
		if wait := w.record.Wait; wait == nil || !strings.Contains(wait.For, "caches") || !strings.Contains(wait.For, w.spec.Switch.TTL.String()) {
			t.Fatalf("waits %+v", wait)
		}
		if !w.wake.Equal(w.record.Settled) || w.live.Share(spec.Green) != 0 {
			t.Fatalf("plans again at %s, not at %s; live %+v", w.wake, w.record.Settled, w.live)
		}
		w.now = w.record.Settled
		w.plan(t)
		if w.live.Share(spec.Green) != 5 || !w.live.Armed {
			t.Fatalf("live once caches have settled: %+v", w.live)
		}
	})
}

// TestPlan_DisarmsWhenTheBakeEnds looks at the TTL before and after.
func TestPlan_DisarmsWhenTheBakeEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Baking)
		generation := w.live.Generation
		if !w.live.Armed {
			t.Fatal("a rollback in the bake would be slow")
		}
		w.now = w.record.Entered.Add(w.spec.Bake.Std())
		w.plan(t)
		if w.live.Armed || w.live.Generation != generation || w.record.Phase == rollout.Baking {
			t.Fatalf("after the bake: %s, %+v", w.record.Phase, w.live)
		}
	})
}

// TestPlan_ArmsAgainWhatSomebodyDisarmed waits the whole time again: caches may
// have been told the long TTL meanwhile.
func TestPlan_ArmsAgainWhatSomebodyDisarmed(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		live := *w.live
		live.Armed = false
		w.live, w.now = &live, w.record.Settled.Add(time.Minute)
		w.plan(t)
		if want := w.now.Add(w.spec.Switch.Settles()); !w.live.Armed || !w.record.Settled.Equal(want) || w.live.Share(spec.Green) != 0 {
			t.Fatalf("live %+v, settled at %s, want %s", w.live, w.record.Settled, want)
		}
	})
}

// TestHalt_KeepsTheTTLShortUntilTheRollback, which waits for nothing.
func TestHalt_KeepsTheTTLShortUntilTheRollback(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rapid.SampledFrom([]rollout.Phase{rollout.Rolling, rollout.Canary, rollout.Baking}).Draw(t, "phase"))
		change, err := rollout.StopRollout(w.situation(), "test", "because", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		w.plan(t)
		if !w.live.Armed {
			t.Fatal("the halt made the TTL long")
		}
		change, err = rollout.Rollback(w.situation(), "test", "", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		if w.live.Armed || w.live.Pool != spec.Blue {
			t.Fatalf("live after the rollback: %+v", w.live)
		}
	})
}
