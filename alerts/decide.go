package alerts

import (
	"errors"
	"slices"
	"strings"
	"time"

	"switchd/rollout"
	"switchd/spec"
)

// Effect is what came of an alert, for one service.
type Effect string

// The effects of alerts.
const (
	Halted     Effect = "halted"
	RolledBack Effect = "rolled_back"
	Resumed    Effect = "resumed"
	// NoService is of an alert that no service's matchers are met by.
	NoService Effect = "no_service"
	// NoRollout is where nothing is under way.
	NoRollout Effect = "no_rollout"
	// Standing is where the rollout is halted already.
	Standing Effect = "standing"
	// Older is of an alert that began before the rollout, or before somebody
	// has resumed it: whoever did that could know of it.
	Older Effect = "older"
	// Resolved is of an alert that doesn't fire any more.
	Resolved Effect = "resolved"
	// NoEvidence is of an alert that says that nothing is known.
	NoEvidence Effect = "no_evidence"
	// Unreadable is of what is no alert.
	Unreadable Effect = "unreadable"
	// Failed is where the effect could not be had, and is to be tried again.
	Failed Effect = "failed"
)

// acts tells whether the effect is a change of a rollout.
func (e Effect) acts() bool { return e == Halted || e == RolledBack || e == Resumed }

// decide says what each of the firing alerts does to a service's rollout. One
// of them at most acts; it is at index act, which is -1 for none.
func decide(s spec.Service, env string, r *rollout.Record, alerts []Alert) (effects []Effect, act int) {
	effects, act = make([]Effect, len(alerts)), -1
	underWay := r != nil && !r.Phase.Ended()
	var blocks []met
	if underWay {
		blocks = inForce(s, env, r)
	}
	for i, a := range alerts {
		effects[i] = NoRollout
		if underWay {
			effects[i] = decideOne(r, metBy(blocks, a), a)
		}
		if effects[i].acts() && (act < 0 || effects[i] == RolledBack && effects[act] != RolledBack) {
			act = i
		}
	}
	for i := range effects {
		if effects[i].acts() && i != act {
			effects[i] = Standing
		}
	}
	return effects, act
}

func decideOne(r *rollout.Record, blocks []met, a Alert) Effect {
	switch {
	case len(blocks) == 0:
		return NoService
	case !a.StartsAt.After(since(r)) || has(r, a):
		return Older
	case baking(r) && slices.ContainsFunc(blocks, func(b met) bool { return b.Then == spec.ThenRollback }):
		return RolledBack
	case r.Phase == rollout.Halted:
		return Standing
	default:
		return Halted
	}
}

// since is when somebody last said that the rollout is to go on: when it was
// begun, or last resumed. An alert that fired then is accepted, or is what the
// new version is to mend; each repetition of it would halt the rollout again.
func since(r *rollout.Record) time.Time {
	last := r.At
	for i := 1; i < len(r.Timeline); i++ {
		if r.Timeline[i-1].Phase == rollout.Halted && r.Timeline[i].Phase != rollout.Halted {
			last = r.Timeline[i].At
		}
	}
	return last
}

// has tells whether the alert has had its effect on the rollout already, which
// its beginning doesn't tell where the clocks differ.
func has(r *rollout.Record, a Alert) bool {
	id := "[" + a.ID() + "]"
	return slices.ContainsFunc(r.Timeline, func(e rollout.Event) bool { return strings.Contains(e.What, id) })
}

// baking tells whether users are on the new version and the old one is still
// untouched.
func baking(r *rollout.Record) bool {
	phase := r.Phase
	if phase == rollout.Halted && r.Halt != nil {
		phase = r.Halt.Phase
	}
	return !r.SwitchedAt.IsZero() && (phase == rollout.Switching || phase == rollout.Draining || phase == rollout.Baking)
}

// errNothing ends an operation that has nothing to do after all.
var errNothing = errors.New("there is nothing to do any more")

// change makes the change for an alert: a rollback if that was decided and the
// former pool can serve, a halt otherwise.
func change(s rollout.Situation, a Alert, effect Effect, now time.Time) (*rollout.Change, Effect, error) {
	var note string
	if effect == RolledBack {
		c, err := rollout.Rollback(s, a.by(), a.by()+": "+a.why(""), now)
		if err == nil && c.Live != nil {
			return c, RolledBack, nil
		}
		if _, refused := errors.AsType[*rollout.Refusal](err); err != nil && !refused {
			return nil, Failed, err
		}
		note = "not rolled back: there is no former release"
		if err != nil {
			note = err.Error()
		}
	}
	if s.Record.Phase == rollout.Halted {
		return nil, Standing, errNothing
	}
	c, err := rollout.StopRollout(s, a.by(), a.why(note), now)
	return c, Halted, err
}

// resumable tells whether it was this alert that has halted the rollout,
// nothing has happened since, and the service wants it to go on by itself.
func resumable(s spec.Service, env string, r *rollout.Record, a Alert) bool {
	if r == nil || r.Phase != rollout.Halted || r.Halt == nil || len(r.Timeline) == 0 {
		return false
	}
	last := r.Timeline[len(r.Timeline)-1]
	return strings.HasSuffix(r.Halt.Why, "["+a.ID()+"]") && last.At.Equal(r.Halt.At) &&
		slices.ContainsFunc(metBy(inForce(s, env, r), a), func(b met) bool { return b.Resume })
}
