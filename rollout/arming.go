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

// arms tells whether the service's name has its short TTL in a phase: from the
// rollout's first step until the old pool is no longer kept for a rollback.
func (p Phase) arms() bool {
	return slices.Contains([]Phase{Staging, Rolling, Smoke, Warmup, Canary, Switching, Draining, Baking}, p)
}

// arm gives the service's name its short TTL.
//
// The record keeps its generation, since users are led where they were: what
// goes by the generation, agents above all, has nothing to do.
func (p *plan) arm() (Decision, bool) {
	if !p.leads() || !p.record.Phase.arms() || p.Live.Armed {
		return Decision{}, false
	}
	live := *p.Live
	live.Armed, p.record.Settled = true, time.Time{}
	d := p.commit("arm")
	d.Change.Live = &live
	return d, true
}

// besides is a phase's next step along with what goes on beside it: what gates
// look at, and what the arming asks for, which interrupts nothing: a look at
// whatever answers for the name and, when that has passed, the note of it.
func (p *plan) besides(step func() Decision) Decision {
	if p.settle() {
		p.news = "take note of the armed name"
	}
	d := step()
	d.Jobs, d.Wake = append(d.Jobs, p.look...), Earlier(d.Wake, p.wake)
	if p.unproved() {
		d.Jobs = append(d.Jobs, p.armed())
	}
	if p.news != "" && (d.Change == nil || d.Change.Minor) {
		d.Change = p.commit(p.news).Change
	}
	if p.measured && d.Change == nil {
		d.Change = p.commit("keep the measured share").Change
		d.Change.Minor = true
	}
	return d
}

// settle takes note of when caches will have forgotten the long TTL, once all
// that answer for the name were seen to give the short one. That is counted
// from the look and not from the write: a secondary that is behind tells caches
// the long TTL for as long as it is.
func (p *plan) settle() bool {
	verdict := p.Jobs[p.armed()]
	if !p.unproved() || verdict.Outcome != gate.Pass {
		return false
	}
	p.record.Settled = p.now.Add(p.Spec.Switch.Settles())
	p.record.note(p.now, fmt.Sprintf("armed: TTL %s → %s; no cache holds the former one after %s; %s",
		p.Spec.Switch.TTL, p.Spec.Switch.InForce(true), p.record.Settled.Format(time.TimeOnly), verdict.Why), verdict.Evidence...)
	return true
}

// leads tells whether the rollout leads users away from somewhere by a name: a
// service's first release has none yet that caches could hold, and one that is
// switched in the mesh alone never has.
func (p *plan) leads() bool {
	return p.Live != nil && p.record.From.Pool != "" && p.Spec.Switch.Named()
}

// armed is the job that looks at what answers for the name. Only the first
// weight and the switch wait for it.
func (p *plan) armed() Job {
	return Job{Rollout: p.record.ID, Kind: JobArmed, Attempt: int64(p.Live.Read())}
}

// unproved tells whether the name was armed and not yet seen to be.
func (p *plan) unproved() bool {
	return p.leads() && p.record.Phase.arms() && p.Live.Armed && p.record.Settled.IsZero()
}

// settling waits until caches have forgotten what they were told before the
// name was armed. Nobody is led elsewhere earlier: a cache that holds the long
// TTL would follow neither the switch nor a rollback.
func (p *plan) settling() (Decision, bool) {
	switch settled := p.record.Settled; {
	case p.unproved():
		what := fmt.Sprintf("for all that are asked (%s) to give a TTL of %s at most", p.answering(), p.Spec.Switch.InForce(true))
		if why := p.Jobs[p.armed()].Why; why != "" {
			what += ": " + why
		}
		return p.waitFor(what), true
	case p.now.Before(settled):
		d := p.wait(fmt.Sprintf("for caches to forget the TTL of %s, until %s", p.Spec.Switch.TTL, settled.Format(time.TimeOnly)))
		d.Wake = settled
		return d, true
	default:
		return Decision{}, false
	}
}

// outlook says of a wait for something else that the switch will have to wait
// for the short TTL too, so that whoever can help knows early; mostly it is
// empty.
func (p *plan) outlook() string {
	if !p.unproved() || !p.record.SwitchedAt.IsZero() {
		return ""
	}
	why := p.Jobs[p.armed()].Why
	if why == "" {
		return ""
	}
	return fmt.Sprintf("; the switch will also wait for a TTL of %s: %s", p.Spec.Switch.InForce(true), why)
}

// answering is what answers for the service's name, by the kind of the switch.
func (p *plan) answering() string {
	if p.Spec.Switch.Kind == spec.SwitchDNSUpdate {
		return fmt.Sprintf("primary %s, name servers of %s", p.Spec.Switch.Server, p.Spec.Switch.Zone)
	}
	return "replicas, secondaries, name servers"
}

// proving is all that a switch is proved by.
func (p *plan) proving() string {
	var all []string
	if p.Spec.Switch.Named() {
		all = append(all, p.answering(), "resolvers")
	}
	if p.Spec.Mesh != nil {
		all = append(all, "discovery chain")
	}
	return strings.Join(all, ", ")
}

// disarmed is the live record with the long TTL again, once the rollout leads
// nobody elsewhere any more; nil if it stays as it is.
func (p *plan) disarmed() *pools.Live {
	ends := p.record.Phase.Ended() || p.record.Phase == Converging
	if p.Live == nil || !p.Live.Armed || !ends {
		return nil
	}
	live := *p.Live
	live.Armed = false
	return &live
}
