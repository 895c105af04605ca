package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/spec"
	"switchd/window"
)

// found brings the record's state of a gate up to what was found. It tells
// whether the outcome is another one, or what happens next. The gate's time runs
// while all windows are open.
func (p *plan) found(label string, g spec.Gate, f finding, windows []spec.Window) (GateState, bool) {
	r := p.record
	i := r.state(label, g.Name)
	if i < 0 {
		r.Gates = append(r.Gates, GateState{Name: g.Name, Kind: g.Kind, Owner: g.Owner, Point: label, Since: p.now})
		i = len(r.Gates) - 1
	}
	was, s := r.Gates[i], &r.Gates[i]
	s.Why, s.By = clip(f.why), bounded(f.by)
	if s.Outcome != f.outcome {
		if was.Outcome != "" && f.outcome == GateWaits {
			s.Since = p.now // it is lost again
		}
		s.Outcome, s.At = f.outcome, p.now
		if f.outcome == GateBypassed {
			p.record.note(p.now, s.String(), append(slices.Clone(f.facts), p.healthFacts()...)...)
		}
	}
	s.Until, s.Then, s.Patience = time.Time{}, "", 0
	if s.Outcome == GateWaits {
		s.At = time.Time{}
		s.Until, s.Then = f.changes, goesOn
		if g.Kind != spec.GateWindow {
			after, then := patience(g)
			s.Patience = spec.Duration(after)
			s.Until, s.Then = window.After(windows, s.Since, after), then
			if s.Until.IsZero() {
				s.Until = s.Since.Add(window.Horizon) // they are open for too little of it
			}
			if was.Outcome == GateWaits && was.Patience == s.Patience && s.Until.Before(was.Until) {
				// Its windows were changed, or somebody went around them. The time
				// in which they were shut stays out of the count.
				s.Until = was.Until
			}
		}
	}
	moved := was.Outcome != s.Outcome || !was.Until.Equal(s.Until)
	state := *s
	r.boundGates(label)
	return state, moved
}

// patience is how long a gate is waited for, and what happens then. A gate
// without a deadline is one that no input can declare; it is not waited for for
// ever.
func patience(g spec.Gate) (time.Duration, string) {
	const most = 24 * time.Hour
	after, then := g.Deadline.After.Std(), g.Deadline.Then
	if after <= 0 {
		after = most
	}
	if then == "" {
		then = spec.ThenHalt
	}
	return after, then
}

// state is where the gate's present state at a point is, -1 if there is none.
// One from before the phase was entered, and so from before a halt, is not of the
// present.
func (r *Record) state(label, name string) int {
	for i, s := range slices.Backward(r.Gates) {
		if s.Point == label && s.Name == name {
			if s.Since.Before(r.Entered) {
				break
			}
			return i
		}
	}
	return -1
}

// decided takes down what became of a gate that has a phase of its own.
func (p *plan) decided(name, label string, outcome GateOutcome, why string, by ...string) GateState {
	since := p.record.Entered
	if p.record.StepAt.After(since) {
		since = p.record.StepAt
	}
	s := GateState{
		Name: name, Kind: name, Point: label, Since: since,
		Outcome: outcome, Why: clip(why), By: by, At: p.now,
	}
	p.record.Gates = append(p.record.Gates, s)
	p.record.boundGates(label)
	return s
}

// boundGates keeps the newest states that there is room for, and in any case those
// of the point that the rollout is at: what is forgotten of it would be new in each
// plan, and never come to an end.
func (r *Record) boundGates(label string) {
	size := 0
	for i, s := range slices.Backward(r.Gates) {
		if s.Point == label && !s.Since.Before(r.Entered) {
			size += s.size()
			continue
		}
		if size += s.size(); size > maxGates || len(r.Gates)-i > maxStates {
			r.Gates = slices.Clone(r.Gates[i+1:])
			return
		}
	}
}

// size is about what the state takes as JSON, and never less.
func (s GateState) size() int {
	const frame = 300
	size := frame + quoted(s.Name) + quoted(s.Kind) + quoted(s.Owner) + quoted(s.Point) + quoted(s.Why)
	for _, by := range s.By {
		size += quoted(by)
	}
	return size
}

// Title names the gate to people, such as "approval owner" or "smoke".
func (s GateState) Title() string {
	if s.Kind == s.Name {
		return s.Name
	}
	return s.Kind + " " + s.Name
}

// String is the state for people, such as
// "approval owner denied by alice@desk: too late in the week".
func (s GateState) String() string {
	text := s.Title()
	if s.Outcome == GateWaits {
		text += " is waited for"
	} else {
		text += " " + string(s.Outcome)
	}
	if len(s.By) > 0 && (s.Outcome == GateDenied || s.Outcome == GateBypassed) {
		text += " by " + list(s.By)
	}
	if s.Why != "" {
		text += ": " + s.Why
	}
	return text
}

// person names somebody in the record: by what Consul protects, and by what
// they call themselves, which may be anything.
func person(who, by string) string {
	const most = 100 // bytes
	by = Clip(by, most)
	switch {
	case by == "" || by == who:
		return who
	case strings.HasPrefix(by, who+"@"), strings.HasPrefix(by, who+" ("):
		return by
	default:
		return fmt.Sprintf("%s [%s]", by, who)
	}
}

// bounded are the first of the people for whom there is room.
func bounded(people []string) []string {
	const most = 1 << 10 // bytes
	size := 0
	for i, name := range people {
		if size += quoted(name); i > 0 && size > most {
			return people[:i]
		}
	}
	return people
}
