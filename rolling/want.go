package rolling

import (
	"context"
	"fmt"
	"time"

	"switchd/pools"
	"switchd/rollout"
)

// Want is what a unit should do about versions.
type Want struct {
	// Version is to be staged; empty: nothing is.
	Version string
	// Roll tells whether it is to be run, too, when the turn comes.
	Roll bool
	// Reason names what wants it: a rollout's ID, the live record, or what the
	// rest of the pool runs. A version that failed here is not tried again for
	// the same reason.
	Reason string
	// Report tells whether the engine waits for this node's report.
	Report bool
	// Leave tells that the node is not one of the pool's any more: what runs is
	// to be stopped when its turn comes.
	Leave bool
}

// WantOf decides from the order what a pool's nodes should run. It decides
// nothing for a pool without users and without a rollout.
func WantOf(pool string, o rollout.Order) Want {
	if o.Rollout != "" && o.Stages(pool) {
		return Want{Version: o.Version, Roll: o.RollsOn(pool), Reason: o.Rollout, Report: true}
	}
	if o.Live.Pool == pool {
		return Want{Version: o.Live.Version, Roll: true, Reason: fmt.Sprintf("%s is live on %s", o.Live.Version, pool)}
	}
	return Want{}
}

// conformEvery is how often a node of a pool at rest looks at what the others
// run, besides when it starts or its order changes.
const conformEvery = 10 * time.Minute

// wanted is what the unit should do now, from what was seen last.
func (u *unit) wanted(ctx context.Context) Want {
	if !u.order.member {
		return leaving()
	}
	want := WantOf(u.pool, u.order.deploy)
	if want.Version != "" || u.order.deploy.Hold == u.pool {
		return want
	}
	if time.Since(u.conformedAt) >= conformEvery {
		conform, err := u.agent.conform(ctx, u.service, u.pool, u.order.deploy)
		if err != nil {
			u.log.WarnContext(ctx, "look at what the pool runs", "error", err)
			return Want{}
		}
		u.conform, u.conformedAt = conform, time.Now()
	}
	return u.conform
}

func leaving() Want { return Want{Roll: true, Leave: true, Reason: "the node left the pool"} }

// wantsNow reads consistently what the unit should do.
func (u *unit) wantsNow(ctx context.Context) (Want, error) {
	entry, err := u.agent.Consul.Get(ctx, u.agent.Keys.Order(u.service))
	if err != nil {
		return Want{}, err
	}
	deploy, err := rollout.ParseOrder(entry.Value)
	if err != nil {
		return Want{}, fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
	}
	// An agent that has just been started goes on with its journal before it has
	// seen whether the node is still one of the pool's.
	if u.order != nil && !u.order.member || u.order == nil && u.state.Move != nil && u.state.Move.Leave {
		return leaving(), nil
	}
	want := WantOf(u.pool, deploy)
	if want.Version != "" || deploy.Hold == u.pool {
		return want, nil
	}
	return u.agent.conform(ctx, u.service, u.pool, deploy)
}

// conform wants the version that most of the pool's passing nodes run; of two
// with as many, the newer release. A version whose rollout went wrong is none
// to turn to. It wants nothing where nothing runs.
func (a *Agent) conform(ctx context.Context, service, pool string, deploy rollout.Order) (Want, error) {
	now, err := pools.Read(ctx, a.Consul, service)
	if err != nil {
		return Want{}, err
	}
	var version string
	var newest time.Time
	popular := now[pool].Popular(deploy.Avoid)
	for _, candidate := range popular {
		if len(popular) == 1 {
			version = candidate
			break
		}
		m, err := a.Releases.Release(ctx, service, candidate)
		if err != nil {
			return Want{}, err
		}
		if version == "" || m.Created.After(newest) {
			version, newest = candidate, m.Created
		}
	}
	if version == "" {
		return Want{}, nil
	}
	return Want{Version: version, Roll: true, Reason: fmt.Sprintf("most of pool %s runs %s", pool, version)}, nil
}
