package rollout_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/rollout"
	"switchd/spec"
)

// switchingTo is a rollout that has come to the switch, in a service's first
// release: nothing but gates holds it.
func switchingTo(gates ...spec.Approval) rollout.Situation {
	s := stagingOf(rollout.Switching, map[string]rollout.Report{})
	s.Spec.Approvals = gates
	return s
}

// TestPlan_ComesToRestWhateverAnApproverWrites: the text by which people call
// themselves is theirs. It must neither have the record written for ever nor push
// other gates out of it.
func TestPlan_ComesToRestWhateverAnApproverWrites(t *testing.T) {
	t.Parallel()
	for _, gates := range []int{1, 2, spec.MaxGates} {
		for _, people := range []int{1, 30} {
			s := switchingTo()
			for i := range gates {
				name := fmt.Sprint("g", i)
				s.Spec.Approvals = append(s.Spec.Approvals, spec.Approval{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: name, MinApprovers: 40})
				for who := range people {
					s.Consents = append(s.Consents, rollout.Consent{Rollout: "r", Gate: name, Who: fmt.Sprint(who), By: strings.Repeat("<", 4000), Why: strings.Repeat("\x1b", 4000)})
				}
			}
			now := s.Record.Entered.Add(time.Second)
			d := rollout.Plan(s, now)
			if d.Change == nil || len(d.Change.Record.Waiting()) != gates {
				t.Fatalf("%d gates, %d people: these are waited for: %+v", gates, people, d.Change)
			}
			s.Record = d.Change.Record
			if d := rollout.Plan(s, now.Add(time.Second)); d.Change != nil {
				t.Errorf("%d gates, %d people: it does not come to rest: %s", gates, people, d.Change.What)
			}
			text, err := json.Marshal(s.Record.Gates)
			if most := max(24, 8*gates) << 10; err != nil || len(text) > most {
				t.Errorf("%d gates, %d people: the gates take %d bytes of %d, %v", gates, people, len(text), most, err)
			}
		}
	}
}

// TestPlan_ANoEndsItBeforeUsersAreLedThere: what somebody has refused gets no
// share of the users first, wherever the gate stands.
func TestPlan_ANoEndsItBeforeUsersAreLedThere(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		phase := rapid.SampledFrom([]rollout.Phase{rollout.Queued, rollout.Staging, rollout.Rolling, rollout.Canary, rollout.Switching}).Draw(t, "phase")
		w := runTo(t, phase)
		point := rapid.SampledFrom([]string{spec.PointWeight, spec.PointSwitch, spec.PointSwitched}).Draw(t, "point")
		w.spec.Approvals = []spec.Approval{{Hold: at(spec.ThenHalt, point), Name: "owner", MinApprovers: 2}}
		w.said(t, rollout.Consent{Gate: "owner", Who: "a", Deny: true, Why: "it has a hole"})
		bypassed := rapid.Bool().Draw(t, "bypassed")
		if bypassed {
			w.bypasses = []rollout.Bypass{{Rollout: "r1", Gate: "owner", Who: "b", Why: "the hole is in the old one"}}
		}
		w.plan(t)
		if (w.record.Phase == rollout.Failed) == bypassed {
			t.Fatalf("bypassed %t: it is in %s, %q", bypassed, w.record.Phase, w.record.Outcome)
		}
		if !bypassed && (w.record.Outcome != "approval owner denied by a: it has a hole" || w.live.Share(spec.Green) != 0 || w.record.Gates[len(w.record.Gates)-1].Outcome != rollout.GateDenied) {
			t.Fatalf("%q, and users have %d %% of it; %+v", w.record.Outcome, w.live.Share(spec.Green), w.record.Gates)
		}
	})
}

// TestPlan_AConsentFromTheFutureDoesNotOutlastItsTime: the time in it is the
// approver's own text.
func TestPlan_AConsentFromTheFutureDoesNotOutlastItsTime(t *testing.T) {
	t.Parallel()
	a := spec.Approval{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "owner", Expires: spec.Duration(time.Hour)}
	s := switchingTo(a)
	given := s.Record.Entered
	for _, ahead := range []time.Duration{0, time.Second, time.Minute, 2 * time.Hour, 10 * 365 * 24 * time.Hour} {
		s.Consents = []rollout.Consent{{Rollout: "r", Gate: "owner", Who: "a", At: given.Add(ahead)}}
		begins, ends := given.Add(max(0, ahead-time.Minute)), given.Add(ahead+time.Hour)
		for at, want := range map[time.Time]bool{given.Add(ahead - time.Minute - time.Millisecond): false, begins: true, ends.Add(-time.Millisecond): true, ends: false} {
			if got := s.Tally(a, at); got.Passes() != want || want && !got.Expires.Equal(ends) {
				t.Errorf("%s ahead, after %s: %+v", ahead, at.Sub(given), got)
			}
		}
	}
	s.Consents = []rollout.Consent{{Rollout: "r", Gate: "owner", Who: "a", At: given.Add(24 * time.Hour)}}
	if r := planned(t, s); !strings.Contains(r.Wait.For, "0 of 1") || !strings.Contains(r.Wait.For, "that of a is dated ") {
		t.Errorf("waits %s", r.Wait.For)
	}
}

