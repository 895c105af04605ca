package rolling

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
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
	switch pool {
	case o.Live.Pool:
		if !o.Stages(pool) {
			return Want{Version: o.Live.Version, Roll: true, Reason: fmt.Sprintf("%s is live on %s", o.Live.Version, pool)}
		}
	case o.Keep.Pool:
		return Want{Version: o.Keep.Version, Roll: true, Reason: fmt.Sprintf("%s stays on %s until the bake has ended", o.Keep.Version, pool)}
	}
	if o.Stages(pool) {
		return Want{Version: o.Version, Roll: o.RollsOn(pool), Reason: o.Rollout, Report: true}
	}
	return Want{}
}

// conforms tells whether a pool's nodes turn to what most of them run: only
// while nothing else is decided about the service.
func conforms(want Want, o rollout.Order) bool {
	return want.Version == "" && o.Known && o.Rollout == ""
}

// A node of a pool at rest looks at what the others run when it starts, when
// its order changes, and now and then; sooner where nobody could be seen.
const (
	conformEvery = 10 * time.Minute
	conformSoon  = 10 * time.Second
)

// wanted is what the unit should do now, from what was seen last.
func (u *unit) wanted(ctx context.Context) Want {
	if !u.order.member {
		return leaving()
	}
	want := WantOf(u.pool, u.order.deploy)
	if !conforms(want, u.order.deploy) {
		return want
	}
	if time.Now().Before(u.conformAt) {
		return u.conform
	}
	conform, err := u.lookAtOthers(ctx)
	if err != nil {
		// All nodes of a large pool may have asked at the same time.
		u.log.WarnContext(ctx, "look at what the pool runs", "error", err)
		u.conformAt = time.Now().Add(2*conformSoon + rand.N(4*conformSoon))
		return Want{}
	}
	u.conform, u.conformAt = conform, time.Now().Add(conformEvery+rand.N(conformEvery))
	if conform.Version == "" {
		u.conformAt = time.Now().Add(conformSoon)
	}
	return conform
}

// lookAtOthers tells what the rest of the pool wants the node to run. Where all
// run what it runs itself, which is nearly always so, that is a small question.
func (u *unit) lookAtOthers(ctx context.Context) (Want, error) {
	if run := u.state.Running; run != nil {
		others, err := pools.Unlike(ctx, u.agent.Consul, u.service, u.pool, run.Version)
		if err != nil {
			return Want{}, err
		}
		if len(others.Popular(u.order.deploy.Avoid)) == 0 && run.Version != u.order.deploy.Avoid {
			return Want{Version: run.Version, Roll: true, Reason: reasonOf(u.pool, run.Version)}, nil
		}
	}
	return u.agent.conform(ctx, u.service, u.pool, u.order.deploy)
}

func reasonOf(pool, version string) string {
	return fmt.Sprintf("most of pool %s runs %s", pool, version)
}

func leaving() Want { return Want{Roll: true, Leave: true, Reason: "the node left the pool"} }

// wantsNow reads consistently what the unit should do, and the order that this
// follows from.
func (u *unit) wantsNow(ctx context.Context) (Want, rollout.Order, error) {
	entry, err := u.agent.Consul.Get(ctx, u.agent.Keys.Order(u.service))
	if err != nil {
		return Want{}, rollout.Order{}, err
	}
	deploy, err := rollout.ParseOrder(entry.Value)
	if err != nil {
		return Want{}, deploy, fmt.Errorf("parse %s in Consul: %w", entry.Key, err)
	}
	if !u.order.member {
		// What the node was is remembered, too, for starts without Consul; that
		// must not take it out of a pool that it is in by now.
		member, err := u.agent.memberNow(ctx, u.order.service.Pools[u.pool])
		if err != nil || !member {
			return leaving(), deploy, err
		}
	}
	want := WantOf(u.pool, deploy)
	if conforms(want, deploy) {
		want, err = u.agent.conform(ctx, u.service, u.pool, deploy)
	}
	return want, deploy, err
}

// memberNow asks Consul whether the node is one of a pool's.
func (a *Agent) memberNow(ctx context.Context, pool spec.Pool) (bool, error) {
	if len(pool.NodeMeta) == 0 {
		return slices.Contains(pool.Nodes, a.Node), nil
	}
	nodes, err := a.Consul.NodesWith(ctx, pool.NodeMeta)
	return slices.Contains(nodes, a.Node), err
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
	return Want{Version: version, Roll: true, Reason: reasonOf(pool, version)}, nil
}
