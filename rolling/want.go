package rolling

import (
	"context"
	"fmt"

	"switchd/pools"
	"switchd/rollout"
)

// Want is what a unit should do about versions.
type Want struct {
	// Version is to be staged; empty: nothing is.
	Version string
	// Roll tells whether it is to be run, too, when the turn comes.
	Roll bool
	// Reason names what wants it: a rollout's ID, or the live record's
	// generation for a node that lags behind.
	Reason string
	// Report tells whether the engine waits for this node's report.
	Report bool
}

// WantOf decides from what is written what this node's pool should run. It
// decides nothing for an idle pool without a rollout: what is there stays.
func WantOf(pool string, record *rollout.Record, live *pools.Live) Want {
	if record.Stages(pool) {
		return Want{Version: record.Version, Roll: record.RollsOn(pool), Reason: record.ID, Report: true}
	}
	if live != nil && live.Pool == pool {
		return Want{Version: live.Version, Roll: true, Reason: fmt.Sprintf("live generation %d", live.Generation)}
	}
	return Want{}
}

// wants reads consistently what a pool should run.
func (a *Agent) wants(ctx context.Context, service, pool string) (Want, error) {
	entry, err := a.Consul.Get(ctx, a.Keys.Rollout(service))
	if err != nil {
		return Want{}, err
	}
	record, err := rollout.ParseRecord(entry.Value, entry.Index)
	if err != nil {
		return Want{}, err
	}
	if entry, err = a.Consul.Get(ctx, a.Keys.Live(service)); err != nil {
		return Want{}, err
	}
	live, err := pools.ParseLive(entry.Value, entry.Index)
	if err != nil {
		return Want{}, err
	}
	return WantOf(pool, record, live), nil
}
