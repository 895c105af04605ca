package explain_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/explain"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// noon is when everything is explained.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(clock string) time.Time {
	t, err := time.Parse(time.DateTime, "2026-01-02 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// facts are those of a rollout that waits for two gates before its switch.
func facts() explain.Facts {
	record := &rollout.Record{
		ID: "web-2.0.0-20260102T113000-00c0ffee", Service: "web", Version: "2.0.0", Pool: spec.Green,
		From: pools.Side{Pool: spec.Blue, Version: "1.0.0"}, By: "alice@desk", At: at("11:30:00"),
		Phase: rollout.Switching, Entered: at("11:50:00"), Deadline: at("12:50:00"), Then: spec.ThenHalt, Generation: 7,
		Wait: &rollout.Wait{For: "for the approval of security", Since: at("11:51:00"), Until: at("12:50:00"), Then: spec.ThenHalt},
		Held: &rollout.Held{Point: spec.PointSwitch, Since: at("11:51:00")},
		Gates: []rollout.GateState{
			{Name: "office", Kind: spec.GateWindow, Point: spec.PointSwitch, Since: at("11:50:00"), Outcome: rollout.GatePassed, At: at("11:51:00")},
			{Name: "security", Kind: spec.GateApproval, Owner: "security", Point: spec.PointSwitch, Since: at("11:50:00"), Outcome: rollout.GateWaits, Why: "1 of 2 have approved"},
		},
		Timeline: []rollout.Event{
			{At: at("11:30:00"), Phase: rollout.Queued, What: "promoted by alice@desk: 2.0.0 to green; live is 1.0.0 on blue"},
			{At: at("11:50:00"), Phase: rollout.Switching, What: "switching began", Facts: []string{"green web-g1 runs 2.0.0: passing"}},
		},
	}
	return explain.Facts{
		Environment: "prod", Driver: "ns1",
		Situation: rollout.Situation{
			Spec:   spec.Service{Name: "web", Owner: "web-team", Approvals: []spec.Approval{{Name: "security", MinApprovers: 2}}},
			Record: record,
			Live: &pools.Live{
				Service: "web", Pool: spec.Blue, Version: "1.0.0", Generation: 7, By: "switchd", At: at("11:40:00"),
				Weights: map[string]int{spec.Blue: 75, spec.Green: 25}, Why: "canary of 2.0.0",
			},
		},
	}
}

func TestExplain_TellsAWaitForAPerson(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	if err := explain.Explain(facts(), noon).Text(&text, noon); err != nil {
		t.Fatal(err)
	}
	want := `Users of web in prod reach 1.0.0 on blue since 11:40:00 (20m ago), by switchd: canary of 2.0.0.
Of the users, blue has 75 % and green has 25 %.
2.0.0 is on its way to green, begun by alice@desk 11:30:00 (30m ago).
It is in phase switching since 11:50:00 (10m ago): users are led to the new pool, and all that leads them must show it.

It waits for the approval of security.
It waits since 11:51:00 (9m ago), until 12:50:00 (in 50m); then: halt.
  Gate security, before switch, of security: anybody whom Consul's ACL lets approve can (1 of 2 have approved).

How it came there:
  11:30:00 (30m ago), in queued: promoted by alice@desk: 2.0.0 to green; live is 1.0.0 on blue.
  11:50:00 (10m ago), in switching: switching began.
  Gate office (window, at switch) passed after 1m.

The last decision with facts was made on these:
  green web-g1 runs 2.0.0: passing

What you can do:
  ` + "`switchd approve web --gate security`" + `: approve
  ` + "`switchd approve web --gate security --deny --why TEXT`" + `: deny, which ends the rollout
  ` + "`switchd promote web 2.0.0 --bypass security --why TEXT`" + `: go around the gate, with a right of its own; it stays in the history
  ` + "`switchd halt web`" + `: stop it until it is resumed
  ` + "`switchd rollback web`" + `: end the rollout; users stay on 1.0.0 on blue
  ` + "`switchd history web 1 -v`" + `: see every decision and its facts
`
	if got := text.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestExplain_SaysThatNobodyDrives(t *testing.T) {
	t.Parallel()
	f := facts()
	f.Driver = ""
	if said := strings.Join(explain.Explain(f, noon).Where, " "); !strings.Contains(said, "Nobody drives") {
		t.Errorf("got %q, want it to say that nobody drives", said)
	}
}

func TestExplain_OfAHaltedOneNamesWhoCanEndIt(t *testing.T) {
	t.Parallel()
	f := facts()
	f.Record.Halt = &rollout.Halt{Phase: rollout.Canary, By: "alert page", Why: "HighErrors fires", At: at("11:55:00")}
	f.Record.Phase, f.Record.Wait, f.Record.Gates, f.Record.Deadline = rollout.Halted, nil, nil, time.Time{}
	e := explain.Explain(f, noon)
	if e.Waits == nil || !strings.Contains(strings.Join(e.Waits.Who, " "), "web-team") {
		t.Errorf("got %+v, want the owner named", e.Waits)
	}
	if !slices.ContainsFunc(e.Can, func(w explain.Way) bool { return w.Command == "switchd resume web" }) {
		t.Errorf("got %+v, want the way to resume", e.Can)
	}
	if text := e.Waits.Line(noon); text != "It waits since 11:55:00 (5m ago), without a deadline." {
		t.Errorf("got %q", text)
	}
}

// After a rollback there is nothing to go back to: the command would refuse.
func TestExplain_OffersARollbackOnlyWhereThereIsOne(t *testing.T) {
	t.Parallel()
	f := facts()
	f.Record.Phase, f.Record.Entered = rollout.Done, at("11:59:00")
	f.Live.Pool, f.Live.Version, f.Live.Weights = spec.Green, "2.0.0", nil
	offers := func() bool {
		return slices.ContainsFunc(explain.Explain(f, noon).Can, func(w explain.Way) bool { return w.Command == "switchd rollback web" })
	}
	if offers() {
		t.Error("offers a rollback without a former release")
	}
	f.Live.Previous = pools.Side{Pool: spec.Blue, Version: "1.0.0"}
	if !offers() {
		t.Error("does not offer the rollback")
	}
}

// Nothing waits in silence: whatever has not ended says what it waits for or
// does, since when, and who or what ends it; and no sentence has a hole.
func TestExplain_LeavesNoWaitInSilence(t *testing.T) {
	t.Parallel()
	all := append(rollout.Phases(), rollout.Halted, rollout.Failed, rollout.RolledBack)
	rapid.Check(t, func(t *rapid.T) {
		f := facts()
		f.Record.Phase = rapid.SampledFrom(all).Draw(t, "phase")
		if f.Record.Phase == rollout.Halted {
			f.Record.Halt = &rollout.Halt{Phase: rollout.Rolling, By: "bob", Why: "asked to", At: at("11:59:00")}
		}
		if rapid.Bool().Draw(t, "without gates") {
			f.Record.Gates = nil
		}
		if rapid.Bool().Draw(t, "without a wait") {
			f.Record.Wait = nil
		}
		if rapid.Bool().Draw(t, "first release") {
			f.Live, f.Record.From = nil, pools.Side{}
		}
		if rapid.Bool().Draw(t, "without a deadline") {
			f.Record.Deadline = time.Time{}
		}
		e := explain.Explain(f, noon)
		if f.Record.Phase.Ended() != (e.Waits == nil) {
			t.Fatalf("phase %s: waits is %+v", f.Record.Phase, e.Waits)
		}
		if e.Waits != nil && (e.Waits.Since.IsZero() || len(e.Waits.Who) == 0) {
			t.Fatalf("phase %s: a wait without a beginning or without anybody to end it: %+v", f.Record.Phase, e.Waits)
		}
		var text strings.Builder
		if err := e.Text(&text, noon); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text.String()) {
			if strings.Contains(line, "  (") || strings.Contains(line, ": .") || strings.Contains(line, "%!") || strings.Contains(line, "0001-01-01") {
				t.Fatalf("phase %s: a hole in %q", f.Record.Phase, line)
			}
		}
	})
}

// What a health check or a person writes must not steer a terminal.
func TestExplain_PrintsNoControlCharacters(t *testing.T) {
	t.Parallel()
	f := facts()
	f.Record.Wait.For = "for \x1b[2J the moon\nand stars"
	var text strings.Builder
	if err := explain.Explain(f, noon).Text(&text, noon); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "\x1b") || !strings.Contains(text.String(), fmt.Sprintf("for %s the moon and stars", " [2J")) {
		t.Errorf("got %q", text.String())
	}
}
