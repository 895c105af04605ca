package rollout_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/gate"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// at is a gate's place, with a deadline of an hour.
func at(then string, points ...string) spec.Hold {
	return spec.Hold{At: points, Owner: "owner", Deadline: spec.Deadline{After: spec.Duration(time.Hour), Then: then}}
}

// said has somebody speak.
func (w *world) said(t *rapid.T, c rollout.Consent) {
	c, _, err := rollout.Approve(w.situation(), c, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.consents[c.Who+"/"+c.Gate] = c
}

// after lets time pass, and plans.
func (w *world) after(t *rapid.T, d time.Duration) {
	w.now = w.now.Add(d)
	w.plan(t)
}

// heldAt wants the rollout to be held at a point, and says what by.
func (w *world) heldAt(t *rapid.T, point string) string {
	if w.record.Held == nil || w.record.Held.Point != point || w.record.Wait == nil {
		t.Fatalf("not held at %s but in phase %s: held %+v, wait %+v, outcome %q", point, w.record.Phase, w.record.Held, w.record.Wait, w.record.Outcome)
	}
	return w.record.Wait.For
}

// toSwitch brings a world to the switch, with nothing else to be waited for.
func toSwitch(t *rapid.T) *world {
	w := runTo(t, rollout.Switching)
	w.now = w.now.Add(time.Minute)
	w.live.Weights = nil // a pool with users is another matter
	return w
}

// TestPlan_GatesPassAtTheSameMomentOrNotAtAll: an approval that expires while a
// window is shut is asked for again.
func TestPlan_GatesPassAtTheSameMomentOrNotAtAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := toSwitch(t)
		w.now = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
		w.record.Deadline = w.now.Add(10 * time.Minute)
		w.spec.Approvals = []spec.Approval{{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "owner", Expires: spec.Duration(30 * time.Minute)}}
		w.spec.Windows = []spec.Window{{Hold: spec.Hold{At: []string{spec.PointSwitch}}, Name: "hours", From: "13:00", To: "14:00", TimeZone: "UTC"}}
		w.plan(t)
		if words := w.heldAt(t, spec.PointSwitch); !strings.Contains(words, "window hours: ") || !strings.Contains(words, "opens at 2030-01-01T13:00:00Z") || !strings.Contains(words, "approval owner: 0 of 1") {
			t.Fatalf("waits %s", words)
		}
		w.said(t, rollout.Consent{Gate: "owner", Who: "a"})
		w.after(t, time.Minute)
		// Only the window is waited for: it has no deadline, but an opening.
		if wait := w.record.Wait; !w.record.Deadline.IsZero() || !wait.Until.Equal(time.Date(2030, 1, 1, 13, 0, 0, 0, time.UTC)) || wait.Then != "it goes on" {
			t.Fatalf("waits %+v until %s", wait, w.record.Deadline)
		}
		if opens := time.Date(2030, 1, 1, 12, 30, 0, 0, time.UTC); !w.wake.Equal(opens) {
			t.Fatalf("plans again at %s, and the approval expires at %s", w.wake, opens)
		}
		w.after(t, 30*time.Minute)
		if words := w.heldAt(t, spec.PointSwitch); !strings.Contains(words, "approval owner: 0 of 1") {
			t.Fatalf("the approval has expired; waits %s", words)
		}
		w.now = time.Date(2030, 1, 1, 13, 10, 0, 0, time.UTC)
		w.plan(t)
		if words := w.heldAt(t, spec.PointSwitch); strings.Contains(words, "window") {
			t.Fatalf("the window is open; waits %s", words)
		}
		w.said(t, rollout.Consent{Gate: "owner", Who: "a"})
		w.plan(t)
		if w.live.Pool != spec.Green {
			t.Fatalf("all gates pass, and it waits %+v", w.record.Wait)
		}
	})
}

