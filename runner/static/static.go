// Package static runs instances that are files for something that serves them
// already, such as a web server: a symbolic link leads to the release, and is
// replaced by a rename, so that no reader ever finds nothing there.
//
// The setting "link" is the link's absolute path; the hook "reload" is run
// after the link was changed. Nothing is stopped: content that is not wanted
// any more stays until its successor is there. What counts as started or
// stopped is noted in a file beside the instance's log.
package static

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"switchd/runner"
	"switchd/runner/hook"
	"switchd/runner/logfile"
	"switchd/runner/poll"
	"switchd/runner/record"
)

const (
	// LinkSetting names the symbolic link in an instance's settings.
	LinkSetting = "link"
	// ReloadHook is run when the link leads somewhere else.
	ReloadHook = "reload"
)

// Runtime points links at releases.
type Runtime struct {
	// Interval is how often Wait looks, which costs reading a link and a
	// small file.
	Interval time.Duration

	log   *slog.Logger
	turns record.Turns // by state file
}

var _ runner.Runtime = (*Runtime)(nil)

// New returns a runtime that logs starts and stops to log.
func New(log *slog.Logger) *Runtime {
	return &Runtime{Interval: 2 * time.Second, log: log}
}

// Start points the link at the release and runs the reload. If that fails, the
// link leads again where it led before, another reload is run, and the error
// tells what the hook said. To start again what was started before is to
// reload.
func (r *Runtime) Start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	h, err := r.start(ctx, inst)
	if err != nil {
		return "", fmt.Errorf("start %s %s: %w", inst.ID, inst.Version, err)
	}
	r.log.InfoContext(ctx, "instance started", "instance", inst.ID, "version", inst.Version, "link", h.link)
	return h.text(), nil
}

func (r *Runtime) start(ctx context.Context, inst runner.Instance) (handle, error) {
	p, err := placeOf(inst)
	if err != nil {
		return handle{}, err
	}
	release, err := r.turns.Take(ctx, p.state)
	if err != nil {
		return handle{}, err
	}
	defer release()
	former, err := p.former()
	if err != nil {
		return handle{}, err
	}
	noted, err := r.load(ctx, p.state)
	if err != nil {
		return handle{}, err
	}
	if err := logfile.Rotate(inst.LogFile); err != nil {
		return handle{}, err
	}
	next := run{ID: rand.Text(), Version: inst.Version, Link: p.link, Dir: p.dir, Phase: starting}
	noted.begin(next)
	if err := record.Write(p.state, noted); err != nil {
		return handle{}, err
	}
	if err := point(p.link, p.dir); err != nil {
		return handle{}, errors.Join(err, r.forget(noted, next, p.state))
	}
	err = reload(ctx, inst)
	if err == nil {
		noted.started(next.ID)
		err = record.Write(p.state, noted)
	}
	if err != nil {
		return handle{}, r.undo(ctx, inst, p, former, noted, next, err)
	}
	return handle{link: p.link, dir: p.dir, state: p.state, run: next.ID}, nil
}

// undo puts the link back after a reload that failed. It is done also when
// the caller has given up: the new release was never served properly.
func (r *Runtime) undo(ctx context.Context, inst runner.Instance, p place, former string, noted *state, next run, cause error) error {
	ctx = context.WithoutCancel(ctx)
	r.log.WarnContext(ctx, "reload failed, the link is put back", "instance", inst.ID, "version", inst.Version, "link", p.link, "former", former, "error", cause)
	if former == "" {
		if err := unlink(p.link); err != nil {
			return errors.Join(cause, fmt.Errorf("%s could not be removed again: %w", p.link, err))
		}
		return errors.Join(fmt.Errorf("%w; %s is removed again, as there was none before", cause, p.link), r.forget(noted, next, p.state))
	}
	if err := point(p.link, former); err != nil {
		return errors.Join(cause, fmt.Errorf("%s could not be put back to %s: %w", p.link, former, err))
	}
	result := fmt.Errorf("%w; %s leads to %s again", cause, p.link, former)
	if err := reload(ctx, inst); err != nil {
		result = fmt.Errorf("%w, where another reload failed too: %w", result, err)
	}
	if filepath.Clean(former) == p.dir {
		return result // What was begun stays noted: it has not been reloaded.
	}
	return errors.Join(result, r.forget(noted, next, p.state))
}

func (r *Runtime) forget(noted *state, begun run, path string) error {
	noted.drop(func(other run) bool { return other.ID == begun.ID })
	return record.Write(path, noted)
}

