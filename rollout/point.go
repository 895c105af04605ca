package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/spec"
	"switchd/window"
)

// pointConverge labels a point that isn't one of the spec's.
const pointConverge = "converge" // spec.PointRoll once more, for the other pool

// pointWeight labels the point before a share of the users is given.
func pointWeight(share int) string { return fmt.Sprintf("%s %d", spec.PointWeight, share) }

// goesOn is what happens when a window opens.
const goesOn = "it goes on"

// hold keeps the rollout at a point until all gates pass in the same plan. It is
// asked in each plan until the rollout has gone on: a gate that has passed may
// be lost again meanwhile, as a window closes and a consent expires.
//
// The phase's own time stands still as long as the rollout is held. Each gate has
// its own, from when the rollout came to it, or from when it was lost again; it
// stands still while a window at the point is shut.
func (p *plan) hold(label string, gates []spec.Gate) (Decision, bool) {
	var open []string
	first := deadline{} // the gate that runs out first
	moved := p.undeclared(label, gates)
	var passed []GateState
	var facts []string // that they have passed on
	windows := p.windows(gates)
	shut := false // one of them
	for _, g := range gates {
		f := p.find(g)
		p.wake = Earlier(p.wake, f.changes)
		state, changed := p.found(label, g, f, windows)
		moved = moved || changed
		switch f.outcome {
		case GateDenied:
			return p.denied(label, state), true
		case GateWaits:
			open = append(open, fmt.Sprintf("%s %s: %s", g.Kind, g.Name, f.why))
			switch {
			case g.Kind != spec.GateWindow:
				first = first.or(deadline{state.Until, state.Then})
			case f.changes.IsZero():
				return p.stop(Controller, fmt.Sprintf("window %s lets nothing go on: %s", g.Name, f.why)), true
			default:
				shut = true
			}
		default:
			passed = append(passed, state)
			facts = append(append(facts, state.String()), f.facts...)
		}
	}
	opens := time.Time{} // zero: no window is shut
	if shut {
		if opens = window.Together(windows, p.now); opens.IsZero() {
			var names []string
			for _, w := range windows {
				names = append(names, w.Name)
			}
			return p.stop(Controller, fmt.Sprintf("windows %s are never open at the same time; have one of them changed, or go around it: `switchd promote %s %s --bypass %s --why TEXT`",
				strings.Join(names, " and "), p.record.Service, p.record.Version, names[0])), true
		}
	}
	if moved {
		p.news = "take note of the gates at " + label
	}
	if len(open) == 0 {
		if moved || p.record.Held != nil {
			p.passed(label, passed, facts)
		}
		p.release()
		return Decision{}, false
	}
	p.arrive(label, first)
	until, then := first.at, first.then
	if until.IsZero() {
		until, then = opens, goesOn
	}
	d := p.waitUntil("for "+strings.Join(open, "; ")+p.outlook(), until, then)
	d.Wake = first.at
	return d, true
}

// windows are those at a point that nobody goes around.
func (p *plan) windows(gates []spec.Gate) []spec.Window {
	var windows []spec.Window
	for _, g := range gates {
		if _, bypassed := p.bypass(g.Name); g.Kind == spec.GateWindow && !bypassed {
			windows = append(windows, *g.Window)
		}
	}
	return windows
}

// undeclared forgets gates that were waited for at a point and stand there no
// more: nobody waits for them, and they can't run out.
func (p *plan) undeclared(label string, gates []spec.Gate) bool {
	r := p.record
	gone := false
	r.Gates = slices.DeleteFunc(r.Gates, func(s GateState) bool {
		if s.Point != label || s.Outcome != GateWaits || s.Since.Before(r.Entered) ||
			slices.ContainsFunc(gates, func(g spec.Gate) bool { return g.Name == s.Name && g.Kind == s.Kind }) {
			return false
		}
		gone = true
		r.note(p.now, fmt.Sprintf("%s %s is not waited for any more at %s: the spec has been changed", s.Kind, s.Name, label))
		return true
	})
	return gone
}

// deadline is when something happens, and what.
type deadline struct {
	at   time.Time
	then string
}

// or is the earlier one.
func (d deadline) or(other deadline) deadline {
	if d.at.IsZero() || !other.at.IsZero() && other.at.Before(d.at) {
		return other
	}
	return d
}

