package rollout_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/gate"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// TestPlan_KeepsItsPromisesInEveryHistory draws histories of operations,
// faults and verdicts; the world checks the promises at each write.
func TestPlan_KeepsItsPromisesInEveryHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.racing, w.slow = true, true
		n := 0
		operate := func(change *rollout.Change, err error) {
			var refused *rollout.Refusal
			switch {
			case errors.As(err, &refused):
				if refused.Text == "" {
					t.Fatal("refused without a reason")
				}
			case err != nil:
				t.Fatalf("operation: %v", err)
			default:
				w.commit(t, change)
			}
		}
		outcome := rapid.SampledFrom([]gate.Outcome{gate.Pass, gate.Pass, gate.Pass, gate.Unknown, gate.Fail})
		t.Repeat(map[string]func(*rapid.T){
			"promote": func(*rapid.T) {
				n++
				operate(rollout.Promote(w.situation(), fmt.Sprintf("r%d", n), fmt.Sprintf("v%d", n), "test", w.now))
			},
			"rollback": func(*rapid.T) { operate(rollout.Rollback(w.situation(), "test", "", w.now)) },
			"halt":     func(*rapid.T) { operate(rollout.StopRollout(w.situation(), "test", "", w.now)) },
			"resume":   func(*rapid.T) { operate(rollout.Resume(w.situation(), "test", w.now)) },
			"approve":  w.consent,
			"bypass":   w.bypass,
			"agents":   w.agents,
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 700).Draw(t, "seconds")) * time.Second)
			},
			"gates": func(t *rapid.T) {
				for _, kind := range []rollout.JobKind{rollout.JobSmoke, rollout.JobWarmup, rollout.JobAnalysis, rollout.JobProof, rollout.JobDrain} {
					w.gates[kind] = outcome.Draw(t, string(kind))
				}
				for _, g := range w.spec.Gates() {
					w.lookouts[g.Name] = outcome.Draw(t, g.Name)
				}
			},
			"node": w.breakNode,
			"witnesses": func(t *rapid.T) {
				if w.live != nil {
					w.hear(func() bool { return rapid.IntRange(0, 3).Draw(t, "follows") > 0 })
				}
			},
			"disarm": func(t *rapid.T) {
				if w.live != nil && w.live.Armed && rapid.IntRange(0, 3).Draw(t, "by hand") == 0 {
					w.disarm()
				}
			},
			"": func(t *rapid.T) { w.plan(t) },
		})
	})
}

// TestPlan_HaltedStaysHalted draws anything but a resume, a rollback or
// another's write: a halted rollout must not move.
func TestPlan_HaltedStaysHalted(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rapid.SampledFrom([]rollout.Phase{rollout.Staging, rollout.Canary, rollout.Switching, rollout.Baking}).Draw(t, "phase"))
		change, err := rollout.StopRollout(w.situation(), "test", "because", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		pool := w.live.Side().Pool
		for range 20 {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 100000).Draw(t, "seconds")) * time.Second)
			w.agents(t)
			w.plan(t)
			if w.record.Phase != rollout.Halted || w.live.Side().Pool != pool || (w.live != nil && len(w.live.Weights) > 0) {
				t.Fatalf("moved while halted: %s, %+v", w.record.Phase, w.live)
			}
		}
	})
}

// runTo brings a healthy world to a phase.
func runTo(t *rapid.T, phase rollout.Phase) *world {
	return runWith(t, phase, func(*world) {})
}

// runWith does what runTo does, in a world that is edited first.
func runWith(t *rapid.T, phase rollout.Phase, edit func(*world)) *world {
	w := newWorld(t)
	edit(w)
	w.spec.Weights, w.spec.Analysis, w.spec.Approvals = []int{5}, &spec.Analysis{}, nil
	w.spec.Waits, w.spec.Windows, w.spec.Silences = nil, nil, nil
	w.live = (*pools.Live)(nil).Next("test", w.now)
	w.live.Service, w.live.Pool, w.live.Version = "web", spec.Blue, "v0"
	change, err := rollout.Promote(w.situation(), "r1", "v1", "test", w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.commit(t, change)
	for range 500 {
		if w.record.Phase == phase {
			return w
		}
		if w.record.Phase.Ended() || w.record.Phase == rollout.Halted {
			break
		}
		for _, colour := range []string{spec.Blue, spec.Green} {
			for i := range w.pools[colour] {
				in := &w.pools[colour][i]
				w.reports[in.Node] = rollout.Report{Rollout: "r1", State: rollout.Staged}
				if w.record.RollsOn(colour) {
					in.Version = "v1"
				}
			}
		}
		d := rollout.Plan(w.situation(), w.now)
		w.jobs = d.Jobs
		if d.Change != nil {
			w.commit(t, d.Change)
		} else if w.now = w.now.Add(time.Second); w.record.Phase == rollout.Canary && w.now.Before(w.record.Settled) {
			w.now = w.record.Settled
		}
		for _, job := range w.jobs {
			w.gates[job.Kind] = gate.Pass
		}
	}
	t.Fatalf("did not reach %s, stands at %s: %s", phase, w.record.Phase, w.record.Outcome)
	return nil
}

func TestPlan_RunsThroughAllPhasesInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Done)
		at := -1
		for _, e := range w.record.Timeline {
			for i, phase := range rollout.Phases() {
				if phase != e.Phase {
					continue
				}
				if i < at {
					t.Fatalf("went back to %s", e.Phase)
				}
				at = i
			}
		}
		if w.live.Pool != spec.Green || w.live.Version != "v1" || w.live.Previous != (pools.Side{Pool: spec.Blue, Version: "v0"}) {
			t.Fatalf("live record at the end: %+v", w.live)
		}
	})
}

