package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/pools"
	"switchd/spec"
)

// Controller is the author of what the engine writes by itself.
const Controller = "switchd"

// Plan says what is to be done next for one service. It is pure: the same
// facts give the same decision, and nothing is changed.
func Plan(s Situation, now time.Time) Decision {
	if s.Record == nil || s.Record.Phase.Ended() {
		return Decision{}
	}
	p := plan{Situation: s, record: s.Record.clone(), now: now.UTC()}
	return p.decide()
}

// plan is one run of Plan; record is a copy that it may change.
type plan struct {
	Situation

	record *Record
	now    time.Time

	// look are the jobs of gates and of the measured share; they go on beside
	// whatever the phase wants.
	look []Job
	// news is what is to be written in any case, wake when to plan again at
	// the latest.
	news string
	wake time.Time
	// measured tells that the measured share is another one.
	measured bool
}

func (p *plan) decide() Decision {
	if d, changed := p.foreignWrite(); changed {
		return d
	}
	if p.record.Phase == Halted {
		return p.keepHalted()
	}
	if d, collapsed := p.collapse(); collapsed {
		return d
	}
	if p.record.SwitchedAt.IsZero() {
		if err := p.permits(p.record.Version); err != nil {
			return p.fail(err.Error())
		}
	}
	if d, refused := p.refused(); refused {
		return d
	}
	if !p.record.Deadline.IsZero() && !p.now.Before(p.record.Deadline) {
		return p.expire()
	}
	if d, changed := p.arm(); changed {
		return d
	}
	return p.besides(p.advance)
}

// advance is the phase's own next step.
func (p *plan) advance() Decision {
	switch p.record.Phase {
	case Queued:
		return p.queued()
	case Staging:
		return p.staging()
	case Rolling:
		return p.rolling(p.record.Pool, p.record.Members)
	case Smoke:
		return p.gated(JobSmoke, len(p.Spec.Smoke) > 0)
	case Warmup:
		return p.gated(JobWarmup, p.Spec.Warmup != nil)
	case Canary:
		return p.canary()
	case Switching:
		return p.switching()
	case Draining:
		return p.draining()
	case Baking:
		return p.baking()
	case Converging:
		return p.converging()
	case Done, Failed, RolledBack, Halted:
	}
	return Decision{}
}

// foreignWrite notices a live record that this rollout did not write: a
// rollback, which ends it, or a hand-made edit, which nobody but a person can
// judge.
func (p *plan) foreignWrite() (Decision, bool) {
	var generation uint64
	if p.Live != nil {
		generation = p.Live.Generation
	}
	if generation == p.record.Generation {
		return Decision{}, false
	}
	if p.Live != nil && p.Live.RolledBack && p.Live.Rollout == p.record.ID {
		p.record.Generation = generation
		p.end(RolledBack, p.Live.Why)
		return p.commit("take note of the rollback"), true
	}
	if p.record.Phase == Halted {
		return Decision{}, true
	}
	p.record.Generation = generation
	who := "somebody"
	if p.Live != nil {
		who = p.Live.By
	}
	p.halt(Controller, fmt.Sprintf("the live record was changed from outside (generation %d, by %s)", generation, who))
	return p.commit("halt: the live record was changed from outside"), true
}

// keepHalted holds users on the live pool while the rollout stands still.
func (p *plan) keepHalted() Decision {
	if p.Live == nil || len(p.Live.Weights) == 0 {
		return Decision{}
	}
	d := p.commit("take the weight back while halted")
	d.Change.Live = p.unweighted()
	p.record.Generation, d.Change.Live.Armed = d.Change.Live.Generation, p.Live.Armed
	return d
}

// expire does what the spec says for a deadline that has passed.
func (p *plan) expire() Decision {
	missing := "the phase did not end in time"
	if p.record.Wait != nil {
		missing = p.record.Wait.For
	}
	why := fmt.Sprintf("%s took longer than %s: %s", p.record.Phase, p.record.Deadline.Sub(p.record.Entered).Round(time.Second), missing)
	if p.record.Held != nil {
		why = p.runOut()
	}
	switch p.record.Then {
	case spec.ThenContinue:
		if p.record.Phase == Draining {
			p.record.note(p.now, why+"; going on as the spec allows")
			return p.enter(Baking)
		}
	case spec.ThenRollback:
		if p.record.SwitchedAt.IsZero() {
			return p.fail(why)
		}
		if p.canGoBack() {
			return p.back(why)
		}
		why += "; a rollback is not possible, the old pool can't serve"
	}
	return p.stop(Controller, why)
}

func (p *plan) job(kind JobKind) Job {
	return Job{Rollout: p.record.ID, Kind: kind, Attempt: p.record.Entered.UnixNano()}
}

func (p *plan) alive(pool, node string) bool {
	i := slices.IndexFunc(p.Members[pool], func(m Member) bool { return m.Node == node })
	return i >= 0 && p.Members[pool][i].Alive
}

// targetServes is promise "never empty", to be asked again at the write.
func (p *plan) targetServes() func(map[string]pools.Pool) error {
	situation, target := p.Situation, p.record.Target()
	return func(now map[string]pools.Pool) error { return situation.canServe(now, target) }
}

func (p *plan) healthFacts() []string {
	var facts []string
	for _, colour := range []string{spec.Blue, spec.Green} {
		for _, in := range p.Pools[colour] {
			state := "passing"
			if !in.Passing {
				state = in.Why
			}
			facts = append(facts, fmt.Sprintf("%s %s runs %s: %s", colour, in.Node, in.Version, state))
		}
	}
	return facts
}

func list(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	// More names than a person reads would fill the record of a large pool.
	const most = 12
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
