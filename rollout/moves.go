package rollout

import (
	"slices"
	"time"

	"switchd/gate"
	"switchd/pools"
	"switchd/spec"
)

// commit makes the record, as it now is, the change to be written.
func (p *plan) commit(what string) Decision {
	return Decision{Change: &Change{Record: p.record, Live: p.disarmed(), Saw: p.Live.Read(), What: what}}
}

// next is the phase after the present one.
func (p *plan) next() Phase {
	order := Phases()
	return order[slices.Index(order, p.record.Phase)+1]
}

// enter goes on to a phase, with its deadline.
func (p *plan) enter(phase Phase) Decision {
	p.record.Phase, p.record.Entered, p.record.Wait, p.record.Held = phase, p.now, nil, nil
	p.setDeadline(string(phase))
	p.record.note(p.now, string(phase)+" began")
	return p.commit("go on to " + string(phase))
}

func (p *plan) setDeadline(phase string) {
	p.record.Deadline, p.record.Then = time.Time{}, ""
	if d, ok := p.Spec.Deadlines[phase]; ok && d.After > 0 {
		p.record.Deadline, p.record.Then = p.now.Add(d.After.Std()), d.Then
	}
}

// end ends the rollout.
func (p *plan) end(phase Phase, why string) {
	p.record.Phase, p.record.Entered, p.record.Wait, p.record.Held = phase, p.now, nil, nil
	p.record.Deadline, p.record.Then = time.Time{}, ""
	p.record.Outcome = clip(why)
}

func (p *plan) finish(why string) Decision {
	p.end(Done, why)
	p.record.note(p.now, why)
	return p.commit("done")
}

// fail ends a rollout before its switch, or while it converges. If its pool had
// a share, users go back to the live pool in the same write.
func (p *plan) fail(why string, facts ...string) Decision {
	live := p.unweighted()
	if live != nil {
		p.record.Generation = live.Generation
	}
	p.end(Failed, why)
	p.record.note(p.now, why, append(slices.Clone(facts), p.healthFacts()...)...)
	d := p.commit("fail: " + why)
	if live != nil {
		d.Change.Live = live
	}
	return d
}

// back undoes a switch that was made.
func (p *plan) back(why string) Decision {
	live := p.Live.Next(Controller, p.now)
	live.Pool, live.Version = p.record.From.Pool, p.record.From.Version
	live.Previous, live.Rollout, live.RolledBack, live.Why = pools.Side{}, p.record.ID, true, why
	p.record.Generation = live.Generation
	from, situation := p.record.From, p.Situation
	p.end(RolledBack, why)
	p.record.note(p.now, why, p.healthFacts()...)
	d := p.commit("roll back: " + why)
	d.Change.Live = live
	d.Change.Ready = func(now map[string]pools.Pool) error { return situation.canServe(now, from) }
	return d
}

// stop halts the rollout; its share of users goes back to the live pool. The
// TTL stays short: a person is near, who may want to lead users elsewhere.
func (p *plan) stop(by, why string) Decision {
	live := p.unweighted()
	if live != nil {
		p.record.Generation, live.Armed = live.Generation, p.Live.Armed
	}
	p.halt(by, why)
	d := p.commit("halt: " + why)
	d.Change.Live = live
	return d
}

func (p *plan) halt(by, why string) {
	p.record.Halt = &Halt{Phase: p.record.Phase, By: by, Why: clip(why), At: p.now}
	p.record.Phase, p.record.Entered, p.record.Wait, p.record.Held = Halted, p.now, nil, nil
	p.record.Deadline, p.record.Then = time.Time{}, ""
	p.record.note(p.now, "halted by "+by+": "+why, p.healthFacts()...)
}

// unweighted is the live record without weights, nil if it has none.
func (p *plan) unweighted() *pools.Live {
	if p.Live == nil || len(p.Live.Weights) == 0 {
		return nil
	}
	live := p.Live.Next(Controller, p.now)
	live.Rollout, live.Why = p.record.ID, "canary ended"
	return live
}

// wait says what the rollout waits for, until the phase's deadline, and what
// its switch will wait for as things stand.
func (p *plan) wait(what string) Decision {
	return p.waitFor(what + p.outlook())
}

func (p *plan) waitFor(what string) Decision {
	p.release() // it is something else that is waited for
	then := p.record.Then
	if then == "" {
		then = spec.ThenHalt
	}
	d := p.waitUntil(what, p.record.Deadline, then)
	d.Wake = p.record.Deadline
	return d
}

func (p *plan) waitUntil(what string, until time.Time, then string) Decision {
	if w := p.record.Wait; w != nil && w.For == clip(what) && w.Until.Equal(until) {
		return Decision{}
	}
	since := p.now
	if p.record.Wait != nil {
		since = p.record.Wait.Since
	}
	p.record.Wait = &Wait{For: clip(what), Since: since, Until: until, Then: then}
	d := p.commit("wait " + what)
	d.Change.Minor = true
	return d
}

// await waits for a job.
func (p *plan) await(job Job, what string, verdict gate.Verdict) Decision {
	if verdict.Why != "" {
		what += ": " + verdict.Why
	}
	d := p.wait(what)
	d.Jobs = []Job{job}
	return d
}
