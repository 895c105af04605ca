package rollout_test

import (
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

// asking is a rollout in a phase that asks for consents at all points.
func asking(phase rollout.Phase, approvals ...spec.Approval) rollout.Situation {
	s := rollout.Situation{
		Spec:   spec.Service{Name: "web", Approvals: approvals},
		Record: &rollout.Record{ID: "r", Service: "web", Version: "2", Phase: phase},
	}
	if phase == rollout.Halted {
		s.Record.Halt = &rollout.Halt{Phase: rollout.Baking}
	}
	if slices.Contains([]rollout.Phase{rollout.Draining, rollout.Baking, rollout.Halted}, phase) {
		s.Record.SwitchedAt = time.Unix(1, 0)
	}
	return s
}

func approval(name string, points ...string) spec.Approval {
	return spec.Approval{Hold: spec.Hold{At: points}, Name: name, MinApprovers: 1}
}

// TestTally_CountsPeopleAndNotWords, in whatever order Consul gives them.
func TestTally_CountsPeopleAndNotWords(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	rapid.Check(t, func(t *rapid.T) {
		a := approval("owner")
		a.MinApprovers = rapid.IntRange(1, 3).Draw(t, "need")
		a.Approvers = rapid.SampledFrom([][]string{nil, {"a", "b"}}).Draw(t, "approvers")
		a.Expires = rapid.SampledFrom([]spec.Duration{0, spec.Duration(time.Hour)}).Draw(t, "expires")
		s := asking(rollout.Switching, a)
		last := map[string]rollout.Consent{}
		for i := range rapid.IntRange(0, 6).Draw(t, "words") {
			c := rollout.Consent{
				Rollout: rapid.SampledFrom([]string{"r", "r", "r", "former"}).Draw(t, "rollout"),
				Gate:    rapid.SampledFrom([]string{"owner", "owner", "other"}).Draw(t, "gate"),
				Who:     rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "who"),
				Deny:    rapid.IntRange(0, 4).Draw(t, "deny") == 0,
				At:      now.Add(time.Duration(i-9) * 10 * time.Minute),
			}
			s.Consents = append(s.Consents, c)
			if c.Rollout == "r" && c.Gate == "owner" {
				last[c.Who] = c
			}
		}
		s.Consents = rapid.Permutation(s.Consents).Draw(t, "order")
		given, denied := 0, 0
		for who, c := range last {
			switch {
			case a.Approvers != nil && who == "c":
			case c.Deny:
				denied++
			case a.Expires == 0 || now.Sub(c.At) < time.Hour:
				given++
			}
		}
		got := s.Tally(a, now)
		if len(got.Given) != given || len(got.Denied) != denied || got.Passes() != (denied == 0 && given >= a.MinApprovers) {
			t.Fatalf("got %+v, want %d given and %d denied of %+v", got, given, denied, s.Consents)
		}
		for _, c := range got.Given {
			if a.Expires > 0 && got.Expires.After(c.At.Add(a.Expires.Std())) {
				t.Fatalf("expires at %s, and one of %s does before", got.Expires, c.At)
			}
		}
	})
}

// TestTally_KeepsWhatAFormerVersionHasTakenDown in the record.
func TestTally_KeepsWhatAFormerVersionHasTakenDown(t *testing.T) {
	t.Parallel()
	s := asking(rollout.Switching, approval("owner"))
	s.Record.Approvals = []rollout.Approval{{Name: "owner", By: "alice@desk", At: time.Unix(1, 0)}}
	if got := s.Tally(s.Spec.Approvals[0], time.Unix(2, 0)); !got.Passes() || !slices.Equal(got.People(), []string{"alice@desk"}) {
		t.Errorf("got %+v", got)
	}
}

func TestApprove_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	owner, security := approval("owner", spec.PointSwitch), approval("security", spec.PointSwitched)
	named := approval("owner", spec.PointSwitch)
	named.Approvers = []string{"b", "c"}
	given := func(s rollout.Situation, who string, deny bool) rollout.Situation {
		s.Consents = append(s.Consents, rollout.Consent{Rollout: "r", Gate: "owner", Who: who, Deny: deny, At: now})
		return s
	}
	for _, test := range []struct {
		name   string
		s      rollout.Situation
		gate   string
		deny   bool
		reason rollout.Reason
		words  string
	}{
		{"no rollout", rollout.Situation{Spec: spec.Service{Name: "web"}}, "", false, rollout.NothingToDo, "no rollout of web is under way"},
		{"ended", asking(rollout.Done, owner), "", false, rollout.NothingToDo, "no rollout of web is under way"},
		{"no approval", asking(rollout.Rolling), "", false, rollout.NothingToDo, "web asks for no approval"},
		{"several", asking(rollout.Rolling, owner, security), "", false, rollout.UnknownGate, "several approvals (owner, security); name one with --gate"},
		{"all past", asking(rollout.Baking, owner, security), "", false, rollout.NothingToDo, "web 2 has all its approvals"},
		{"unknown", asking(rollout.Rolling, owner, security), "nobody", false, rollout.UnknownGate, `no approval "nobody"; its approvals: owner, security`},
		{"none known", asking(rollout.Rolling), "owner", false, rollout.UnknownGate, `no approval "owner"; its approvals: none`},
		{"others", asking(rollout.Rolling, named), "", false, rollout.NotApprover, "a is not among the approvers of owner, who are b, c"},
		{"others' only", asking(rollout.Switching, named, approval("nodes", spec.PointRoll)), "", false, rollout.NotApprover, "waits for no approval of yours: others have to give owner"},
		{"past", asking(rollout.Draining, security), "security", false, rollout.NothingToDo, "past its approval security: it is in phase draining"},
		{"halted later", asking(rollout.Halted, owner, security), "security", true, rollout.NothingToDo, "past its approval security"},
		{"twice", given(asking(rollout.Rolling, owner), "a", false), "", false, rollout.NothingToDo, "you have said so already: web 2 has 1 of 1 consents of approval owner"},
		{"no twice", given(asking(rollout.Rolling, owner), "a", true), "", true, rollout.NothingToDo, "0 of 1 consents and a refusal by a of"},
		{"enough", given(asking(rollout.Rolling, owner), "b", false), "", false, rollout.NothingToDo, "web 2 has its approval owner, by b"},
	} {
		_, _, err := rollout.Approve(test.s, rollout.Consent{Gate: test.gate, Who: "a", Deny: test.deny}, now)
		var refused *rollout.Refusal
		if !errors.As(err, &refused) || refused.Reason != test.reason || !strings.Contains(refused.Text, test.words) {
			t.Errorf("%s: got %v, want reason %d with %q", test.name, err, test.reason, test.words)
		}
	}
}