// TestPlan_AWaitAtAPointIsNoPartOfThePhase: the phase's own deadline stands still,
// and what was left of it is there again when the point is passed.
func TestPlan_AWaitAtAPointIsNoPartOfThePhase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := toSwitch(t)
		left := w.record.Deadline.Sub(w.now)
		w.spec.Waits = []spec.WaitFor{{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "migration"}}
		w.plan(t)
		w.heldAt(t, spec.PointSwitch)
		if want := w.now.Add(time.Hour); !w.record.Deadline.Equal(want) || !w.wake.Equal(want) || !w.record.Wait.Until.Equal(want) || w.record.Then != spec.ThenHalt {
			t.Fatalf("the gate's deadline is %s, not %s (%s)", w.record.Deadline, want, w.record.Then)
		}
		w.after(t, 59*time.Minute)
		w.heldAt(t, spec.PointSwitch)
		w.lookouts["migration"] = gate.Pass
		for i := range w.pools[spec.Green] {
			w.pools[spec.Green][i].Passing = false // it must wait for something else now
		}
		w.plan(t)
		if w.record.Held != nil || !w.record.Deadline.Equal(w.now.Add(left)) || !strings.Contains(w.record.Wait.For, "new pool") {
			t.Fatalf("held %+v, deadline in %s of %s, waits %+v", w.record.Held, w.record.Deadline.Sub(w.now), left, w.record.Wait)
		}
		// The gate is lost before the rollout has gone on: it is waited for anew.
		w.lookouts["migration"] = gate.Unknown
		w.after(t, time.Minute)
		w.heldAt(t, spec.PointSwitch)
		if want := w.now.Add(time.Hour); !w.record.Deadline.Equal(want) {
			t.Fatalf("the gate's deadline is %s, not %s", w.record.Deadline, want)
		}
	})
}

// TestPlan_AGatesTimeStandsStillWhileAWindowIsShut: what nobody could have let go on
// over a weekend does not run out on it.
func TestPlan_AGatesTimeStandsStillWhileAWindowIsShut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := toSwitch(t)
		w.now = time.Date(2030, 1, 4, 13, 30, 0, 0, time.UTC) // a Friday
		w.record.Deadline = w.now.Add(10 * time.Minute)
		w.spec.Approvals = []spec.Approval{{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "owner"}}
		w.spec.Windows = []spec.Window{{Hold: spec.Hold{At: []string{spec.PointSwitch}}, Name: "hours", Days: []string{"mon", "fri"}, From: "13:00", To: "14:00", TimeZone: "UTC"}}
		over := time.Date(2030, 1, 7, 13, 30, 0, 0, time.UTC) // half an hour on either day
		w.plan(t)
		// An hour after it was come to or later, or a little earlier: what was shut
		// must not count in hindsight.
		around := time.Date(2030, 1, 4, 14, rapid.SampledFrom([]int{5, 29, 31}).Draw(t, "around at"), 0, 0, time.UTC)
		if rapid.Bool().Draw(t, "on Saturday") {
			around = around.AddDate(0, 0, 1)
		}
		for _, at := range []time.Time{w.now, around, over.Add(-time.Minute)} {
			w.now = at
			w.plan(t)
			w.heldAt(t, spec.PointSwitch)
			if !w.record.Deadline.Equal(over) || !w.wake.Before(over.Add(time.Second)) {
				t.Fatalf("at %s the deadline is %s, want %s", at, w.record.Deadline, over)
			}
			if !at.Equal(around) {
				continue
			}
			// Who goes around the window, or takes it away, does not end what had
			// time until Monday.
			if rapid.Bool().Draw(t, "taken away") {
				w.spec.Windows = nil
			} else {
				w.bypasses = []rollout.Bypass{{Rollout: w.record.ID, Gate: "hours", Who: "a"}}
			}
			w.plan(t)
			w.heldAt(t, spec.PointSwitch)
		}
		w.now = over.Add(time.Second)
		w.plan(t)
		if w.record.Phase != rollout.Halted || !strings.Contains(w.record.Halt.Why, "approval owner was waited for longer than 1h0m0s (since 2030-01-04T13:30:00Z, without the time in which a window was shut)") {
			t.Fatalf("in %s: %+v", w.record.Phase, w.record.Halt)
		}
	})
}

