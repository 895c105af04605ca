package rollout

import (
	"fmt"
	"slices"
	"time"

	"switchd/pools"
)

// arms tells whether the service's name has its short TTL in a phase: from the
// rollout's first step until the old pool is no longer kept for a rollback.
func (p Phase) arms() bool {
	return slices.Contains([]Phase{Staging, Rolling, Smoke, Warmup, Canary, Switching, Draining, Baking}, p)
}

// arm gives the service's name its short TTL and takes note of when caches
// will have forgotten the long one. That is counted from the first look at the
// armed record and not from the decision to write it, which can take its time.
//
// The record keeps its generation, since users are led where they were: what
// goes by the generation, agents above all, has nothing to do.
func (p *plan) arm() (Decision, bool) {
	if p.Live == nil || p.record.From.Pool == "" || !p.record.Phase.arms() {
		return Decision{}, false
	}
	if !p.Live.Armed {
		live := *p.Live
		live.Armed, p.record.Settled = true, time.Time{}
		d := p.commit("arm")
		d.Change.Live = &live
		return d, true
	}
	if !p.record.Settled.IsZero() {
		return Decision{}, false
	}
	p.record.Settled = p.now.Add(p.Spec.Switch.Settles())
	p.record.note(p.now, fmt.Sprintf("armed: TTL %s → %s; no cache holds the former one after %s",
		p.Spec.Switch.TTL, p.Spec.Switch.InForce(true), p.record.Settled.Format(time.TimeOnly)))
	return p.commit("take note of the armed record"), true
}

// settling waits until caches have forgotten what they were told before the
// name was armed. Nobody is led elsewhere earlier: a cache that holds the long
// TTL would follow neither the switch nor a rollback.
func (p *plan) settling() (Decision, bool) {
	if p.Live == nil || !p.now.Before(p.record.Settled) {
		return Decision{}, false
	}
	d := p.wait(fmt.Sprintf("for caches to forget the TTL of %s, until %s", p.Spec.Switch.TTL, p.record.Settled.Format(time.TimeOnly)))
	d.Wake = p.record.Settled
	return d, true
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
