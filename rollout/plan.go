package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/gate"
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
	if !p.record.Deadline.IsZero() && !p.now.Before(p.record.Deadline) {
		return p.expire()
	}
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
	p.record.Generation = d.Change.Live.Generation
	return d
}

// collapseGrace is how long a pool that has users may be below its quorum
// before they are led away from it. A restarted Consul server holds all nodes
// for dead until it has heard from them, one after the other; DNS keeps the
// last addresses that passed meanwhile.
const collapseGrace = 5 * time.Second

// collapse is what happens when the pool that has users, or a share of them,
// falls below its quorum and stays there.
func (p *plan) collapse() (Decision, bool) {
	canary := p.record.SwitchedAt.IsZero() && p.Live.Share(p.record.Pool) > 0
	switched := p.record.Phase == Draining || p.record.Phase == Baking || p.record.Phase == Switching && !p.record.SwitchedAt.IsZero()
	var health error
	if canary || switched {
		health = pools.CanServe(p.Spec.Name, p.Pools, p.record.Target(), p.Spec.Roll.Quorum)
	}
	if health == nil {
		p.record.Below = time.Time{} // written along with the next change
		return Decision{}, false
	}
	if p.record.Below.IsZero() {
		p.record.Below = p.now
	}
	if acts := p.record.Below.Add(collapseGrace); p.now.Before(acts) {
		then := "users are led back"
		d := p.waitUntil("for the pool that users are on: "+health.Error(), acts, then)
		d.Wake = acts
		return d, true
	}
	if canary {
		return p.fail("canary stopped: " + health.Error()), true
	}
	if p.record.From.Pool == "" || pools.CanServe(p.Spec.Name, p.Pools, p.record.From, p.Spec.Roll.Quorum) != nil {
		return Decision{}, false // there is nothing better to turn to
	}
	return p.back("rolled back by itself: " + health.Error()), true
}

// expire does what the spec says for a deadline that has passed.
func (p *plan) expire() Decision {
	missing := "the phase did not end in time"
	if p.record.Wait != nil {
		missing = p.record.Wait.For
	}
	why := fmt.Sprintf("%s took longer than %s: %s", p.record.Phase, p.record.Deadline.Sub(p.record.Entered).Round(time.Second), missing)
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
		if pools.CanServe(p.Spec.Name, p.Pools, p.record.From, p.Spec.Roll.Quorum) == nil {
			return p.back(why)
		}
		why += "; a rollback is not possible, the old pool can't serve"
	}
	return p.stop(Controller, why)
}

func (p *plan) queued() Decision {
	if !p.Released {
		return p.fail(fmt.Sprintf("release %s of %s is gone", p.record.Version, p.record.Service))
	}
	if len(p.Blockers) > 0 {
		return p.wait("for " + strings.Join(p.Blockers, " and ") + ", which this service depends on")
	}
	return p.enter(Staging)
}

// staging waits until all nodes of the pool that are alive have the version.
func (p *plan) staging() Decision {
	var staged, missing, away []string
	for _, m := range p.Members[p.record.Pool] {
		report := p.Reports[m.Node]
		fits := report.Rollout == p.record.ID
		switch {
		case fits && report.State == Broken:
			return p.fail(fmt.Sprintf("%s could not stage %s: %s", m.Node, p.record.Version, report.Why))
		case fits && report.State != Fetching:
			staged = append(staged, m.Node)
		case !m.Alive:
			away = append(away, m.Node)
		default:
			missing = append(missing, m.Node)
		}
	}
	switch {
	case len(missing) > 0:
		return p.wait(fmt.Sprintf("for %s to stage %s (%d of %d nodes have)%s",
			list(missing), p.record.Version, len(staged), len(p.Members[p.record.Pool]), p.reasons(missing)))
	case len(staged) < p.Spec.Roll.Quorum:
		return p.wait(fmt.Sprintf("for nodes of pool %s: %d of its quorum of %d are there (away: %s)", p.record.Pool, len(staged), p.Spec.Roll.Quorum, list(away)))
	}
	p.record.Members, p.record.LeftOut = staged, away
	if len(away) > 0 {
		p.record.note(p.now, "left out, away from the start: "+list(away))
	}
	return p.enter(Rolling)
}

// rolling waits until the agents have replaced all members that are alive.
// They decide by themselves whose turn it is.
func (p *plan) rolling(pool string, members []string) Decision {
	var running int
	var open, busy []string
	for _, node := range members {
		report := p.Reports[node]
		if report.Rollout == p.record.ID && report.State == Broken {
			why := fmt.Sprintf("%s failed with %s: %s", node, p.record.Version, report.Why)
			if p.record.Phase == Converging {
				why = fmt.Sprintf("%s is live on %s, but %s did not converge: %s", p.record.Version, p.record.Pool, pool, why)
			}
			return p.fail(why)
		}
		in, found := p.Pools[pool].On(node)
		switch {
		case found && in.Passing && in.Version == p.record.Version:
			running++
		case p.alive(pool, node):
			open = append(open, node)
			if report.Rollout == p.record.ID && report.State == Replacing {
				busy = append(busy, node)
			}
		}
	}
	if len(open) == 0 && running >= p.Spec.Roll.Quorum {
		if p.record.Phase == Converging {
			return p.finish("both pools run " + p.record.Version)
		}
		return p.enter(Smoke)
	}
	what := fmt.Sprintf("for %s to run %s (%d of %d nodes do", list(open), p.record.Version, running, len(members))
	if len(busy) > 0 {
		what += "; now " + list(busy)
	}
	return p.wait(what + ")" + p.reasons(open))
}