// TestPlan_AGateThatRunsOutDoesWhatItSays, before the switch and after it.
func TestPlan_AGateThatRunsOutDoesWhatItSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		then := rapid.SampledFrom([]string{spec.ThenHalt, spec.ThenRollback}).Draw(t, "then of the gate")
		point := rapid.SampledFrom([]string{spec.PointSwitch, spec.PointSwitched}).Draw(t, "point")
		w := toSwitch(t)
		w.spec.Silences = []spec.Silence{{Hold: at(then, point), Name: "quiet"}}
		w.gates[rollout.JobProof] = gate.Pass
		w.plan(t)
		w.heldAt(t, point)
		w.after(t, time.Hour)
		want := rollout.Halted
		switch {
		case then == spec.ThenRollback && point == spec.PointSwitch:
			want = rollout.Failed
		case then == spec.ThenRollback:
			want = rollout.RolledBack
		}
		state := w.record.Gates[len(w.record.Gates)-1]
		if w.record.Phase != want || state.Outcome != rollout.GateExpired || !state.At.Equal(w.now) {
			t.Fatalf("%s, want %s; %+v", w.record.Phase, want, state)
		}
		why := w.record.Outcome
		if w.record.Halt != nil {
			why = w.record.Halt.Why
		}
		if !strings.Contains(why, "silence quiet was waited for longer than 1h0m0s: drawn") {
			t.Fatalf("because of %q", why)
		}
	})
}

// TestPlan_ADenialEndsItWhereverItIs says no at each point.
func TestPlan_ADenialEndsItWhereverItIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		point := rapid.SampledFrom(append(spec.Points(), "converge")).Draw(t, "point")
		oldServes := rapid.Bool().Draw(t, "the old pool can serve")
		phase := map[string]rollout.Phase{
			spec.PointRoll: rollout.Staging, spec.PointWeight: rollout.Canary, spec.PointSwitch: rollout.Switching,
			spec.PointSwitched: rollout.Switching, "converge": rollout.Baking,
		}[point]
		w := runTo(t, phase)
		label, stands := point, point
		switch point {
		case spec.PointWeight:
			label = "weight 5"
		case "converge":
			stands, w.spec.AfterBake = spec.PointRoll, spec.AfterBakeUpgrade
		}
		w.spec.Approvals = []spec.Approval{{Hold: at(spec.ThenHalt, stands), Name: "owner", MinApprovers: 2}}
		w.now = w.now.Add(2 * time.Minute)
		w.gates[rollout.JobProof] = gate.Pass
		w.plan(t)
		w.heldAt(t, label)
		live := w.live.Side()
		if !oldServes {
			for i := range w.pools[spec.Blue] {
				w.pools[spec.Blue][i].Passing = false
			}
		}
		w.said(t, rollout.Consent{Gate: "owner", Who: "a"})
		w.said(t, rollout.Consent{Gate: "owner", Who: "b", By: "b@desk", Deny: true, Why: "not on a Friday"})
		w.plan(t)
		want, words := rollout.Failed, "approval owner denied by b@desk: not on a Friday"
		switch {
		case point == spec.PointSwitched && oldServes:
			want, live.Pool, live.Version = rollout.RolledBack, spec.Blue, "v0"
		case point == spec.PointSwitched, point == "converge":
			want = rollout.Halted
		}
		why := w.record.Outcome
		if w.record.Halt != nil {
			why = w.record.Halt.Why
		}
		state := w.record.Gates[len(w.record.Gates)-1]
		if w.record.Phase != want || why != words || state.Outcome != rollout.GateDenied || w.live.Side() != live {
			t.Fatalf("at %s: %s (want %s): %q; %+v, live %s", point, w.record.Phase, want, why, state, w.live.Side())
		}
	})
}

