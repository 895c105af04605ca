// Package script runs instances by their owner's own scripts: the runtime of
// kind "exec". What a script must do, and by which exit status it answers, is
// the contract in docs/RUNTIMES.md.
//
// The hooks "start", "stop" and "status" are needed, "stage" and "cleanup" are
// not. What was started is noted in a file beside the instance's log, so that
// it is asked about and stopped by the scripts that started it, also when
// those of another version have come since.
package script

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"switchd/runner"
	"switchd/runner/logfile"
	"switchd/runner/poll"
	"switchd/runner/record"
)

// The hooks of an instance.
const (
	StageHook   = "stage"
	StartHook   = "start"
	StopHook    = "stop"
	StatusHook  = "status"
	CleanupHook = "cleanup"
)

// Runtime runs scripts.
type Runtime struct {
	// Interval is how often Wait runs the status script.
	Interval time.Duration

	log   *slog.Logger
	turns record.Turns // by notes
}

var _ runner.Runtime = (*Runtime)(nil)

// New returns a runtime that logs starts and stops to log.
func New(log *slog.Logger) *Runtime {
	return &Runtime{Interval: 2 * time.Second, log: log}
}

// Start runs the start script. It has started the instance if it ends with
// status 0; the last line of its output is handed to the other scripts.
func (r *Runtime) Start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	h, err := r.start(ctx, inst)
	if err != nil {
		return "", fmt.Errorf("start %s %s: %w", inst.ID, inst.Version, err)
	}
	r.log.InfoContext(ctx, "instance started", "instance", inst.ID, "version", inst.Version, "printed", h.printed)
	return h.text(), nil
}

func (r *Runtime) start(ctx context.Context, inst runner.Instance) (handle, error) {
	path, err := pathOf(inst)
	if err != nil {
		return handle{}, err
	}
	release, err := r.turns.Take(ctx, path)
	if err != nil {
		return handle{}, err
	}
	defer release()
	noted, err := readNotes(path)
	if err != nil {
		return handle{}, err
	}
	if err := logfile.Rotate(inst.LogFile); err != nil {
		return handle{}, err
	}
	next, err := runOf(inst, rand.Text())
	if err != nil {
		return handle{}, err
	}
	if err := next.check(); err != nil {
		return handle{}, err
	}
	how, err := stopOf(inst)
	if err != nil {
		return handle{}, err
	}
	// First the note: if the agent dies in the middle, the status script can
	// still be asked.
	noted.begin(next)
	if err := record.Write(path, noted); err != nil {
		return handle{}, err
	}
	if err := r.launch(ctx, &next, how); err != nil {
		noted.drop(next.ID)
		return handle{}, errors.Join(err, record.Write(path, noted))
	}
	noted.started(next)
	if err := record.Write(path, noted); err != nil {
		return handle{}, fmt.Errorf("it was started, but that can't be noted: %w", err)
	}
	return next.handle(path), nil
}

// launch runs the start script and checks that the status script can tell of
// what it started: otherwise nobody could get rid of it later. A start script
// that was killed, or that nobody can tell of, is followed by the stop script;
// one that fails by itself has to leave nothing behind.
func (r *Runtime) launch(ctx context.Context, next *run, how stop) error {
	result, err := next.run(ctx, StartHook, how)
	if err == nil {
		if err := result.Err(); err != nil {
			return err
		}
		next.Printed = result.Answer
		_, err = next.status(ctx)
	}
	if err != nil {
		undone, stopErr := next.run(context.WithoutCancel(ctx), StopHook, how)
		if err := errors.Join(stopErr, undone.Err()); err != nil {
			r.log.WarnContext(ctx, "what the start script left behind may still run", "instance", next.Instance, "version", next.Version, "error", err)
		}
		return err
	}
	if result.Held {
		r.log.WarnContext(ctx, "the start script left a process behind that writes to the script's own output, and can't any more; have it write to $SWITCHD_LOG",
			"instance", next.Instance, "version", next.Version)
	}
	return nil
}