// reasons is what the first of the nodes says that keeps it, if anything.
func (p *plan) reasons(nodes []string) string {
	for _, node := range nodes {
		if r := p.Reports[node]; r.Rollout == p.record.ID && r.Why != "" {
			return "; " + node + ": " + r.Why
		}
	}
	return ""
}

// gated runs one gate and goes on when it passes.
func (p *plan) gated(kind JobKind, declared bool) Decision {
	if !declared {
		p.record.note(p.now, "no "+string(kind)+" is declared")
		return p.enter(p.next())
	}
	job := p.job(kind)
	verdict := p.Jobs[job]
	switch verdict.Outcome {
	case gate.Pass:
		p.record.note(p.now, string(kind)+" passed: "+verdict.Why, verdict.Evidence...)
		return p.enter(p.next())
	case gate.Fail:
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
	if p.Live.Share(p.record.Pool) != share {
		if err := pools.CanServe(p.Spec.Name, p.Pools, p.record.Target(), p.Spec.Roll.Quorum); err != nil {
			return p.wait("for the new pool: " + err.Error())
		}
		return p.shift(share)
	}
	if p.Spec.Analysis == nil {
		p.record.note(p.now, fmt.Sprintf("%d %% of answers lead to %s; no analysis is declared", share, p.record.Pool))
		return p.step()
	}
	// Caches still hold what they were told before, so a judgement made
	// earlier would be about another share.
	if settled := p.record.StepAt.Add(p.Spec.Switch.TTL.Std()); p.now.Before(settled) {
		d := p.wait(fmt.Sprintf("for caches to take up the share of %d %% (TTL %s)", share, p.Spec.Switch.TTL))
		d.Wake = settled
		return d
	}
	job := p.job(JobAnalysis)
	job.Step = p.record.Step
	verdict := p.Jobs[job]
	switch verdict.Outcome {
	case gate.Pass:
		p.record.note(p.now, fmt.Sprintf("analysis passed at %d %%: %s", share, verdict.Why), verdict.Evidence...)
		return p.step()
	case gate.Fail:
		return p.fail(fmt.Sprintf("analysis failed at %d %%: %s", share, verdict.Why), verdict.Evidence...)
	case gate.Unknown:
	}
	return p.await(job, fmt.Sprintf("for the analysis at %d %%", share), verdict)
}

// shift sets the canary's share.
func (p *plan) shift(share int) Decision {
	live := p.Live.Next(Controller, p.now)
	live.Rollout = p.record.ID
	live.Why = fmt.Sprintf("canary of %s", p.record.Version)
	live.Weights = map[string]int{p.record.Pool: share, p.record.From.Pool: 100 - share}
	p.record.Generation, p.record.StepAt, p.record.Wait = live.Generation, p.now, nil
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

// switching makes the switch, once everything that must hold before does, and
// then waits for the proof.
func (p *plan) switching() Decision {
	if p.record.SwitchedAt.IsZero() {
		var open []string
		for _, a := range p.Spec.Approvals {
			if !p.record.Approved(a.Name) {
				open = append(open, a.Name)
			}
		}
		if len(open) > 0 {
			return p.wait("for the approval of " + list(open))
		}
		if err := pools.CanServe(p.Spec.Name, p.Pools, p.record.Target(), p.Spec.Roll.Quorum); err != nil {
			return p.wait("for the new pool: " + err.Error())
		}
		return p.flip()
	}
	job := p.job(JobProof)
	verdict := p.Jobs[job]
	if verdict.Outcome != gate.Pass {
		// A proof that "failed" is one that is still missing: the write is
		// done, and what doesn't show it yet must be waited for.
		return p.await(job, "for every replica to answer with pool "+p.record.Pool, verdict)
	}
	p.record.ProvedAt = p.now
	p.record.note(p.now, "switched: "+verdict.Why, verdict.Evidence...)
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
	p.record.Generation, p.record.SwitchedAt, p.record.Wait = live.Generation, p.now, nil
	// An approval may have taken its time; the proof has its own.
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

func (p *plan) job(kind JobKind) Job {
	return Job{Rollout: p.record.ID, Kind: kind, Attempt: p.record.Entered.UnixNano()}
}

func (p *plan) alive(pool, node string) bool {
	i := slices.IndexFunc(p.Members[pool], func(m Member) bool { return m.Node == node })
	return i >= 0 && p.Members[pool][i].Alive
}

// targetServes is promise "never empty", to be asked again at the write.
func (p *plan) targetServes() func(map[string]pools.Pool) error {
	name, target, quorum := p.Spec.Name, p.record.Target(), p.Spec.Roll.Quorum
	return func(now map[string]pools.Pool) error { return pools.CanServe(name, now, target, quorum) }
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
	return strings.Join(names, ", ")
}