// TestResume_AsksGatesAgainAndKeepsConsents: the wait begins anew, and nobody has
// to say again what they have said.
func TestResume_AsksGatesAgainAndKeepsConsents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := toSwitch(t)
		w.spec.Approvals = []spec.Approval{{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "owner", MinApprovers: 2}}
		w.plan(t)
		w.said(t, rollout.Consent{Gate: "owner", Who: "a"})
		w.after(t, time.Hour)
		if w.record.Phase != rollout.Halted || w.record.Held != nil {
			t.Fatalf("%s, held %+v", w.record.Phase, w.record.Held)
		}
		w.now = w.now.Add(time.Hour)
		change, err := rollout.Resume(w.situation(), "test", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		w.plan(t)
		if words := w.heldAt(t, spec.PointSwitch); !strings.Contains(words, "approval owner: 1 of 2, by a") {
			t.Fatalf("waits %s", words)
		}
		if waiting := w.record.Waiting(); len(waiting) != 1 || !waiting[0].Since.Equal(w.now) || !w.record.Deadline.Equal(w.now.Add(time.Hour)) {
			t.Fatalf("waits for %+v until %s", waiting, w.record.Deadline)
		}
		w.said(t, rollout.Consent{Gate: "owner", Who: "b"})
		w.plan(t)
		if w.live.Pool != spec.Green {
			t.Fatalf("waits %+v", w.record.Wait)
		}
		var outcomes []rollout.GateOutcome
		for _, g := range w.record.Gates {
			if g.Name == "owner" {
				outcomes = append(outcomes, g.Outcome)
			}
		}
		if !slices.Equal(outcomes, []rollout.GateOutcome{rollout.GateExpired, rollout.GatePassed}) {
			t.Fatalf("the decision record has %v", outcomes)
		}
	})
}

// TestResume_LeavesAnInterruptedWaitBehind: what was waited for before a halt
// doesn't run out after it.
func TestResume_LeavesAnInterruptedWaitBehind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := toSwitch(t)
		w.spec.Waits = []spec.WaitFor{{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "migration"}}
		w.plan(t)
		change, err := rollout.StopRollout(w.situation(), "test", "", w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		w.now = w.now.Add(30 * time.Minute)
		if change, err = rollout.Resume(w.situation(), "test", w.now); err != nil {
			t.Fatal(err)
		}
		w.commit(t, change)
		w.plan(t)
		w.after(t, 59*time.Minute)
		w.heldAt(t, spec.PointSwitch)
		w.after(t, time.Minute)
		var outcomes []rollout.GateOutcome
		for _, g := range w.record.Gates {
			if g.Name == "migration" {
				outcomes = append(outcomes, g.Outcome)
			}
		}
		if w.record.Phase != rollout.Halted || strings.Count(w.record.Halt.Why, "was waited for") != 1 || !slices.Equal(outcomes, []rollout.GateOutcome{rollout.GateWaits, rollout.GateExpired}) {
			t.Fatalf("%s: %+v; %v", w.record.Phase, w.record.Halt, outcomes)
		}
	})
}

// TestPlan_APhaseThatIsNotReadyAnyMoreWaitsForItself, by its own deadline.
func TestPlan_APhaseThatIsNotReadyAnyMoreWaitsForItself(t *testing.T) {
	t.Parallel()
	staged := rollout.Report{State: rollout.Staged}
	s := stagingOf(rollout.Staging, map[string]rollout.Report{"n1": staged, "n2": staged, "n3": staged, "n4": staged})
	s.Spec.Deadlines = map[string]spec.Deadline{"staging": {After: spec.Duration(time.Hour), Then: spec.ThenRollback}}
	s.Spec.Approvals = []spec.Approval{{Hold: at(spec.ThenHalt, spec.PointRoll), Name: "owner"}}
	s.Record.Deadline, s.Record.Then = s.Record.Entered.Add(10*time.Minute), spec.ThenRollback
	if s.Record = planned(t, s); s.Record.Held == nil || s.Record.Held.Point != spec.PointRoll || s.Record.Then != spec.ThenHalt {
		t.Fatalf("held %+v, then %s", s.Record.Held, s.Record.Then)
	}
	s.Reports["n1"] = rollout.Report{Rollout: "r", Pool: spec.Green, State: rollout.Fetching}
	if r := planned(t, s); r.Held != nil || !r.Deadline.Equal(s.Record.Entered.Add(10*time.Minute)) || r.Then != spec.ThenRollback || !strings.Contains(r.Wait.For, "n1 to stage 2") {
		t.Errorf("held %+v, deadline %s, then %s, waits %+v", r.Held, r.Deadline, r.Then, r.Wait)
	}
}

