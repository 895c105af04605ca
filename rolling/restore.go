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

// errNoWayBack says that the former version can't be started either.
var errNoWayBack = errors.New("the former version can't be started again")

// restore puts the former version back, reports and gives the slot back. Where
// that can't be started either, it is left to supervision, which tries again and
// again: other nodes must not wait for it.
func (u *unit) restore(ctx context.Context) error {
	move := u.state.Move
	why := "it failed"
	if u.state.Refused != nil {
		why = u.state.Refused.Why
	}
	if u.state.Running == nil {
		if err := u.stopNew(ctx, *move); err != nil {
			return err
		}
		if err := u.deregister(ctx); err != nil {
			return err
		}
	} else {
		err := u.goBack(ctx, *move, *u.state.Running)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, errNoWayBack):
			u.log.ErrorContext(ctx, "no way back", "error", err)
			why += "; " + err.Error()
			u.unstarted = true
		case err != nil:
			if session := u.agent.current(); session != nil {
				u.say(ctx, session, u.want, rollout.Replacing, "puts the former version back: "+err.Error())
			}
			return err
		}
	}
	u.state.Move = nil
	u.save()
	u.finish(ctx, move.Slot, rollout.Broken, why)
	return nil
}

// goBack has the former version run, and registered as healthy as it is.
func (u *unit) goBack(ctx context.Context, move Move, old Run) error {
	back, err := u.startAgain(ctx, move, old)
	if err != nil {
		return err
	}
	waitCtx, cancel := context.WithTimeout(ctx, u.state.Service.Roll.HealthyDeadline.Std())
	defer cancel()
	proven := seenHealthy
	if err := u.healthy(waitCtx, u.state.Service, back, 0); err != nil {
		proven = unproven
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u.log.ErrorContext(ctx, "the former version is not healthy either", "version", back.Version, "error", err)
	}
	u.registerOrWarn(ctx, u.state.Service, back, proven)
	u.maintain(ctx, false, "")
	return nil
}

// startAgain starts the former version in the new one's place, unless it runs
// already: a former agent may have come this far.
func (u *unit) startAgain(ctx context.Context, move Move, old Run) (Run, error) {
	rt, err := u.agent.runtime(u.state.Service.Runtime.Kind)
	if err != nil {
		if err := u.stopNew(ctx, move); err != nil {
			return old, err
		}
		return old, fmt.Errorf("%w: %w", errNoWayBack, err)
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
	old.Handle, err = rt.Start(ctx, u.instance(u.state.Service, old))
	u.state.Running = &old
	u.save()
	if err != nil {
		return old, fmt.Errorf("%w: %w", errNoWayBack, err)
	}
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
