package rolling

import (
	"context"
	"fmt"
	"time"

	"switchd/runner"
)

// supervise has the last good version running: it adopts what a former agent
// started, and starts again what has ended.
func (u *unit) supervise(ctx context.Context) error {
	run := u.state.Running
	if run == nil || u.state.Move != nil {
		return nil
	}
	runtime, err := u.agent.runtime(u.state.Service.Runtime.Kind)
	if err != nil {
		return fmt.Errorf("look after %s %s: %w", u.id, run.Version, err)
	}
	status, err := u.status(ctx, runtime, *run)
	if err != nil {
		return fmt.Errorf("look after %s %s: %w", u.id, run.Version, err)
	}
	if status.Running {
		u.watchEnd(ctx, runtime, run.Handle)
		return nil
	}
	inst := u.instance(u.state.Service, *run)
	// The agent may have died between the start and the note of it.
	found, err := runtime.Find(ctx, inst)
	if err != nil {
		return fmt.Errorf("look for %s: %w", inst.ID, err)
	}
	if len(found) > 0 {
		u.log.InfoContext(ctx, "adopted", "version", run.Version, "handle", found[0])
		return u.runs(ctx, runtime, found[0])
	}
	if time.Now().Before(u.nextStart) {
		return nil
	}
	if time.Since(u.lastStart) > steady {
		u.crashes = 0
	}
	u.crashes++
	u.lastStart = time.Now()
	backoff := min(crashBackoff<<min(u.crashes-1, 10), maxBackoff)
	u.nextStart = time.Now().Add(backoff)
	u.log.WarnContext(ctx, "not running, starting it", "version", run.Version, "start", u.crashes)
	if err := u.preload(ctx, u.state.Service, *run); err != nil {
		u.log.WarnContext(ctx, "starting without its files in memory", "error", err)
	}
	handle, err := runtime.Start(ctx, inst)
	if err != nil {
		u.unstarted = true // perhaps its files are gone
		return err
	}
	return u.runs(ctx, runtime, handle)
}

// status is that of what the journal says runs.
func (u *unit) status(ctx context.Context, rt runner.Runtime, run Run) (runner.Status, error) {
	if run.Handle == "" {
		return runner.Status{}, nil
	}
	return rt.Status(ctx, run.Handle)
}

// runs notes the handle of the last good version.
func (u *unit) runs(ctx context.Context, rt runner.Runtime, h runner.Handle) error {
	run := *u.state.Running
	run.Handle = h
	u.state.Running = &run
	u.save()
	u.watchEnd(ctx, rt, h)
	return nil
}

// watchEnd wakes the unit when the process ends.
func (u *unit) watchEnd(ctx context.Context, rt runner.Runtime, h runner.Handle) {
	if u.watched == h {
		return
	}
	u.watched = h
	started := time.Now()
	u.watches.Go(func() {
		for err := rt.Wait(ctx, h); err != nil; err = rt.Wait(ctx, h) {
			if ctx.Err() != nil {
				return
			}
			u.log.WarnContext(ctx, "wait for the end", "handle", h, "error", err)
			sleep(ctx, recheckEvery) // what it asks may be away for a while
		}
		if time.Since(started) < steady {
			u.log.WarnContext(ctx, "ended soon after it was started", "handle", h)
		}
		u.poke()
	})
}