// TestPlan_EachStepOfTheWeightsHasItsGates, and so has the switch.
func TestPlan_EachStepOfTheWeightsHasItsGates(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		w.spec.Weights, w.spec.Analysis = []int{5, 50}, nil
		w.spec.Waits = []spec.WaitFor{{Hold: at(spec.ThenHalt, spec.PointWeight), Name: "load"}}
		w.now = w.record.Settled
		for _, step := range []struct {
			label string
			share int
		}{{"weight 5", 5}, {"weight 50", 50}, {spec.PointSwitch, 100}} {
			w.lookouts["load"] = gate.Unknown
			before := w.live.Share(spec.Green)
			w.plan(t)
			w.heldAt(t, step.label)
			if share := w.live.Share(spec.Green); share != before {
				t.Fatalf("at %s the pool got %d %%", step.label, share)
			}
			w.lookouts["load"] = gate.Pass
			d := rollout.Plan(w.situation(), w.now)
			if d.Change == nil || d.Change.Live == nil || d.Change.Live.Share(spec.Green) != step.share {
				t.Fatalf("at %s: %+v", step.label, d.Change)
			}
			w.commit(t, d.Change)
			if state := w.record.Gates[len(w.record.Gates)-1]; state.Point != step.label || state.Outcome != rollout.GatePassed {
				t.Fatalf("the decision record has %+v", state)
			}
			w.jobs = nil // the gate is left behind, and its job with it
		}
	})
}

// TestPlan_ABypassLeavesATrace, of every gate there is.
func TestPlan_ABypassLeavesATrace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"owner", "migration", "hours", "quiet", "smoke", "warmup", "analysis"}).Draw(t, "gate")
		phase := rollout.Switching
		switch name {
		case "smoke", "warmup":
			phase = rollout.Phase(name)
		case "analysis":
			phase = rollout.Canary
		}
		w := runWith(t, phase, func(w *world) {
			w.spec.Smoke, w.spec.Warmup = []spec.Smoke{{Name: "s"}}, &spec.Warmup{}
		})
		w.now = w.record.Settled.Add(3 * time.Hour).Truncate(24 * time.Hour).Add(12 * time.Hour)
		w.record.Deadline = w.now.Add(time.Hour)
		w.gates = map[rollout.JobKind]gate.Outcome{}
		hold := at(spec.ThenHalt, spec.PointSwitch)
		switch name {
		case "owner":
			w.spec.Approvals = []spec.Approval{{Hold: hold, Name: name}}
		case "migration":
			w.spec.Waits = []spec.WaitFor{{Hold: hold, Name: name}}
		case "hours":
			w.spec.Windows = []spec.Window{{Hold: hold, Name: name, From: "03:00", To: "04:00", TimeZone: "UTC"}}
		case "quiet":
			w.spec.Silences = []spec.Silence{{Hold: hold, Name: name}}
		}
		w.bypasses = []rollout.Bypass{{Rollout: "r0", Gate: name, Who: "1234", Why: "it was another rollout"}}
		w.plan(t)
		w.after(t, 5*time.Second) // the TTL of a share
		if w.record.Phase != phase || w.live.Pool != spec.Blue {
			t.Fatalf("did not wait for %s: %s", name, w.record.Phase)
		}
		around, err := rollout.GoAround(w.situation(), rollout.Bypass{Gate: name, Who: "1234", By: "alice", Why: "the site is down", At: w.now})
		if err != nil {
			t.Fatal(err)
		}
		w.bypasses = around
		w.plan(t)
		if w.record.Phase == phase && w.live.Pool == spec.Blue {
			t.Fatalf("waits for %s in spite of the bypass: %+v", name, w.record.Wait)
		}
		i := slices.IndexFunc(w.record.Gates, func(g rollout.GateState) bool { return g.Name == name })
		if g := w.record.Gates[max(i, 0)]; i < 0 || g.Outcome != rollout.GateBypassed || g.Why != "the site is down" || !slices.Equal(g.By, []string{"alice [1234]"}) || !g.At.Equal(w.now) {
			t.Fatalf("the decision record has %+v", w.record.Gates)
		}
		traces := 0
		for _, e := range w.record.Timeline {
			if strings.HasSuffix(e.What, name+" bypassed by alice [1234]: the site is down") {
				traces++
				if len(e.Facts) == 0 {
					t.Fatal("the trace has no facts")
				}
			}
		}
		if traces != 1 {
			t.Fatalf("%d traces in %+v", traces, w.record.Timeline)
		}
	})
}