// Find asks about everything that is noted as started and not as stopped. A
// status that can't be told is an error.
func (r *Runtime) Find(ctx context.Context, inst runner.Instance) ([]runner.Handle, error) {
	found, err := r.find(ctx, inst)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", inst.ID, err)
	}
	return found, nil
}

func (r *Runtime) find(ctx context.Context, inst runner.Instance) ([]runner.Handle, error) {
	path, err := pathOf(inst)
	if err != nil {
		return nil, err
	}
	noted, err := readNotes(path)
	if err != nil {
		return nil, err
	}
	var found []runner.Handle
	for _, one := range noted.Runs {
		status, err := one.status(ctx)
		if err != nil {
			return nil, err
		}
		if status.Running {
			found = append(found, one.handle(path).text())
		}
	}
	return found, nil
}

// Status runs the status script. What is noted as stopped, replaced or cleaned
// up does not run, whatever the script would say.
func (r *Runtime) Status(ctx context.Context, h runner.Handle) (runner.Status, error) {
	parsed, err := parseHandle(h)
	if err != nil {
		return runner.Status{}, err
	}
	return r.status(ctx, parsed)
}

func (r *Runtime) status(ctx context.Context, h handle) (runner.Status, error) {
	noted, err := readNotes(h.notes)
	if err != nil {
		return runner.Status{}, err
	}
	one, ok := noted.find(h.run)
	if !ok {
		return runner.Status{Why: "it was replaced or cleaned up: there is no note of it in " + h.notes}, nil
	}
	return one.status(ctx)
}

// Stop runs the stop script, which has HookTimeout beyond the grace that it is
// to give, and asks the status script whether it worked. What does not run is
// noted as stopped without it.
func (r *Runtime) Stop(ctx context.Context, h runner.Handle, inst runner.Instance) error {
	parsed, err := parseHandle(h)
	if err != nil {
		return err
	}
	if err := r.stop(ctx, parsed, inst); err != nil {
		return fmt.Errorf("stop %s %s: %w", inst.ID, parsed.version, err)
	}
	return nil
}

func (r *Runtime) stop(ctx context.Context, h handle, inst runner.Instance) error {
	how, err := stopOf(inst)
	if err != nil {
		return err
	}
	release, err := r.turns.Take(ctx, h.notes)
	if err != nil {
		return err
	}
	defer release()
	noted, err := readNotes(h.notes)
	if err != nil {
		return err
	}
	one, ok := noted.find(h.run)
	if !ok {
		return nil
	}
	status, err := one.status(ctx)
	if err == nil && !status.Running {
		return r.stopped(ctx, one, noted, h.notes)
	}
	// A status that can't be told is no reason to leave it running.
	result, err := one.run(ctx, StopHook, how)
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		return err
	}
	status, err = one.status(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("the stop script is through, but what it did can't be told: %w", err)
	case status.Running:
		return fmt.Errorf("hook %q ended with status 0, but hook %q says that it runs; correct the one that is wrong, or end it by hand", StopHook, StatusHook)
	}
	return r.stopped(ctx, one, noted, h.notes)
}

func (r *Runtime) stopped(ctx context.Context, one run, noted *notes, path string) error {
	if one.Phase == stopped {
		return nil
	}
	noted.stopped(one.ID)
	if err := record.Write(path, noted); err != nil {
		return err
	}
	r.log.InfoContext(ctx, "instance stopped", "instance", one.Instance, "version", one.Version)
	return nil
}

// Wait runs the status script every Interval until that says that nothing
// runs. A status that can't be told is logged, once, and no end.
func (r *Runtime) Wait(ctx context.Context, h runner.Handle) error {
	parsed, err := parseHandle(h)
	if err != nil {
		return err
	}
	return poll.Ended(ctx, r.Interval, r.log.With("version", parsed.version), func(ctx context.Context) (runner.Status, error) { return r.status(ctx, parsed) })
}
