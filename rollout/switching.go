package rollout

import (
	"fmt"

	"switchd/gate"
	"switchd/spec"
)

// switching makes the switch, once everything that must hold before does, waits
// for the proof, and then for what must hold before the old pool is touched.
func (p *plan) switching() Decision {
	if p.record.SwitchedAt.IsZero() {
		if d, held := p.hold(spec.PointSwitch, p.Spec.GatesAt(spec.PointSwitch)); held {
			return d
		}
		if err := p.canServe(p.Pools, p.record.Target()); err != nil {
			return p.wait("for the new pool: " + err.Error())
		}
		if d, waits := p.settling(); waits {
			return d
		}
		return p.flip()
	}
	if p.record.ProvedAt.IsZero() {
		job := p.job(JobProof)
		verdict := p.Jobs[job]
		if verdict.Outcome != gate.Pass {
			// A proof that "failed" is one that is still missing: the write is
			// done, and what doesn't show it yet must be waited for.
			return p.await(job, fmt.Sprintf("for all that are asked (%s) to answer with pool %s", p.proving(), p.record.Pool), verdict)
		}
		p.record.ProvedAt = p.now
		p.record.note(p.now, "switched: "+verdict.Why, verdict.Evidence...)
	}
	if d, held := p.hold(spec.PointSwitched, p.Spec.GatesAt(spec.PointSwitched)); held {
		return d
	}
	if p.record.From.Pool == "" {
		return p.finish(p.record.Version + " is live on " + p.record.Pool + ", the service's first release")
	}
	return p.enter(Draining)
}

// flip is the switch: one write of the live record and the rollout record.
func (p *plan) flip() Decision {
	live := p.Live.Next(Controller, p.now)
	live.Service, live.Pool, live.Version = p.record.Service, p.record.Pool, p.record.Version
	live.Weights, live.Previous, live.Rollout = nil, p.record.From, p.record.ID
	live.Armed = p.Live != nil && p.Live.Armed
	p.record.Generation, p.record.SwitchedAt, p.record.Wait = live.Generation, p.now, nil
	// What stood before the switch may have taken its time; the proof has its
	// own.
	p.setDeadline(string(Switching))
	p.record.note(p.now, fmt.Sprintf("live record: %s → %s", p.record.From, p.record.Target()), p.healthFacts()...)
	d := p.commit("switch to " + p.record.Pool)
	d.Change.Live, d.Change.Ready = live, p.targetServes()
	return d
}

func (p *plan) draining() Decision {
	job := p.job(JobDrain)
	verdict := p.Jobs[job]
	if verdict.Outcome == gate.Pass {
		p.record.note(p.now, "drained: "+verdict.Why, verdict.Evidence...)
		return p.enter(Baking)
	}
	return p.await(job, "for the traffic of "+p.record.From.Pool+" to end", verdict)
}

func (p *plan) baking() Decision {
	until := p.record.Entered.Add(p.Spec.Bake.Std())
	if p.now.Before(until) {
		d := p.waitUntil(fmt.Sprintf("for the bake of %s to end; %s stays up for an instant rollback", p.Spec.Bake, p.record.From), until, "the rollout goes on")
		d.Wake = until
		return d
	}
	if p.Spec.AfterBake == spec.AfterBakeUpgrade {
		if d, held := p.hold(pointConverge, p.Spec.GatesAt(spec.PointRoll)); held {
			return d
		}
		return p.enter(Converging)
	}
	return p.finish(fmt.Sprintf("%s is live on %s; %s stays on %s", p.record.Version, p.record.Pool, p.record.From.Pool, p.record.From.Version))
}

// converging rolls the old pool to the new version too.
func (p *plan) converging() Decision {
	var members []string
	for _, m := range p.Members[p.record.From.Pool] {
		if m.Alive {
			members = append(members, m.Node)
		}
	}
	return p.rolling(p.record.From.Pool, members)
}
