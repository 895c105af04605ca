package upstream_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/upstream"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// staging is a model of an environment in which one service is released, rolled
// back and promoted again. It knows since when its live version is done and live
// without a break, without looking at the records.
type staging struct {
	now    time.Time
	live   *pools.Live
	former string // what a rollback leads to; "": nothing
	past   []*rollout.Record
	record *rollout.Record
	since  time.Time            // of the truth; zero: not done
	done   map[string]bool      // versions whose last rollout that led users there is done
	begun  map[string]time.Time // by version: that rollout's begin
	n      int
}

func newStaging() *staging {
	return &staging{now: noon, done: map[string]bool{}, begun: map[string]time.Time{}}
}

func (s *staging) side() upstream.Side {
	return upstream.Side{Live: s.live, Record: s.record, Past: s.past}
}

func (s *staging) running() bool { return s.record != nil && !s.record.Phase.Ended() }

// end ends the rollout under way, whose record stays the last one and goes into
// the history.
func (s *staging) end(phase rollout.Phase) {
	s.record.Phase, s.record.Entered, s.record.Outcome = phase, s.now, "drawn"
	s.past = append(s.past, s.record)
}

// touch is an arming, a weight, or the end of one: only the time changes.
func (s *staging) touch() {
	if s.live != nil {
		s.live = s.live.Next("test", s.now)
	}
}

func (s *staging) lead(version string, back bool) {
	next := s.live.Next("test", s.now)
	next.Service, next.Pool, next.Version, next.RolledBack = "web", spec.Blue, version, back
	s.live = next
}

// step does one thing that can happen.
func (s *staging) step(t *rapid.T) {
	s.now = s.now.Add(time.Duration(rapid.IntRange(1, 7200).Draw(t, "seconds")) * time.Second)
	switch rapid.IntRange(0, 5).Draw(t, "event") {
	case 0: // promote
		version := fmt.Sprintf("%d.0.0", rapid.IntRange(1, 4).Draw(t, "version"))
		if s.running() || s.live != nil && s.live.Version == version {
			return
		}
		s.n++
		s.record = &rollout.Record{ID: fmt.Sprintf("r%d", s.n), Service: "web", Version: version, Phase: rollout.Staging, At: s.now, Entered: s.now}
	case 1: // switch, or the end
		switch {
		case !s.running():
		case s.record.SwitchedAt.IsZero():
			r := *s.record
			s.record = &r
			s.record.Phase, s.record.Entered, s.record.SwitchedAt = rollout.Baking, s.now, s.now
			if s.former = ""; s.live != nil {
				s.former = s.live.Version
			}
			s.lead(r.Version, false)
			s.since, s.done[r.Version], s.begun[r.Version] = time.Time{}, false, r.At
		default:
			r := *s.record
			s.record = &r
			s.end(rollout.Done)
			s.touch()
			s.since, s.done[r.Version] = s.now, true
		}
	case 2: // it fails before the switch
		if s.running() && s.record.SwitchedAt.IsZero() {
			r := *s.record
			s.record = &r
			s.end(rollout.Failed)
			s.touch()
		}
	case 3: // rollback of what is live
		if s.former == "" || s.running() && s.record.SwitchedAt.IsZero() {
			return
		}
		back := s.former
		s.former = ""
		if s.running() {
			r := *s.record
			s.record = &r
			s.end(rollout.RolledBack)
			s.done[r.Version] = false
		}
		s.lead(back, true)
		s.since = time.Time{}
		if s.done[back] {
			s.since = s.now
		}
	case 4:
		s.touch()
	case 5: // halted, resumed
		if s.running() {
			r := *s.record
			s.record = &r
			if r.Phase == rollout.Halted {
				s.record.Phase = r.Halt.Phase
			} else {
				s.record.Phase, s.record.Halt = rollout.Halted, &rollout.Halt{Phase: r.Phase, Why: "drawn"}
			}
		}
	}
}