func TestApprove_TakesWhatStillCounts(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_900_000_000, 0)
	owner := approval("owner", spec.PointSwitch)
	renewed := owner
	renewed.Expires = spec.Duration(time.Hour)
	given := func(s rollout.Situation, who string, deny bool) rollout.Situation {
		s.Consents = append(s.Consents, rollout.Consent{Rollout: "r", Gate: "owner", Who: who, Deny: deny, At: now})
		return s
	}
	rolls := approval("nodes", spec.PointRoll)
	upgrades := asking(rollout.Baking, rolls)
	upgrades.Spec.AfterBake = spec.AfterBakeUpgrade
	for _, test := range []struct {
		name string
		s    rollout.Situation
		deny bool
		want string
	}{
		{"ahead of time", asking(rollout.Queued, owner), false, "owner"},
		{"the only open one", given(asking(rollout.Switching, owner, approval("other", spec.PointSwitch)), "b", false), false, "other"},
		{"yes after no", given(asking(rollout.Switching, owner), "a", true), false, "owner"},
		{"no after yes", given(asking(rollout.Switching, owner), "a", false), true, "owner"},
		{"renewed", given(asking(rollout.Switching, renewed), "a", false), false, "owner"},
		{"for the other pool", upgrades, false, "nodes"},
	} {
		c, a, err := rollout.Approve(test.s, rollout.Consent{Who: "a", By: strings.Repeat("x", 9000), Deny: test.deny, Why: strings.Repeat("y", 9000)}, now)
		if err != nil || c.Gate != test.want || a.Name != test.want || c.Rollout != "r" || !c.At.Equal(now) || len(c.By)+len(c.Why) > 2000 {
			t.Errorf("%s: %+v, %v", test.name, c, err)
		}
	}
}

func TestGoAround_KnowsTheGates(t *testing.T) {
	t.Parallel()
	s := asking(rollout.Queued, approval("owner", spec.PointSwitch))
	s.Spec.Smoke = []spec.Smoke{{Name: "s"}}
	around, err := rollout.GoAround(s, rollout.Bypass{Gate: "owner", Why: "1"}, rollout.Bypass{Gate: "smoke", Why: "2"}, rollout.Bypass{Gate: "owner", Why: "3"})
	if err != nil || fmt.Sprintf("%+v", around) != fmt.Sprintf("%+v", []rollout.Bypass{{Rollout: "r", Gate: "owner", Why: "1"}, {Rollout: "r", Gate: "smoke", Why: "2"}}) {
		t.Errorf("got %+v, %v", around, err)
	}
	var refused *rollout.Refusal
	for _, gate := range []string{"warmup", "analysis", "quorum", ""} {
		if _, err := rollout.GoAround(s, rollout.Bypass{Gate: gate}); !errors.As(err, &refused) || refused.Reason != rollout.UnknownGate || !strings.Contains(refused.Text, "its gates: smoke, owner") {
			t.Errorf("%s: got %v", gate, err)
		}
	}
	s.Record.Phase = rollout.Done
	if _, err := rollout.GoAround(s, rollout.Bypass{Gate: "owner"}); !errors.As(err, &refused) || refused.Reason != rollout.NothingToDo {
		t.Errorf("after its end: %v", err)
	}
}

// TestPromote_WritesItsBypassesAlong, each with the new rollout's ID.
func TestPromote_WritesItsBypassesAlong(t *testing.T) {
	t.Parallel()
	s := rollout.Situation{Spec: spec.Service{Name: "web", Smoke: []spec.Smoke{{Name: "s"}}}, Released: true}
	change, err := rollout.Promote(s, "r7", "2", "alice", time.Unix(1, 0), rollout.Bypass{Gate: "smoke", Who: "1234", By: "alice", Why: "it is broken itself"})
	if err != nil {
		t.Fatal(err)
	}
	if len(change.Bypasses) != 1 || change.Bypasses[0].Rollout != "r7" {
		t.Errorf("bypasses %+v", change.Bypasses)
	}
	if last := change.Record.Timeline[len(change.Record.Timeline)-1]; last.What != "bypass of smoke asked for by alice [1234]: it is broken itself" {
		t.Errorf("the timeline ends with %q", last.What)
	}
	if _, err := rollout.Promote(s, "r7", "2", "alice", time.Unix(1, 0), rollout.Bypass{Gate: "warmup"}); err == nil {
		t.Error("a gate that isn't there was bypassed")
	}
}
