package process

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"switchd/runner"
)

// slack is how much longer than the grace a shim may take to stop.
const slack = 3 * time.Second

// Stop has the shim send the stop signal to every process of the instance,
// wherever it went, and SIGKILL to those that are left after the grace. It
// returns when all are gone, or with an error that names what is left when ctx
// ends; the shim goes on then. A shim that does not answer is killed with all
// the rest.
func (r *Runtime) Stop(ctx context.Context, h runner.Handle, inst runner.Instance) error {
	if err := r.stop(ctx, h, inst); err != nil {
		return fmt.Errorf("stop %s %s: %w", inst.ID, inst.Version, err)
	}
	return nil
}

func (r *Runtime) stop(ctx context.Context, h runner.Handle, inst runner.Instance) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i, err := parseHandle(h)
	if err != nil {
		return err
	}
	sig, err := inst.Signal()
	if err != nil {
		return err
	}
	s := session{leader: i.identity, instance: inst.ID}
	if i.socket == "" {
		return r.stopSession(ctx, s, sig, inst)
	}
	if err := r.stopShim(ctx, i, sig, inst); err != nil {
		return errors.Join(err, s.left())
	}
	// Of a shim that was killed something may be left.
	if err := s.kill(ctx); err != nil {
		return errors.Join(err, s.left())
	}
	return nil
}

// stopShim returns when the shim is gone, or has not obeyed in time.
func (r *Runtime) stopShim(ctx context.Context, i instance, sig syscall.Signal, inst runner.Instance) error {
	alive, err := i.alive()
	if err != nil || !alive {
		return err
	}
	if _, err := ask(ctx, i.socket, order{Stop: &stopOrder{Signal: int(sig), Grace: inst.StopGrace}}); err != nil {
		r.log.WarnContext(ctx, "shim does not answer, it gets SIGTERM", "instance", inst.ID, "version", inst.Version, "shim", i.pid, "error", err)
		if err := send(i.pid, i.start, unix.SIGTERM); err != nil {
			return err
		}
	}
	obeyed, cancel := context.WithTimeout(ctx, inst.StopGrace+slack)
	defer cancel()
	err = await(obeyed, i.pid, i.start)
	if err != nil && obeyed.Err() != nil && ctx.Err() == nil {
		r.log.WarnContext(ctx, "shim does not end, it is killed", "instance", inst.ID, "version", inst.Version, "shim", i.pid)
		return nil
	}
	return err
}

// stopSession stops what runs without a shim.
func (r *Runtime) stopSession(ctx context.Context, s session, sig syscall.Signal, inst runner.Instance) error {
	// Who can't be asked is killed later; that error then counts.
	signalErr := s.signal(sig)
	grace, cancel := context.WithTimeout(ctx, inst.StopGrace)
	defer cancel()
	err := s.wait(grace)
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && grace.Err() == nil {
		return errors.Join(err, signalErr)
	}
	if ctx.Err() == nil {
		r.log.WarnContext(ctx, "instance is killed: its stop grace is over", "instance", inst.ID, "version", inst.Version, "grace", inst.StopGrace)
		err = s.kill(ctx)
	}
	if err != nil {
		return errors.Join(err, signalErr, s.left())
	}
	return nil
}