// reload runs the hook, if there is one, with its output in the log.
func reload(ctx context.Context, inst runner.Instance) error {
	h, ok := reloadOf(inst)
	if !ok {
		return nil
	}
	output, err := logfile.Open(inst.LogFile)
	if err != nil {
		return err
	}
	defer output.Close() //nolint:errcheck // A log: the hook's end counts.
	h.Log = output
	result, err := h.Run(ctx)
	if err != nil {
		return err
	}
	return result.Err()
}

func reloadOf(inst runner.Instance) (hook.Hook, bool) {
	command := inst.Hooks[ReloadHook]
	return hook.Hook{
		Name: ReloadHook, Command: command, Dir: inst.Dir, Env: hook.Environment(inst, nil), Timeout: inst.HookTimeout,
	}, len(command) > 0
}

// Find returns the start that the links of this instance still lead to.
func (r *Runtime) Find(ctx context.Context, inst runner.Instance) ([]runner.Handle, error) {
	path, err := record.Path(inst.LogFile, kind)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", inst.ID, err)
	}
	noted, err := r.load(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", inst.ID, err)
	}
	var found []runner.Handle
	for _, one := range noted.Runs {
		leads, err := one.leads()
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", inst.ID, err)
		}
		if leads && one.Phase == started {
			found = append(found, handle{link: one.Link, dir: one.Dir, state: path, run: one.ID}.text())
		}
	}
	return found, nil
}

// Status tells whether the link still leads to what was started, and that was
// not stopped.
func (r *Runtime) Status(ctx context.Context, h runner.Handle) (runner.Status, error) {
	parsed, err := parseHandle(h)
	if err != nil {
		return runner.Status{}, err
	}
	return r.status(ctx, parsed)
}

func (r *Runtime) status(ctx context.Context, h handle) (runner.Status, error) {
	noted, err := r.load(ctx, h.state)
	if err != nil {
		return runner.Status{}, err
	}
	target, err := targetOf(h.link)
	if err != nil {
		return runner.Status{}, err
	}
	one, ok := noted.find(h.run)
	switch {
	case target == "":
		return runner.Status{Why: h.link + " is not there"}, nil
	case target != h.dir:
		return runner.Status{Why: fmt.Sprintf("%s leads to %s", h.link, target)}, nil
	case !ok:
		return runner.Status{Why: "it was replaced or cleaned up: there is no note of it in " + h.state}, nil
	case one.Phase == starting:
		return runner.Status{Why: "its reload was not finished"}, nil
	case one.Phase == stopped:
		return runner.Status{Why: fmt.Sprintf("it was stopped; %s leads to it until something else is started", h.link)}, nil
	}
	return runner.Status{Running: true}, nil
}

// Stop notes that the content is not wanted any more. The link stays, so that
// there is something to serve until the next start.
func (r *Runtime) Stop(ctx context.Context, h runner.Handle, inst runner.Instance) error {
	parsed, err := parseHandle(h)
	if err != nil {
		return err
	}
	if err := r.stop(ctx, parsed); err != nil {
		return fmt.Errorf("stop %s: %w", inst.ID, err)
	}
	return nil
}

func (r *Runtime) stop(ctx context.Context, h handle) error {
	release, err := r.turns.Take(ctx, h.state)
	if err != nil {
		return err
	}
	defer release()
	noted, err := r.load(ctx, h.state)
	if err != nil {
		return err
	}
	if !noted.stop(h.run) {
		return nil
	}
	if err := record.Write(h.state, noted); err != nil {
		return err
	}
	r.log.InfoContext(ctx, "instance stopped", "link", h.link, "dir", h.dir)
	return nil
}

// Wait looks every Interval whether it still runs. What keeps it from looking
// is logged, once, and no end.
func (r *Runtime) Wait(ctx context.Context, h runner.Handle) error {
	parsed, err := parseHandle(h)
	if err != nil {
		return err
	}
	return poll.Ended(ctx, r.Interval, r.log.With("link", parsed.link), func(ctx context.Context) (runner.Status, error) { return r.status(ctx, parsed) })
}

// load reads the notes. Ones that can't be understood count as none: what they
// told of is then started again, which is a reload and writes them anew.
func (r *Runtime) load(ctx context.Context, path string) (*state, error) {
	noted, err := readState(path)
	if corrupt, ok := errors.AsType[*corruptError](err); ok {
		r.log.WarnContext(ctx, "notes can't be understood and are not used", "file", path, "error", corrupt.err)
		return &state{}, nil
	}
	return noted, err
}

// absolute tells whether a path is absolute and in its shortest form.
func absolute(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && !strings.ContainsRune(path, 0)
}
