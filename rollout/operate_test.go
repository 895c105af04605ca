package rollout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/gate"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// refusal wants an operation to be refused.
func refusal(t *rapid.T, err error, reason rollout.Reason) {
	t.Helper()
	var refused *rollout.Refusal
	if !errors.As(err, &refused) || refused.Reason != reason || refused.Text == "" {
		t.Fatalf("got %v, want a refusal of reason %d", err, reason)
	}
}

// TestRollback_StaysAfterARolloutThatFailedByItself is `promote || rollback`
// in a script: users are on the good version already, and the pool that they
// would be led to has been given to the version that failed.
func TestRollback_StaysAfterARolloutThatFailedByItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Done)
		change, err := rollout.Promote(w.situation(), "r2", "v2", "test", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		w.reports = map[string]rollout.Report{w.pools[spec.Blue][0].Node: {Rollout: "r2", State: rollout.Broken, Why: "drawn"}}
		w.plan(t)
		if w.record.Phase != rollout.Failed {
			t.Fatalf("phase %s, want it failed", w.record.Phase)
		}
		_, err = rollout.Rollback(w.situation(), "test", "", w.now)
		refusal(t, err, rollout.NothingToDo)
	})
}

// TestRollback_TwiceGoesBackOnce holds a second rollback to doing nothing.
func TestRollback_TwiceGoesBackOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rapid.SampledFrom([]rollout.Phase{rollout.Canary, rollout.Baking, rollout.Done}).Draw(t, "phase"))
		for i := range w.pools[spec.Blue] {
			w.pools[spec.Blue][i].Version = "v0" // also where it was upgraded
		}
		change, err := rollout.Rollback(w.situation(), "test", "", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		_, err = rollout.Rollback(w.situation(), "test", "", w.now)
		refusal(t, err, rollout.NothingToDo)
		if w.live.Pool != spec.Blue {
			t.Fatalf("live: %+v", w.live)
		}
	})
}

// TestRollback_EndsAFirstReleaseThatCannotBeProved leaves it live, since there
// is nothing else, and the way free for the next release.
func TestRollback_EndsAFirstReleaseThatCannotBeProved(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.live, w.spec.Approvals, w.spec.Waits, w.spec.Windows, w.spec.Silences = nil, nil, nil, nil, nil
		change, err := rollout.Promote(w.situation(), "r1", "v1", "test", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		for i := 0; i < 100 && w.record.SwitchedAt.IsZero(); i++ {
			for j := range w.pools[spec.Blue] {
				in := &w.pools[spec.Blue][j]
				w.reports[in.Node] = rollout.Report{Rollout: "r1", State: rollout.Staged}
				in.Version = "v1"
			}
			for _, kind := range []rollout.JobKind{rollout.JobSmoke, rollout.JobWarmup, rollout.JobAnalysis} {
				w.gates[kind] = gate.Pass
			}
			w.plan(t)
		}
		if w.record.Phase != rollout.Switching || w.live == nil {
			t.Fatalf("phase %s, want it switching", w.record.Phase)
		}
		change, err = rollout.Rollback(w.situation(), "test", "", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		if w.record.Phase != rollout.Failed || w.live.Version != "v1" || !strings.Contains(w.record.Outcome, "stays live") {
			t.Fatalf("%s: %s, live %+v", w.record.Phase, w.record.Outcome, w.live)
		}
		if _, err := rollout.Promote(w.situation(), "r2", "v2", "test", w.now); err != nil {
			t.Fatalf("the next release: %v", err)
		}
	})
}

// TestResume_LooksWhetherTheRolloutStillFits resumes after somebody has led
// users elsewhere.
func TestResume_LooksWhetherTheRolloutStillFits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		change, err := rollout.StopRollout(w.situation(), "test", "", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		w.live = w.live.Next("somebody's editor", w.now)
		w.live.Pool = spec.Green
		_, err = rollout.Resume(w.situation(), "test", w.now)
		refusal(t, err, rollout.Unhealthy)
	})
}

// TestPlan_TheFirstShareWaitsForThePool is a pool that has lost its quorum
// between its warm-up and its share.
func TestPlan_TheFirstShareWaitsForThePool(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		w.live.Weights, w.record.StepAt = nil, time.Time{}
		for i := range w.pools[spec.Green] {
			w.pools[spec.Green][i].Passing = false
		}
		w.plan(t)
		if w.record.Wait == nil || !strings.Contains(w.record.Wait.For, "new pool") || w.live.Share(spec.Green) != 0 {
			t.Fatalf("wait %+v, live %+v", w.record.Wait, w.live)
		}
	})
}

