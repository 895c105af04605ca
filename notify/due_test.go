package notify_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/notify"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

var noon = time.Date(2026, time.November, 21, 12, 0, 0, 0, time.UTC)

// facts are those of a rollout of web 2.0.0 that began at noon, in a phase.
func facts(phase rollout.Phase, gates ...rollout.GateState) notify.Facts {
	point := spec.PointSwitch
	if len(gates) > 0 {
		point = gates[0].Point
	}
	return notify.Facts{
		Environment: "prod",
		Spec: spec.Service{
			Name: "web", Owner: "web-team", Bake: spec.Duration(time.Hour),
			Waits:  []spec.WaitFor{{Name: "migration", Remind: spec.Duration(10 * time.Minute)}},
			Notify: spec.Notify{Events: spec.Events(), Remind: spec.Duration(time.Hour)},
		},
		Record: &rollout.Record{
			ID: "r1", Service: "web", Version: "2.0.0", Pool: spec.Green, From: pools.Side{Pool: spec.Blue, Version: "1.0.0"},
			By: "alice", At: noon, Phase: phase, Entered: noon, Gates: gates, Held: &rollout.Held{Point: point, Since: noon},
		},
	}
}

func waits(kind, name, owner string, since time.Time) rollout.GateState {
	return rollout.GateState{
		Name: name, Kind: kind, Owner: owner, Point: spec.PointSwitch, Since: since, Outcome: rollout.GateWaits,
		Until: since.Add(2 * time.Hour), Then: spec.ThenHalt, Why: "1 of 2 approvals",
	}
}

// told are the events and recipients of notices.
func told(notices []notify.Notice) []string {
	var all []string
	for _, n := range notices {
		text := n.Event + " to " + n.To
		if n.Again {
			text += " again"
		}
		all = append(all, text)
	}
	return all
}

// remember takes note of notices as delivered.
func remember(m notify.Memory, notices []notify.Notice, at time.Time) notify.Memory {
	for _, n := range notices {
		m = m.Note(notify.Told{Key: n.Key, At: at})
	}
	return m
}

func TestDue_TellsAWaitOnceAfterAGraceAndReminds(t *testing.T) {
	t.Parallel()
	f := facts(rollout.Switching, waits(spec.GateApproval, "release", "security", noon), waits(spec.GateWait, "migration", "", noon))
	f.Spec.Notify.Events = []string{spec.EventWaiting}
	var m notify.Memory
	var got []string
	for at := noon; at.Before(noon.Add(75 * time.Minute)); {
		due, wake := notify.Due(f, m, at)
		m = remember(m, due, at)
		for _, n := range told(due) {
			got = append(got, at.Sub(noon).String()+" "+n)
		}
		if len(due) == 0 {
			if !wake.After(at) {
				t.Fatalf("at %s, nothing is due and the next look is at %s", at, wake)
			}
			at = wake
		}
	}
	want := []string{
		"10s waiting to web-team", "10s waiting to security", "10s waiting to web-team",
		"10m10s waiting to web-team again", "20m10s waiting to web-team again", "30m10s waiting to web-team again",
		"40m10s waiting to web-team again", "50m10s waiting to web-team again", "1h0m10s waiting to web-team again",
		"1h0m10s waiting to security again", "1h0m10s waiting to web-team again", "1h10m10s waiting to web-team again",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestDue_TellsWhomTheSpecNames(t *testing.T) {
	t.Parallel()
	f := facts(rollout.Switching, waits(spec.GateApproval, "release", "security", noon))
	later := noon.Add(time.Minute)
	for name, c := range map[string]struct {
		change func(*spec.Service)
		want   []string
	}{
		"owners":   {func(*spec.Service) {}, []string{"begun to web-team", "waiting to web-team", "waiting to security"}},
		"names":    {func(s *spec.Service) { s.Notify.To = []string{"oncall"} }, []string{"begun to oncall", "waiting to oncall"}},
		"nobody":   {func(s *spec.Service) { s.Owner = "" }, []string{"waiting to security"}},
		"the same": {func(s *spec.Service) { s.Owner = "security" }, []string{"begun to security", "waiting to security"}},
		"nothing":  {func(s *spec.Service) { s.Notify.Events = nil }, nil},
	} {
		f := f
		c.change(&f.Spec)
		if due, _ := notify.Due(f, notify.Memory{}, later); !slices.Equal(told(due), c.want) {
			t.Errorf("%s: got %q, want %q", name, told(due), c.want)
		}
	}
}

func TestDue_TellsNotThePast(t *testing.T) {
	t.Parallel()
	done := facts(rollout.Done)
	done.Record.ProvedAt = noon
	halted := facts(rollout.Halted)
	halted.Record.Halt = &rollout.Halt{Phase: rollout.Canary, By: "alert HighErrorRate", Why: "errors", At: noon}
	for late, want := range map[time.Duration][2]int{time.Minute: {3, 2}, 2 * time.Hour: {0, 1}} {
		if due, _ := notify.Due(done, notify.Memory{}, noon.Add(late)); len(due) != want[0] {
			t.Errorf("done, %s later: %q", late, told(due))
		}
		// What still is so is not the past.
		if due, _ := notify.Due(halted, notify.Memory{}, noon.Add(late)); len(due) != want[1] {
			t.Errorf("halted, %s later: %q", late, told(due))
		}
	}
}

func TestEvents_HaveARollbackOfARolloutThatHasEnded(t *testing.T) {
	t.Parallel()
	f := facts(rollout.Done)
	if got := names(notify.Events(f)); !slices.Equal(got, []string{"begun", "done"}) {
		t.Errorf("got %q", got)
	}
	before := f
	f.Live = &pools.Live{Service: "web", Pool: spec.Blue, Version: "1.0.0", Rollout: "r1", RolledBack: true, By: "bob", Why: "slow", At: noon.Add(time.Hour)}
	if got := names(notify.NewEvents(before, f)); !slices.Equal(got, []string{"rolledback"}) {
		t.Errorf("got %q", got)
	}
	f.Live.Rollout = "r0"
	if got := notify.NewEvents(before, f); len(got) != 0 {
		t.Errorf("another rollout's: got %q", names(got))
	}
}

func names(events []notify.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Name)
	}
	return all
}

