// Package process runs instances as plain processes of this machine (Linux),
// each under a shim: a small process of its own that outlives the agent, keeps
// the service's log, starts the service again when it ends, and ends with it.
package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"switchd/runner"
)

// Runtime is the kind "process".
//
// Its shims are no one's children once the agent has ended. Whatever
// supervises the agent must leave them alone: a systemd unit needs
// KillMode=process.
type Runtime struct {
	shim []string
	log  *slog.Logger
}

var _ runner.Runtime = (*Runtime)(nil)

// New returns a runtime that logs starts and ends to log. shim is a command
// whose main function is Shim; /proc/self/exe as its program is the running
// agent, also when the file on disk has been replaced. Without a shim it can
// do everything but stage and start.
func New(shim []string, log *slog.Logger) *Runtime {
	return &Runtime{shim: shim, log: log}
}

// Stage checks that the instance could be started: its command, user, limits
// and directory, by a process that becomes all of this and then ends.
func (r *Runtime) Stage(ctx context.Context, inst runner.Instance) error {
	if err := r.check(ctx, inst); err != nil {
		return fmt.Errorf("stage %s %s: %w", inst.ID, inst.Version, err)
	}
	return nil
}

func (r *Runtime) check(ctx context.Context, inst runner.Instance) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t, err := plan(doCheck, inst)
	if err != nil {
		return err
	}
	child, err := r.launch(ctx, t, inst)
	if err != nil {
		return err
	}
	return dismiss(child)
}

// Start runs the instance's command in its directory under a new shim. It
// returns when the command has been executed; the errors of one that can't be
// name the file and the version. What a shim that was killed has left of the
// instance is ended first; an instance that runs is not started twice.
//
// The command must stay in the foreground: when its process ends, with
// whatever status, the shim ends what it left and starts it again, after a
// pause of 1 s that doubles up to 30 s.
//
// The shim is reaped by a goroutine that ends with it.
func (r *Runtime) Start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	h, err := r.start(ctx, inst)
	if err != nil {
		return "", fmt.Errorf("start %s %s: %w", inst.ID, inst.Version, err)
	}
	return h, nil
}

func (r *Runtime) start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	t, err := plan(doSupervise, inst)
	if err != nil {
		return "", err
	}
	// The shim's lock decides; this also sees what an agent without shims left.
	if found, err := r.Find(ctx, inst); err != nil {
		return "", err
	} else if len(found) > 0 {
		return "", fmt.Errorf("it runs already, as %q: stop that first", found[0])
	}
	if err := r.sweep(ctx, inst.ID); err != nil {
		return "", fmt.Errorf("end what is left of a former run: %w", err)
	}
	child, err := r.launch(ctx, t, inst)
	if err != nil {
		return "", err
	}
	// Until it is reaped its entry in /proc stays, even if it has ended.
	id, err := identify(child.Pid)
	if err != nil {
		return "", errors.Join(fmt.Errorf("identify pid %d: %w", child.Pid, err), dismiss(child))
	}
	go r.reap(child, inst)
	r.log.InfoContext(ctx, "instance started", "instance", inst.ID, "version", inst.Version, "shim", child.Pid)
	return instance{id, t.Socket}.handle(), nil
}

// reap waits for a shim, so that none becomes a zombie.
func (r *Runtime) reap(child *os.Process, inst runner.Instance) {
	state, err := child.Wait()
	if err != nil {
		r.log.Error("shim can't be waited for", "instance", inst.ID, "version", inst.Version, "shim", child.Pid, "error", err)
		return
	}
	r.log.Info("shim ended", "instance", inst.ID, "version", inst.Version, "shim", child.Pid, "state", state.String())
}

// sweep kills what carries the mark of a shim that is no more.
func (r *Runtime) sweep(ctx context.Context, id string) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	all, err := processes()
	if err != nil {
		return err
	}
	for _, s := range all {
		m := readMarks(s.pid)
		if m.instance != id || m.shim == "" || s.ended() {
			continue
		}
		shim, err := parseMark(m.shim, boot)
		if err != nil {
			continue
		}
		if alive, err := shim.alive(); err != nil || alive {
			continue
		}
		r.log.WarnContext(ctx, "killing what a shim has left", "instance", id, "pid", s.pid, "shim", shim.pid)
		if err := (session{leader: shim, instance: id}).kill(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Find returns the shims of the instance, and what an agent without shims has
// started of it: session leaders that carry its ID in the environment they
// were started with. It can't see the processes of other users, unless it runs
// as root, nor those that wrote over their environment.
func (r *Runtime) Find(ctx context.Context, inst runner.Instance) ([]runner.Handle, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var found []runner.Handle
	for _, s := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if s.session != s.pid || s.ended() {
			continue
		}
		// What carries a shim's mark is not the instance, but a part of one.
		if m := readMarks(s.pid); m.instance == inst.ID && m.shim == "" {
			found = append(found, instance{identity{s.pid, s.start, boot}, m.socket}.handle())
		}
	}
	return found, nil
}

// Status tells whether exactly the process that h names is alive, and what
// its shim says.
func (r *Runtime) Status(ctx context.Context, h runner.Handle) (runner.Status, error) {
	i, err := parseHandle(h)
	if err != nil {
		return runner.Status{}, err
	}
	alive, err := i.alive()
	switch {
	case err != nil:
		return runner.Status{}, err
	case !alive && i.socket != "":
		return runner.Status{Why: fmt.Sprintf("its shim, pid %d, is gone", i.pid)}, nil
	case !alive:
		return runner.Status{Why: fmt.Sprintf("pid %d is gone", i.pid)}, nil
	case i.socket == "":
		return runner.Status{Running: true}, nil
	}
	a, err := ask(ctx, i.socket, order{})
	if err == nil {
		return runner.Status{Running: true, Restarts: a.Restarts, Why: a.Why}, nil
	}
	if ctx.Err() != nil {
		return runner.Status{}, ctx.Err()
	}
	// It may have ended while it was asked.
	if alive, aliveErr := i.alive(); aliveErr != nil || !alive {
		return runner.Status{Why: fmt.Sprintf("its shim, pid %d, is gone", i.pid)}, aliveErr
	}
	return runner.Status{Running: true, Why: err.Error()}, nil
}

// Wait returns nil when the process that h names has ended, or ctx's error. A
// shim ends when it is stopped or killed, not when its service ends.
func (r *Runtime) Wait(ctx context.Context, h runner.Handle) error {
	i, err := parseHandle(h)
	if err != nil {
		return err
	}
	alive, err := i.alive()
	if err != nil || !alive {
		return err
	}
	return await(ctx, i.pid, i.start)
}

// Cleanup has nothing to remove: the log and the shim's directory belong to
// the instance, in all its versions.
func (r *Runtime) Cleanup(context.Context, runner.Instance) error { return nil }
