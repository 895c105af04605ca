package train

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/pools"
	"switchd/rollout"
)

// Fact is what is known of one car's service.
type Fact struct {
	Live    *pools.Live     // nil: nothing is live
	Current *rollout.Record // the service's current or last rollout; nil: none
	Own     *rollout.Record // the car's own rollout; nil: it has none, or it is gone
}

// busy is the rollout of the service that is under way, nil if none is.
func (f Fact) busy() *rollout.Record {
	if f.Current == nil || f.Current.Phase.Ended() {
		return nil
	}
	return f.Current
}

// leads tells whether users are on a version.
func (f Fact) leads(version string) bool { return f.Live != nil && f.Live.Version == version }

// Step is what is to be done next for a train: one write.
type Step struct {
	// Train is to be written; nil: it is as it should be.
	Train *Train
	// Start is the car whose rollout is to begin in the same transaction; see
	// Train.Begin. Empty: none.
	Start string
}

// Plan brings a train up to the facts, which are by service, and says which
// car is to start next. It is pure: nothing is changed.
func Plan(t *Train, facts map[string]Fact, now time.Time) Step {
	if !t.Ended.IsZero() {
		return Step{}
	}
	p := plan{train: t.clone(), facts: facts, now: now}
	for i := range p.train.Cars {
		p.follow(&p.train.Cars[i])
	}
	for i := range p.train.Cars {
		p.queue(&p.train.Cars[i])
	}
	if p.train.end(now) {
		p.changed = true
	}
	if !p.changed && p.start == "" {
		return Step{}
	}
	return Step{Train: p.train, Start: p.start}
}

// plan is one run of Plan; train is a copy that it may change.
type plan struct {
	train   *Train
	facts   map[string]Fact
	now     time.Time
	running int // rollouts under way
	start   string
	changed bool
}

func (p *plan) set(car *Car, state State, why string) {
	if car.become(state, why, p.now) {
		p.changed = true
	}
}

// follow brings a car to where its rollout is.
func (p *plan) follow(car *Car) {
	if car.State.Ended() || car.Rollout == "" {
		return
	}
	fact := p.facts[car.Service]
	own := fact.Own
	if own == nil {
		p.set(car, Failed, fmt.Sprintf("rollout %s was removed from Consul; its outcome is not known", car.Rollout))
		return
	}
	switch own.Phase {
	case rollout.Done:
		p.set(car, Done, own.Outcome)
	case rollout.Failed:
		p.set(car, Failed, own.Outcome)
	case rollout.RolledBack:
		p.set(car, RolledBack, own.Outcome)
	case rollout.Halted:
		why := "halted"
		if own.Halt != nil {
			why = fmt.Sprintf("in %s, by %s: %s", own.Halt.Phase, own.Halt.By, own.Halt.Why)
		}
		p.set(car, Halted, why)
	case rollout.Converging:
		p.running++
		if fact.leads(car.Version) {
			p.set(car, Baked, "")
		}
	default:
		p.running++
		p.set(car, Runs, "")
	}
}

// queue says what a car that has not started waits for, or has it start.
func (p *plan) queue(car *Car) {
	if car.State != Waits {
		return
	}
	fact := p.facts[car.Service]
	busy := fact.busy()
	if p.train.Back != nil {
		p.set(car, Dropped, dropped)
		return
	}
	if busy == nil && fact.leads(car.Version) {
		p.set(car, Done, "is live already")
		return
	}
	if why := p.broken(car); why != "" {
		p.set(car, Stopped, why)
		return
	}
	switch missing := p.missing(car); {
	case len(missing) > 0:
		p.set(car, Waits, "for "+strings.Join(missing, " and "))
	case busy != nil:
		why := fmt.Sprintf("for the end of the rollout of %s, begun by %s", busy.Service+" "+busy.Version, busy.By)
		if busy.Phase == rollout.Halted {
			why += ", which is halted"
		}
		p.set(car, Waits, why)
	case p.running >= p.train.Parallel:
		p.set(car, Waits, fmt.Sprintf("for others of the train: %d may be under way at a time", p.train.Parallel))
	default:
		p.running++
		if p.start == "" {
			p.start = car.Service
			return
		}
		p.set(car, Waits, Turn) // which is next
	}
}

// broken says what of those that a car depends on went wrong, at the root of
// it; empty: nothing.
func (p *plan) broken(car *Car) string {
	for _, dep := range p.train.Needs(car.Service) {
		switch dep.State {
		case Failed, RolledBack:
			return fmt.Sprintf("%s %s", dep.Release(), dep.State.past())
		case Done, Baked:
			if fact := p.facts[dep.Service]; !fact.leads(dep.Version) {
				return fmt.Sprintf("%s is not live any more, but %s", dep.Release(), fact.Live.Side())
			}
		case Stopped, Dropped:
			return dep.Why
		case Waits, Runs, Halted:
		}
	}
	return ""
}

// missing are those that a car has to wait for: the nearest ones, or those
// beyond where the nearest ones were live already.
func (p *plan) missing(car *Car) []string {
	var near, far []string
	for _, dep := range p.train.Needs(car.Service) {
		text := dep.Release()
		switch dep.State {
		case Halted:
			text += " (halted)"
		case Waits, Runs:
		case Baked, Done, Failed, RolledBack, Stopped, Dropped:
			continue
		}
		if slices.Contains(car.After, dep.Service) {
			near = append(near, text)
		} else {
			far = append(far, text)
		}
	}
	if len(near) > 0 {
		return near
	}
	return far
}
