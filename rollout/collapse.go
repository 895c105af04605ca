package rollout

import (
	"time"
)

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
		health = p.canServe(p.Pools, p.record.Target())
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
	if p.record.From.Pool == "" || p.canServe(p.Pools, p.record.From) != nil {
		return Decision{}, false // there is nothing better to turn to
	}
	return p.back("rolled back by itself: " + health.Error()), true
}