// Earlier is the earlier one of two times, of which zero is none.
func Earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// arrive holds the rollout at a point. The phase's time stands still, and the
// gates' begins.
func (p *plan) arrive(label string, first deadline) {
	r := p.record
	if r.Held != nil && r.Held.Point != label {
		p.release()
	}
	if r.Held == nil {
		r.Held = &Held{Point: label, Since: p.now}
		if !r.Deadline.IsZero() {
			r.Held.Left = r.Deadline.Sub(p.now)
		}
		r.Wait = nil
		p.news = "wait at " + label
	}
	if !r.Deadline.Equal(first.at) || r.Then != first.then {
		r.Deadline, r.Then = first.at, first.then
		p.news = "wait at " + label
	}
}

// release has the phase's own time run on.
func (p *plan) release() {
	r := p.record
	if r.Held == nil {
		return
	}
	r.Deadline, r.Then = time.Time{}, ""
	if r.Held.Left > 0 {
		r.Deadline, r.Then = p.now.Add(r.Held.Left), p.Spec.Deadlines[string(r.Phase)].Then
	}
	r.Held, r.Wait = nil, nil
	p.news = "go on"
}

// passed notes that all gates of a point have, each with what it was decided
// on.
func (p *plan) passed(label string, states []GateState, facts []string) {
	var names []string
	for _, s := range states {
		name := s.Name
		if s.Outcome == GateBypassed {
			name += " (bypassed)"
		}
		names = append(names, name)
	}
	if len(names) > 0 {
		p.record.note(p.now, fmt.Sprintf("gates at %s passed: %s", label, list(names)), facts...)
	}
}

// refused notices a no that was said before the rollout comes to its gate. It
// could but fail there, and users would have got it first. After the switch, what
// is ahead is asked when it is come to: until then a rollback is as near.
func (p *plan) refused() (Decision, bool) {
	if !p.record.SwitchedAt.IsZero() {
		return Decision{}, false
	}
	for _, g := range p.Spec.Gates() {
		if g.Kind != spec.GateApproval || !p.ahead(g) {
			continue
		}
		if f := p.find(g); f.outcome == GateDenied {
			label := g.At[0]
			if h := p.record.Held; h != nil && p.record.state(h.Point, g.Name) >= 0 {
				label = h.Point
			}
			state, _ := p.found(label, g, f, nil)
			return p.denied(label, state), true
		}
	}
	return Decision{}, false
}

// denied is what happens when somebody says no. Before the switch that ends the
// rollout, after it users go back. Once the old pool is to be rolled, users have
// had the new version through the whole bake: then it is a person's turn.
func (p *plan) denied(label string, state GateState) Decision {
	why := state.String()
	switch {
	case p.record.SwitchedAt.IsZero():
		return p.fail(why)
	case label == spec.PointSwitched && p.canGoBack():
		return p.back(why)
	default:
		return p.stop(Controller, why)
	}
}

// canGoBack tells whether the former pool can have the users again.
func (p *plan) canGoBack() bool {
	return p.record.From.Pool != "" && p.canServe(p.Pools, p.record.From) == nil
}

// runOut takes note of the gates whose deadline has passed, and says so.
func (p *plan) runOut() string {
	var over []string
	for i := range p.record.Gates {
		g := &p.record.Gates[i]
		if !p.record.Waits(*g) || g.Kind == spec.GateWindow || g.Until.IsZero() || p.now.Before(g.Until) {
			continue
		}
		g.Outcome, g.At = GateExpired, p.now
		text := fmt.Sprintf("%s %s was waited for longer than %s", g.Kind, g.Name, g.Patience.Std())
		if g.Until.Sub(g.Since) > g.Patience.Std() {
			text += fmt.Sprintf(" (since %s, without the time in which a window was shut)", g.Since.UTC().Format(time.RFC3339))
		}
		over = append(over, text+": "+g.Why)
	}
	return strings.Join(over, "; ")
}

// Waiting are the gates that the rollout is held by now.
func (r *Record) Waiting() []GateState {
	var waiting []GateState
	for _, g := range r.Gates {
		if r.Waits(g) {
			waiting = append(waiting, g)
		}
	}
	return waiting
}

// Waits tells whether the rollout is held by the gate now.
func (r *Record) Waits(g GateState) bool {
	return r.Held != nil && g.Point == r.Held.Point && g.Outcome == GateWaits && !g.Since.Before(r.Entered)
}