// TestPlan_KeepsWhyPeopleSaidYes in the history.
func TestPlan_KeepsWhyPeopleSaidYes(t *testing.T) {
	t.Parallel()
	s := switchingTo(spec.Approval{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "owner"})
	s.Consents = []rollout.Consent{{Rollout: "r", Gate: "owner", Who: "a", By: "alice", Why: "tried it on staging", At: s.Record.Entered}}
	r := planned(t, s)
	for _, e := range r.Timeline {
		if strings.HasPrefix(e.What, "gates at switch passed") && slices.ContainsFunc(e.Facts, func(f string) bool {
			return strings.HasPrefix(f, "alice [a] approved at ") && strings.HasSuffix(f, ": tried it on staging")
		}) {
			return
		}
	}
	t.Errorf("the timeline has %+v", r.Timeline)
}

// TestPlan_WindowsMustBeOpenTogether: what is said of when it goes on is so, and
// windows that never are open at the same time halt it.
func TestPlan_WindowsMustBeOpenTogether(t *testing.T) {
	t.Parallel()
	window := func(name, from, to string, days ...string) spec.Window {
		return spec.Window{Hold: spec.Hold{At: []string{spec.PointSwitch}}, Name: name, Days: days, From: from, To: to, TimeZone: "UTC"}
	}
	s := switchingTo() // 2027-01-15, a Friday, 08:00 UTC
	s.Spec.Windows = []spec.Window{window("a", "09:00", "12:00"), window("b", "11:00", "23:00", "mon")}
	if r := planned(t, s); r.Wait == nil || !r.Wait.Until.Equal(time.Date(2027, 1, 18, 11, 0, 0, 0, time.UTC)) || r.Wait.Then != "it goes on" {
		t.Errorf("%s waits %+v", r.Phase, r.Wait)
	}
	s.Spec.Windows = []spec.Window{window("a", "09:00", "12:00"), window("b", "13:00", "17:00")}
	if r := planned(t, s); r.Phase != rollout.Halted || !strings.Contains(r.Halt.Why, "windows a and b are never open at the same time") {
		t.Errorf("%s: %+v, waits %+v", r.Phase, r.Halt, r.Wait)
	}
	s.Bypasses = []rollout.Bypass{{Rollout: "r", Gate: "b", Who: "x", Why: "y"}}
	if r := planned(t, s); r.Wait == nil || !r.Wait.Until.Equal(time.Date(2027, 1, 15, 9, 0, 0, 0, time.UTC)) {
		t.Errorf("%s waits %+v", r.Phase, r.Wait)
	}
}

// TestPlan_AGateThatIsTakenAwayIsNotWaitedForBesideAnother, nor does it run out.
func TestPlan_AGateThatIsTakenAwayIsNotWaitedForBesideAnother(t *testing.T) {
	t.Parallel()
	first := spec.Approval{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "first"}
	second := spec.Approval{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "second"}
	s := switchingTo(first, second)
	s.Record = planned(t, s)
	s.Spec.Approvals = []spec.Approval{second}
	s.Record = planned(t, s)
	if w := s.Record.Waiting(); len(w) != 1 || w[0].Name != "second" {
		t.Errorf("waits for %+v", w)
	}
	d := rollout.Plan(s, s.Record.Deadline)
	if why := d.Change.Record.Halt.Why; strings.Contains(why, "first") || !strings.Contains(why, "approval second was waited for longer than 1h0m0s") {
		t.Errorf("halted: %s", why)
	}
}

// TestPlan_ABypassSaysWhatItWentAround: the refusal of somebody, above all.
func TestPlan_ABypassSaysWhatItWentAround(t *testing.T) {
	t.Parallel()
	s := switchingTo(spec.Approval{Hold: at(spec.ThenHalt, spec.PointSwitch), Name: "owner"})
	s.Consents = []rollout.Consent{{Rollout: "r", Gate: "owner", Who: "a", Deny: true, Why: "no", At: s.Record.Entered}}
	s.Bypasses = []rollout.Bypass{{Rollout: "r", Gate: "owner", Who: "b"}}
	for _, e := range planned(t, s).Timeline {
		if e.What == "approval owner bypassed by b: no reason was given" && slices.Contains(e.Facts, "without it: denied by a: no") {
			return
		}
	}
	t.Errorf("the timeline has %+v", planned(t, s).Timeline)
}

// TestGoAround_RefusesWhatIsPast: nobody is to believe that a gate was gone around
// which the rollout has left behind.
func TestGoAround_RefusesWhatIsPast(t *testing.T) {
	t.Parallel()
	s := asking(rollout.Baking, approval("owner", spec.PointSwitch))
	s.Spec.Smoke = []spec.Smoke{{Name: "s"}}
	for _, name := range []string{"owner", "smoke"} {
		_, err := rollout.GoAround(s, rollout.Bypass{Gate: name, Why: "1"})
		var refused *rollout.Refusal
		if !errors.As(err, &refused) || refused.Reason != rollout.NothingToDo || !strings.Contains(refused.Text, "past its gate "+name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
