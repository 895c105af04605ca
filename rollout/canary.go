package rollout

import (
	"fmt"
	"time"

	"switchd/gate"
	"switchd/spec"
)

// gated runs one gate and goes on when it passes.
func (p *plan) gated(kind JobKind, declared bool) Decision {
	if !declared {
		p.record.note(p.now, "no "+string(kind)+" is declared")
		return p.enter(p.next())
	}
	job := p.job(kind)
	verdict := p.Jobs[job]
	if p.goneAround(kind, string(kind), verdict) {
		return p.enter(p.next())
	}
	switch verdict.Outcome {
	case gate.Pass:
		p.decided(string(kind), string(kind), GatePassed, verdict.Why)
		p.record.note(p.now, string(kind)+" passed: "+verdict.Why, verdict.Evidence...)
		return p.enter(p.next())
	case gate.Fail:
		p.decided(string(kind), string(kind), GateFailed, verdict.Why)
		return p.fail(string(kind)+" failed: "+verdict.Why, verdict.Evidence...)
	case gate.Unknown:
	}
	return p.await(job, "for "+string(kind), verdict)
}

// canary gives the pool its share, step by step, each one judged.
func (p *plan) canary() Decision {
	steps := p.Spec.Weights
	if p.record.From.Pool == "" {
		p.record.note(p.now, "no canary: nothing is live yet to compare with")
		return p.enter(Switching)
	}
	if len(steps) == 0 {
		if p.Spec.Analysis == nil {
			p.record.note(p.now, "no canary: neither weights nor an analysis are declared")
			return p.enter(Switching)
		}
		steps = []int{0}
	}
	if p.record.Step >= len(steps) {
		return p.enter(Switching)
	}
	share := steps[p.record.Step]
	label := fmt.Sprintf("%s %d", Canary, share)
	if p.Live.Share(p.record.Pool) != share {
		if d, held := p.hold(pointWeight(share), p.Spec.GatesAt(spec.PointWeight)); held {
			return d
		}
		if err := p.canServe(p.Pools, p.record.Target()); err != nil {
			return p.wait("for the new pool: " + err.Error())
		}
		if d, waits := p.settling(); waits {
			return d
		}
		return p.shift(share)
	}
	p.observe(share)
	if p.Spec.Analysis == nil {
		p.record.note(p.now, fmt.Sprintf("%d %% of answers lead to %s; no analysis is declared", share, p.record.Pool))
		return p.step()
	}
	job := p.job(JobAnalysis)
	job.Step = p.record.Step
	verdict := p.Jobs[job]
	if p.goneAround(JobAnalysis, label, verdict) {
		return p.step()
	}
	// Caches still hold what they were told before, so a judgement made
	// earlier would be about another share.
	ttl := p.Spec.Switch.InForce(true)
	if settled := p.record.StepAt.Add(ttl.Std()); p.now.Before(settled) {
		d := p.wait(fmt.Sprintf("for caches to take up the share of %d %% (TTL %s)", share, ttl))
		d.Wake = settled
		return d
	}
	found := p.record.keep(verdict.State)
	switch verdict.Outcome {
	case gate.Pass:
		p.decided(string(JobAnalysis), label, GatePassed, verdict.Why)
		p.record.note(p.now, fmt.Sprintf("analysis passed at %d %%: %s", share, verdict.Why), verdict.Evidence...)
		return p.step()
	case gate.Fail:
		p.decided(string(JobAnalysis), label, GateFailed, verdict.Why)
		return p.fail(fmt.Sprintf("analysis failed at %d %%: %s", share, verdict.Why), verdict.Evidence...)
	case gate.Unknown:
	}
	d := p.await(job, fmt.Sprintf("for the analysis at %d %%", share), verdict)
	if found && d.Change == nil {
		d.Change = p.commit("keep the evidence").Change
		d.Change.Minor = true
	}
	return d
}

// shift sets the canary's share.
func (p *plan) shift(share int) Decision {
	live := p.Live.Next(Controller, p.now)
	live.Rollout = p.record.ID
	live.Armed = p.Live.Armed
	live.Why = fmt.Sprintf("canary of %s", p.record.Version)
	live.Weights = map[string]int{p.record.Pool: share, p.record.From.Pool: 100 - share}
	p.record.Generation, p.record.StepAt, p.record.Wait = live.Generation, p.now, nil
	p.record.Observed = nil
	p.record.note(p.now, fmt.Sprintf("%d %% of answers lead to %s", share, p.record.Pool), p.healthFacts()...)
	d := p.commit(fmt.Sprintf("give %s %d %%", p.record.Pool, share))
	d.Change.Live, d.Change.Ready = live, p.targetServes()
	return d
}

// step goes on to the next weight.
func (p *plan) step() Decision {
	p.record.Step++
	p.record.StepAt, p.record.Wait = time.Time{}, nil
	return p.commit("go on to the next weight")
}