// TestRecord_StaysSmall drives a record with as many and as large facts as
// there can be; Consul takes 512 KiB a transaction.
func TestRecord_StaysSmall(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		for i := range w.pools[spec.Green] {
			w.pools[spec.Green][i].Why = strings.Repeat("ä", 400)
			w.pools[spec.Green][i].Passing = false
		}
		first := w.record.Timeline[0]
		for range 20 {
			change, err := rollout.StopRollout(w.situation(), "test", strings.Repeat("ö", 4000), w.now)
			if err != nil {
				t.Fatal(err)
			}
			w.commit(t, change)
			if change, err = rollout.Resume(w.situation(), "test", w.now); err != nil {
				t.Fatal(err)
			}
			w.commit(t, change)
		}
		if n := size(t, w.record); n > 150<<10 {
			t.Fatalf("the record takes %d bytes", n)
		}
		if w.record.Timeline[0].What != first.What {
			t.Fatal("how it began was forgotten")
		}
		if side := (pools.Side{Pool: spec.Blue, Version: "v0"}); w.live.Side() != side {
			t.Fatalf("live: %+v", w.live)
		}
	})
}

// TestPlan_ACollapseIsActedOnWhenItLasts has the new pool fail in the bake, for
// a moment and then for good.
func TestPlan_ACollapseIsActedOnWhenItLasts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Baking)
		w.spec.Bake = spec.Duration(time.Hour)
		set := func(passing bool) {
			for i := range w.pools[spec.Green] {
				w.pools[spec.Green][i].Passing = passing
			}
		}
		set(false)
		w.plan(t)
		w.now = w.now.Add(3 * time.Second)
		w.plan(t)
		set(true)
		w.now = w.now.Add(time.Minute)
		w.plan(t)
		if w.record.Phase != rollout.Baking || w.live.Pool != spec.Green || !w.record.Below.IsZero() {
			t.Fatalf("after a moment: %s, live %+v, below since %v", w.record.Phase, w.live, w.record.Below)
		}
		set(false)
		w.plan(t)
		if w.live.Pool != spec.Green || w.record.Wait == nil {
			t.Fatal("acted at once")
		}
		w.now = w.now.Add(6 * time.Second)
		w.plan(t)
		if w.record.Phase != rollout.RolledBack || w.live.Pool != spec.Blue {
			t.Fatalf("after it lasted: %s, live %+v", w.record.Phase, w.live)
		}
	})
}

// TestPlan_APoolThatHadUsersAMomentAgoIsNotRolled: the next release after a
// rollback finds users there yet, whom caches lead.
func TestPlan_APoolThatHadUsersAMomentAgoIsNotRolled(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rapid.SampledFrom([]rollout.Phase{rollout.Canary, rollout.Baking, rollout.Done}).Draw(t, "phase"))
		for i := range w.pools[spec.Blue] {
			w.pools[spec.Blue][i].Version = "v0" // also where it was upgraded
		}
		back := w.now
		if rapid.Bool().Draw(t, "their clock is ahead") {
			back = back.Add(time.Hour)
		}
		change, err := rollout.Rollback(w.situation(), "test", "", back)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		if change, err = rollout.Promote(w.situation(), "r2", "v2", "test", w.now); err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		w.spec.Deadlines["staging"] = spec.Deadline{After: spec.Duration(time.Second), Then: spec.ThenHalt}
		for _, in := range w.pools[spec.Green] {
			w.reports[in.Node] = rollout.Report{Rollout: "r2", State: rollout.Staged}
		}
		w.plan(t)
		until := w.now.Add(max(w.spec.LeastAfter(), w.spec.Switch.Settles()))
		for _, now := range []time.Time{w.now, until.Add(-time.Second)} {
			w.now = now
			w.plan(t)
			if w.record.Phase != rollout.Staging || w.record.Wait == nil || !strings.HasPrefix(w.record.Wait.For, "for caches to forget that they were led to green") ||
				!w.record.Wait.Until.Equal(until) || w.wake.After(until) {
				t.Fatalf("%s before %s, in phase %s: waits %+v, wakes at %s", until.Sub(now), until, w.record.Phase, w.record.Wait, w.wake)
			}
		}
		w.now = until
		w.plan(t)
		if w.record.Phase != rollout.Rolling {
			t.Fatalf("in phase %s: waits %+v", w.record.Phase, w.record.Wait)
		}
	})
}