// TestPlan_NothingGoesAroundTheQuorum, though somebody writes so into Consul.
func TestPlan_NothingGoesAroundTheQuorum(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := toSwitch(t)
		if _, err := rollout.GoAround(w.situation(), rollout.Bypass{Gate: "quorum", Who: "a"}); err == nil {
			t.Fatal("the quorum was bypassed")
		}
		w.bypasses = []rollout.Bypass{{Rollout: "r1", Gate: "quorum", Who: "a"}, {Rollout: "r1", Gate: "proof", Who: "a"}, {Rollout: "r1", Gate: "", Who: "a"}}
		for i := range w.pools[spec.Green] {
			w.pools[spec.Green][i].Passing = false
		}
		w.plan(t)
		if w.live.Pool != spec.Blue || !strings.Contains(w.record.Wait.For, "new pool") {
			t.Fatalf("live %s, waits %+v", w.live.Side(), w.record.Wait)
		}
	})
}

// TestPlan_AWindowThatNeverOpensHalts rather than wait without an end.
func TestPlan_AWindowThatNeverOpensHalts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := toSwitch(t)
		window := spec.Window{Hold: spec.Hold{At: []string{spec.PointSwitch}}, Name: "hours", TimeZone: "UTC"}
		if rapid.Bool().Draw(t, "broken") {
			window.TimeZone = "Atlantis/Capital"
		} else {
			window.Freezes = []spec.Freeze{{Name: "end", From: "2029-01-01", To: "2099-01-01", Why: "the service is retired"}}
		}
		w.spec.Windows = []spec.Window{window}
		w.plan(t)
		if w.record.Phase != rollout.Halted || !strings.Contains(w.record.Halt.Why, "window hours lets nothing go on: ") {
			t.Fatalf("%s: %+v", w.record.Phase, w.record.Halt)
		}
	})
}

// TestPlan_AGateThatIsTakenAwayHoldsNobody, when the desired state is applied anew.
func TestPlan_AGateThatIsTakenAwayHoldsNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		w.now = w.record.Settled
		w.spec.Approvals = []spec.Approval{{Hold: at(spec.ThenHalt, spec.PointWeight), Name: "owner"}}
		w.plan(t)
		w.heldAt(t, "weight 5")
		w.spec.Weights = []int{10}
		w.plan(t)
		w.heldAt(t, "weight 10")
		w.spec.Approvals = nil
		w.plan(t)
		if w.record.Held != nil || w.live.Share(spec.Green) != 10 || len(w.record.Waiting()) > 0 {
			t.Fatalf("held %+v, share %d", w.record.Held, w.live.Share(spec.Green))
		}
	})
}