func TestStand_NeverCountsMoreTimeThanTheVersionWasDoneAndLive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStaging()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s.step(t)
			got := upstream.Stand(s.side())
			switch {
			case s.live == nil:
				if got != (upstream.Standing{}) {
					t.Fatalf("nothing is live, got %+v", got)
				}
				continue
			case got.Version != s.live.Version:
				t.Fatalf("got version %s, %s is live", got.Version, s.live.Version)
			case got.Done.IsZero() == (got.Missing == ""):
				t.Fatalf("either done or not, for a reason: %+v", got)
			case s.since.IsZero() && !got.Done.IsZero():
				t.Fatalf("%s is not done, or was left: got %+v", s.live.Version, got)
			case !s.since.IsZero() && got.Done.Before(s.since):
				t.Fatalf("done since %s, got %s", s.since, got.Done)
			case !s.since.IsZero() && got.Done.IsZero():
				t.Fatalf("%s is done since %s, got %+v", s.live.Version, s.since, got)
			case !got.Done.IsZero() && got.Done.After(s.now):
				t.Fatalf("it is %s, got %+v", s.now, got)
			}
		}
	})
}

func TestStand_NeedsNoHistoryWhereTheLastRolloutMadeTheVersionLive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStaging()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s.step(t)
		}
		last := upstream.Side{Live: s.live, Record: s.record}
		if last.NeedsPast() {
			return
		}
		whole, part := upstream.Stand(s.side()), upstream.Stand(last)
		if whole != part {
			t.Fatalf("with its history %+v, without %+v", whole, part)
		}
	})
}

func TestStand_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	made := func(phase rollout.Phase) *rollout.Record {
		return &rollout.Record{ID: "r1", Version: "2.0.0", Phase: phase, SwitchedAt: noon, Outcome: "too slow", Halt: &rollout.Halt{Why: "an alert"}}
	}
	live := &pools.Live{Version: "2.0.0", At: noon}
	for want, side := range map[string]upstream.Side{
		"under way (baking)":      {Live: live, Record: made(rollout.Baking)},
		"is halted: an alert":     {Live: live, Record: made(rollout.Halted)},
		"failed: too slow":        {Live: live, Record: made(rollout.Failed)},
		"no rollout that made it": {Live: live, Record: &rollout.Record{ID: "r2", Version: "3.0.0"}},
	} {
		if got := upstream.Stand(side).Missing; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestOlder_NeverGoesBack holds it to the order in which versions came to be in
// the other environment, and to the choice of whoever put another one here.
func TestOlder_NeverGoesBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStaging()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			s.step(t)
		}
		if s.live == nil {
			return
		}
		standing := upstream.Stand(s.side())
		version := rapid.SampledFrom([]string{"1.0.0", "2.0.0", "3.0.0", "4.0.0", "hotfix"}).Draw(t, "here")
		chosen := noon.Add(time.Duration(rapid.IntRange(0, 40*7200).Draw(t, "chosen")) * time.Second)
		here := upstream.Side{
			Live:   &pools.Live{Version: version, At: chosen.Add(time.Hour)},
			Record: &rollout.Record{ID: "h1", Version: version, At: chosen, SwitchedAt: chosen, Phase: rollout.Done},
		}
		older := upstream.Older(s.side(), standing, here, standing.Done)
		switch began, there := s.begun[version]; {
		case version == s.live.Version:
			if older != "" {
				t.Fatalf("the same version: %s", older)
			}
		case there:
			if newer := s.begun[s.live.Version].After(began); newer != (older == "") {
				t.Fatalf("%s began at %s, %s at %s: %q", s.live.Version, s.begun[s.live.Version], version, began, older)
			}
		default:
			if newer := standing.Done.After(chosen); newer != (older == "") {
				t.Fatalf("done at %s, %s was chosen at %s: %q", standing.Done, version, chosen, older)
			}
		}
		if upstream.Older(s.side(), standing, upstream.Side{}, standing.Done) != "" {
			t.Fatal("a new environment must be able to take it")
		}
	})
}

// names are the first letters.
func names(n int) []string {
	var list []string
	for i := range n {
		list = append(list, string(rune('a'+i)))
	}
	return slices.Clip(list)
}
