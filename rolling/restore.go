package rolling

import (
	"context"
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
		if err := u.stopFound(ctx, u.instance(move.Service, move.To)); err != nil {
			return err
		}
		u.deregister(ctx)
	} else {
		back, err := u.startAgain(ctx, *move, *old)
		if err != nil {
			return err
		}
		u.registerOrWarn(ctx, u.state.Service, back)
		waitCtx, cancel := context.WithTimeout(ctx, u.state.Service.Roll.HealthyDeadline.Std())
		err = u.healthy(waitCtx, u.state.Service, back, 0)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			u.log.ErrorContext(ctx, "the former version is not healthy either", "version", back.Version, "error", err)
		}
		u.maintain(ctx, false, "")
	}
	u.state.Move = nil
	u.save()
	if session := u.agent.current(); session != nil {
		u.say(ctx, session, u.want(), rollout.Broken, u.state.Refused.Why)
	}
	u.releaseSlot(ctx, move.Slot)
	return nil
}

// startAgain starts the former version in the new one's place, unless it runs
// already: a former agent may have come this far.
func (u *unit) startAgain(ctx context.Context, move Move, old Run) (Run, error) {
	alive, err := u.agent.Runtime.Running(ctx, old.Handle)
	if err != nil {
		return old, fmt.Errorf("look after the former version: %w", err)
	}
	if alive {
		return old, nil
	}
	if err := u.stopFound(ctx, u.instance(move.Service, move.To)); err != nil {
		return old, err
	}
	if old.Handle, err = u.agent.Runtime.Start(ctx, u.instance(u.state.Service, old)); err != nil {
		return old, fmt.Errorf("start the former version again: %w", err)
	}
	u.state.Running = &old
	u.save()
	u.log.InfoContext(ctx, "restored", "version", old.Version, "handle", old.Handle)
	u.watchEnd(ctx, old.Handle)
	return old, nil
}
