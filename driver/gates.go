package driver

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"switchd/alerts"
	"switchd/gate"
	"switchd/rollout"
	"switchd/spec"
	"switchd/waitfor"
)

// The pace at which a gate that is looked at is read in the spec again, as it may
// have been mended, and in vain.
const (
	gateRead  = 3 * time.Second
	gateRetry = time.Second
)

// watcher reports what holds, each time that this changes, until ctx ends.
type watcher interface {
	Watch(ctx context.Context, report func(gate.Verdict))
}

// gate looks at the world for a gate of the spec until ctx ends: also after it has
// passed, since all gates of a point must pass at the same moment.
func (w *World) gate(ctx context.Context, job rollout.Job, s rollout.Situation, report func(gate.Verdict)) gate.Verdict {
	report = gate.WhenChanged(report)
	var now watcher
	end := func() {}
	defer func() { end() }()
	for {
		next, err := w.gateWatcher(ctx, job, s)
		wait := gateRead
		switch {
		case err != nil:
			wait = gateRetry
			if now == nil && ctx.Err() == nil {
				report(gate.Undecided("gate %q is not known: %v", job.Gate, err))
			}
		case next == nil:
			end()
			now, end = nil, func() {}
			report(gate.Undecided("the spec of %s declares no gate %q that looks at the world", s.Spec.Name, job.Gate))
		case !reflect.DeepEqual(next, now):
			end()
			if now != nil {
				report(gate.Undecided("gate %q was changed, and is looked at anew", job.Gate))
			}
			now, end = next, begin(ctx, func(ctx context.Context) { next.Watch(ctx, report) })
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return gate.Undecided("looking at gate %q was ended", job.Gate)
		case <-timer.C:
		}
	}
}

// begin has something run. The end ends it, and returns when it has returned.
func begin(ctx context.Context, run func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(ctx)
	}()
	return func() {
		cancel()
		<-ended
	}
}

// gateWatcher is what a gate looks with, as the spec says now; nil if there is no
// such gate.
func (w *World) gateWatcher(ctx context.Context, job rollout.Job, s rollout.Situation) (watcher, error) {
	declared, err := w.Service(ctx, s.Spec.Name)
	if err != nil {
		return nil, fmt.Errorf("the spec can't be read: %w", err)
	}
	gates := declared.Gates()
	i := slices.IndexFunc(gates, func(g spec.Gate) bool { return g.Name == job.Gate })
	if i < 0 {
		return nil, nil //nolint:nilnil // a gate that is no more is an ordinary state
	}
	v := vars(s, s.Record.Pool)
	switch g := gates[i]; {
	case g.Wait != nil:
		return waitfor.Wait{
			For: *g.Wait, Vars: v, Env: w.Keys.Env, Rollout: s.Record.ID, Consul: w.Consul, Commands: w.GateCommands,
		}, nil
	case g.Silence != nil:
		env, err := w.Environment(ctx)
		if err != nil {
			return nil, fmt.Errorf("the environment can't be read: %w", err)
		}
		return alerts.Silence{Of: *g.Silence, Vars: v, Sources: env.Alerts}, nil
	default:
		return nil, nil //nolint:nilnil // as above
	}
}
