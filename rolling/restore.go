package rolling

import (
	"context"
	"errors"
	"fmt"

	"switchd/rollout"
)

// refuse notes that the version failed on this node and puts the old one back.
func (u *unit) refuse(ctx context.Context, why string) error {
	u.log.ErrorContext(ctx, "version failed on this node", "version", u.state.Move.To.Version, "why", why)
	u.state.Refused = &Refusal{Reason: u.state.Move.Reason, Why: why}
	u.step(Restoring)
	return nil
}

// restore puts the former version back, reports and gives the slot back.
func (u *unit) restore(ctx context.Context) error {
	move := u.state.Move
	if old := u.state.Running; old == nil {
		if err := u.stopNew(ctx, *move); err != nil {
			return err
		}
		u.deregister(ctx)
	} else {
		back, err := u.startAgain(ctx, *move, *old)
		if err != nil {
			return err
		}
		waitCtx, cancel := context.WithTimeout(ctx, u.state.Service.Roll.HealthyDeadline.Std())
		err = u.healthy(waitCtx, u.state.Service, back, 0)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			u.log.ErrorContext(ctx, "the former version is not healthy either", "version", back.Version, "error", err)
		}
		u.registerOrWarn(ctx, u.state.Service, back, err == nil)
		u.maintain(ctx, false, "")
	}
	u.state.Move = nil
	u.save()
	u.unload(ctx, &move.To)
	u.finish(ctx, move.Slot, rollout.Broken, u.state.Refused.Why)
	return nil
}

// startAgain starts the former version in the new one's place, unless it runs
// already: a former agent may have come this far.
func (u *unit) startAgain(ctx context.Context, move Move, old Run) (Run, error) {
	rt, err := u.agent.runtime(u.state.Service.Runtime.Kind)
	if err != nil {
		return old, err
	}
	status, err := u.status(ctx, rt, old)
	if err != nil {
		return old, fmt.Errorf("look after the former version: %w", err)
	}
	if status.Running {
		return old, nil
	}
	if err := u.stopNew(ctx, move); err != nil {
		return old, err
	}
	if err := u.preload(ctx, u.state.Service, old); err != nil {
		u.log.WarnContext(ctx, "starting without its files in memory", "error", err)
	}
	if old.Handle, err = rt.Start(ctx, u.instance(u.state.Service, old)); err != nil {
		return old, fmt.Errorf("start the former version again: %w", err)
	}
	u.state.Running = &old
	u.save()
	u.log.InfoContext(ctx, "restored", "version", old.Version, "handle", old.Handle)
	u.watchEnd(ctx, rt, old.Handle)
	return old, nil
}

// stopNew stops the version that failed.
func (u *unit) stopNew(ctx context.Context, move Move) error {
	rt, err := u.agent.runtime(move.Service.Runtime.Kind)
	if errors.Is(err, errNoRuntime) {
		return nil // nothing can have been started
	}
	return stopFound(ctx, rt, u.instance(move.Service, move.To))
}