// TestDue_TellsEachThingOnceWhoeverTells goes through random histories, with tellers
// that die after they have told and before they wrote that down.
func TestDue_TellsEachThingOnceWhoeverTells(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		f := facts(rollout.Queued)
		f.Spec.Notify.Remind = spec.Duration(rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(t, "remind"))
		var m notify.Memory
		times := make(map[string]int) // by key: how often it was told
		last := make(map[string]time.Time)
		deaths := 0
		happened := make(map[string]bool) // all that ever was to be told
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(rapid.SampledFrom([]time.Duration{0, time.Second, 11 * time.Second, 5 * time.Minute}).Draw(t, "pause"))
			r := *f.Record
			f.Record = &r
			if !r.Phase.Ended() {
				switch rapid.IntRange(0, 6).Draw(t, "what") {
				case 0:
					r.Gates = append(slices.Clone(r.Gates), waits(spec.GateApproval, fmt.Sprint("gate", len(r.Gates)), "security", now))
				case 1:
					r.Gates = slices.Clone(r.Gates)
					for i := range r.Gates {
						r.Gates[i].Outcome = rollout.GatePassed
					}
				case 2:
					r.Phase, r.Entered, r.Halt = rollout.Halted, now, &rollout.Halt{At: now}
				case 3:
					r.Phase, r.Entered, r.Halt = rollout.Switching, now, nil
				case 4:
					if r.ProvedAt.IsZero() {
						r.ProvedAt = now
					}
				case 5:
					r.Phase, r.Entered = rapid.SampledFrom([]rollout.Phase{rollout.Done, rollout.Failed, rollout.RolledBack}).Draw(t, "end"), now
				}
			}
			for _, e := range notify.Events(f) {
				if e.Name != spec.EventWaiting {
					happened[e.Name+e.Since.String()] = true
				}
			}
			due, wake := notify.Due(f, m, now)
			for _, n := range due {
				k := n.String()
				if times[k] > 0 && n.Again != true && deaths == 0 {
					t.Fatalf("%s is told twice", k)
				}
				if n.Again && now.Sub(last[k]) < f.Spec.Notify.Remind.Std() {
					t.Fatalf("%s is told again after %s", k, now.Sub(last[k]))
				}
				times[k]++
				last[k] = now
			}
			if rapid.IntRange(0, 9).Draw(t, "dies") == 0 && len(due) > 0 {
				deaths++
				now = now.Add(time.Second)
				due, wake = notify.Due(f, m, now) // another one tells it again
				for _, n := range due {
					last[n.String()] = now
				}
			}
			m = remember(m, due, now)
			if again, _ := notify.Due(f, m, now); len(again) > 0 {
				t.Fatalf("after all was told, %q is due", told(again))
			}
			if !wake.IsZero() && !wake.After(now) {
				t.Fatalf("the next look is not later than now")
			}
		}
		due, _ := notify.Due(f, m, now)
		m = remember(m, due, now)
		said := make(map[string]bool)
		for _, what := range m.Told {
			said[what.Event+what.Since.String()] = true
		}
		for what := range happened {
			if !said[what] {
				t.Fatalf("%s was never told", what)
			}
		}
	})
}

func TestMemory_IsBoundedAndReadAgain(t *testing.T) {
	t.Parallel()
	var m notify.Memory
	for i := range 1000 {
		m = m.Note(notify.Told{Key: notify.Key{Rollout: fmt.Sprint("r", i), Event: spec.EventDone, To: "web"}, At: noon})
	}
	if len(m.Told) != 200 || m.Rollout() != "r999" {
		t.Errorf("%d are kept, the last one of %s", len(m.Told), m.Rollout())
	}
	if _, err := notify.ParseMemory([]byte("{")); err == nil {
		t.Error("nonsense is read")
	}
	if m, err := notify.ParseMemory(nil); err != nil || m.Rollout() != "" {
		t.Errorf("nothing: %v %v", m, err)
	}
}