func TestPlan_UnknownHoldsUntilTheDeadline(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		w.gates = map[rollout.JobKind]gate.Outcome{}
		deadline := w.record.Deadline
		for w.now.Before(deadline) {
			w.plan(t)
			if w.record.Phase != rollout.Canary {
				t.Fatalf("left the canary for %s without a verdict", w.record.Phase)
			}
			w.now = w.now.Add(30 * time.Second)
		}
		w.plan(t)
		want := rollout.Halted
		if w.spec.Deadlines["canary"].Then == spec.ThenRollback {
			want = rollout.Failed
		}
		if w.record.Phase != want || w.live.Pool != spec.Blue || len(w.live.Weights) > 0 {
			t.Fatalf("at the deadline: phase %s (want %s), live %+v", w.record.Phase, want, w.live)
		}
	})
}

func TestPlan_AFailedAnalysisLeadsEverybodyBackInOneWrite(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		w.gates = map[rollout.JobKind]gate.Outcome{rollout.JobAnalysis: gate.Fail}
		w.now = w.record.Settled
		for range 20 {
			d := rollout.Plan(w.situation(), w.now)
			w.jobs = d.Jobs
			if d.Change != nil && d.Change.Record.Phase == rollout.Failed {
				if d.Change.Live == nil || d.Change.Live.Share(spec.Blue) != 100 {
					t.Fatalf("failed without leading users back: %+v", d.Change.Live)
				}
				return
			}
			if d.Change != nil {
				w.commit(t, d.Change)
			}
			w.now = w.now.Add(3 * time.Second)
		}
		t.Fatalf("did not fail: %s", w.record.Phase)
	})
}

func TestRollback_IsOneChangeInEveryPhase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		phase := rapid.SampledFrom([]rollout.Phase{rollout.Queued, rollout.Staging, rollout.Rolling, rollout.Canary, rollout.Switching, rollout.Baking}).Draw(t, "phase")
		w := runTo(t, phase)
		change, err := rollout.Rollback(w.situation(), "test", "", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		if w.live.Pool != spec.Blue || w.live.Version != "v0" || w.live.Share(spec.Blue) != 100 || w.record.Phase != rollout.RolledBack {
			t.Fatalf("after a rollback in %s: %+v, %s", phase, w.live, w.record.Phase)
		}
		w.plan(t)
		if w.live.Pool != spec.Blue {
			t.Fatal("the engine undid the rollback")
		}
	})
}

func TestRollback_RefusesAPoolThatCannotServe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Baking)
		for i := range w.pools[spec.Blue] {
			w.pools[spec.Blue][i].Passing = false
		}
		_, err := rollout.Rollback(w.situation(), "test", "", w.now)
		var refused *rollout.Refusal
		if !errors.As(err, &refused) || refused.Reason != rollout.Unhealthy {
			t.Fatalf("got %v, want a refusal", err)
		}
	})
}

func TestPlan_NoticesAForeignWrite(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		w.live = w.live.Next("somebody's editor", w.now)
		w.plan(t)
		if w.record.Phase != rollout.Halted {
			t.Fatalf("went on in %s after a foreign write", w.record.Phase)
		}
	})
}

// FuzzParseRecord holds the parser of what Consul holds to never panicking,
// and to giving back only what can be planned with.
func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"id":"a","phase":"rolling","timeline":[]}`))
	f.Add([]byte(`{"phase":"unheard-of"}`))
	f.Add([]byte(`{"phase":"halted"}`))
	f.Fuzz(func(_ *testing.T, value []byte) {
		record, err := rollout.ParseRecord(value, 1)
		if err != nil || record == nil {
			return
		}
		rollout.Plan(rollout.Situation{Record: record}, time.Unix(0, 0))
	})
}