// TestPlan_AFirstReleaseHasGatesToo, and nowhere to go back to.
func TestPlan_AFirstReleaseHasGatesToo(t *testing.T) {
	t.Parallel()
	s := stagingOf(rollout.Switching, map[string]rollout.Report{})
	s.Record.SwitchedAt, s.Record.ProvedAt = s.Record.Entered, s.Record.Entered
	s.Pools[spec.Green] = pools.Pool{{Node: "n1", Version: "2", Passing: true}, {Node: "n2", Version: "2", Passing: true}}
	s.Spec.Approvals = []spec.Approval{{Hold: at(spec.ThenRollback, spec.PointSwitched), Name: "owner"}}
	r := planned(t, s)
	if r.Held == nil || r.Held.Point != spec.PointSwitched {
		t.Fatalf("%s, held %+v", r.Phase, r.Held)
	}
	s.Record, s.Consents = r, []rollout.Consent{{Rollout: "r", Gate: "owner", Who: "a", Deny: true, Why: "no", At: r.Entered}}
	if r := planned(t, s); r.Phase != rollout.Halted {
		t.Errorf("%s: %s", r.Phase, r.Outcome)
	}
	s.Consents = nil
	s.Record.Deadline = s.Record.Entered
	if r := planned(t, s); r.Phase != rollout.Halted || !strings.Contains(r.Halt.Why, "a rollback is not possible") {
		t.Errorf("%s: %+v", r.Phase, r.Halt)
	}
}

// TestPlan_StopsAVersionThatAPolicyForbidsMeanwhile, before the switch.
func TestPlan_StopsAVersionThatAPolicyForbidsMeanwhile(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rapid.SampledFrom([]rollout.Phase{rollout.Queued, rollout.Rolling, rollout.Switching, rollout.Baking}).Draw(t, "phase"))
		phase := w.record.Phase
		w.spec.Forbidden = []string{"v1*"}
		w.plan(t)
		if want := phase != rollout.Baking; (w.record.Phase == rollout.Failed) != want || want && !strings.Contains(w.record.Outcome, "is forbidden") {
			t.Fatalf("in %s: %s, %q", phase, w.record.Phase, w.record.Outcome)
		}
		w.record = nil
		_, err := rollout.Promote(w.situation(), "r2", "v1.2", "test", w.now)
		refusal(t, err, rollout.Forbidden)
	})
}

// TestPlan_TakesDownTheMeasuredShare while the pool has one, and never an older
// one.
func TestPlan_TakesDownTheMeasuredShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := runTo(t, rollout.Canary)
		w.now = w.record.Settled
		w.gates = map[rollout.JobKind]gate.Outcome{}
		w.plan(t)
		w.after(t, 10*time.Second)
		if slices.ContainsFunc(w.jobs, func(j rollout.Job) bool { return j.Kind == rollout.JobShare }) {
			t.Fatal("a share is to be measured without a query")
		}
		w.spec.Drain.Query = "requests"
		w.plan(t)
		i := slices.IndexFunc(w.jobs, func(j rollout.Job) bool { return j.Kind == rollout.JobShare })
		if i < 0 {
			t.Fatalf("jobs: %+v", w.jobs)
		}
		job := w.jobs[i]
		observe := func(state string) rollout.Decision {
			s := w.situation()
			s.Jobs[job] = gate.Verdict{State: []byte(state)}
			return rollout.Plan(s, w.now)
		}
		d := observe(`{"percent": 4.8, "at": "2030-01-01T00:10:00Z"}`)
		if d.Change == nil || !d.Change.Minor || d.Change.Record.Observed == nil || d.Change.Record.Observed.Percent != 4.8 {
			t.Fatalf("to be written: %+v", d.Change)
		}
		w.commit(t, d.Change)
		for _, old := range []string{`{"percent": 4.8, "at": "2030-01-01T00:10:00Z"}`, `{"percent": 9, "at": "2030-01-01T00:09:00Z"}`, `{`} {
			if d := observe(old); d.Change != nil {
				t.Fatalf("%s is to be written: %+v", old, d.Change.Record.Observed)
			}
		}
	})
}
