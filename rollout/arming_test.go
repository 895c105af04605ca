package rollout_test

import (
	"fmt"
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
		if !w.live.Armed || w.live.Generation != 1 || !w.record.Settled.Equal(w.witnesses[0].Add(w.spec.Switch.TTL.Std()+time.Second)) {
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

// TestPlan_WaitsForWhoeverAnswersBeforeItLeadsUsersElsewhere has one witness
// that is behind: all phases before the first weight or the switch go on.
func TestPlan_WaitsForWhoeverAnswersBeforeItLeadsUsersElsewhere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		update := rapid.Bool().Draw(t, "dns-update")
		w := runWith(t, rollout.Canary, func(w *world) {
			w.slow = true
			if update {
				w.spec.Switch.Kind, w.spec.Switch.Server, w.spec.Switch.Zone = spec.SwitchDNSUpdate, "192.0.2.53:53", "example.net"
			}
		})
		late := rapid.IntRange(0, len(w.witnesses)-1).Draw(t, "late")
		n := 0
		w.hear(func() bool { n++; return n-1 != late })
		w.plan(t)
		w.now = w.now.Add(w.spec.Switch.Settles())
		w.plan(t)
		want := []string{"to give a TTL of 5s at most", fmt.Sprintf("ns%d still gives the long TTL", late), "replicas, secondaries, name servers"}
		if update {
			want[2] = "primary 192.0.2.53:53, name servers of example.net"
		}
		for _, words := range want {
			if wait := w.record.Wait; wait == nil || !strings.Contains(wait.For, words) {
				t.Fatalf("waits %+v, which doesn't say %q", wait, words)
			}
		}
		if w.live.Share(spec.Green) != 0 || !w.record.Settled.IsZero() {
			t.Fatalf("went on: %+v, settled at %s", w.live, w.record.Settled)
		}
		w.hear(func() bool { return true })
		w.plan(t)
		if settled := w.now.Add(w.spec.Switch.Settles()); !w.record.Settled.Equal(settled) || w.live.Share(spec.Green) != 0 {
			t.Fatalf("settled at %s, want %s; live %+v", w.record.Settled, settled, w.live)
		}
		w.now = w.record.Settled
		w.plan(t)
		if w.live.Share(spec.Green) != 5 {
			t.Fatalf("live once caches have settled: %+v", w.live)
		}
	})
}

// TestPlan_SaysEarlyWhoIsBehind looks at the wait for something else.
func TestPlan_SaysEarlyWhoIsBehind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runWith(t, rollout.Rolling, func(w *world) { w.slow = true })
		w.pools[spec.Green][0].Version = "v0"
		says := func() bool {
			w.plan(t)
			return w.record.Phase == rollout.Rolling && strings.Contains(w.record.Wait.For, "the switch will also wait for a TTL of 5s: ns0 still gives the long TTL")
		}
		if !says() {
			t.Fatalf("waits %+v", w.record.Wait)
		}
		w.hear(func() bool { return true })
		if says() || w.record.Settled.IsZero() {
			t.Fatalf("once all give the short TTL, waits %+v", w.record.Wait)
		}
	})
}

// TestPlan_GivesUpOnWhoeverIsBehindAtTheDeadline, as the spec says.
func TestPlan_GivesUpOnWhoeverIsBehindAtTheDeadline(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runWith(t, rollout.Canary, func(w *world) { w.slow = true })
		w.plan(t)
		if !w.wake.Equal(w.record.Deadline) {
			t.Fatalf("plans again at %s, the deadline is %s", w.wake, w.record.Deadline)
		}
		w.now = w.record.Deadline
		w.plan(t)
		why := w.record.Outcome
		if h := w.record.Halt; h != nil {
			why = h.Why
		}
		if w.record.Phase != rollout.Halted && w.record.Phase != rollout.Failed || !strings.Contains(why, "ns0 still gives the long TTL") || w.live.Pool != spec.Blue {
			t.Fatalf("%s: %q, live %+v", w.record.Phase, why, w.live)
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
		w.now = w.record.Settled.Add(time.Minute)
		w.disarm()
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
