// Package systemd runs instances as units of systemd, 244 or newer.
//
// A release that names no unit gets one of its own, which starts its command
// again after a failure. One that names a template, such as web@.service, runs
// as an instance of the operator's unit, with a drop-in that says what the
// release says; what it doesn't say, such as an ExecStart, is the template's.
//
// Units and drop-ins lie in /run and are gone after a reboot. Environment
// variables are in a file that only the agent's user can read, since everyone
// may ask systemd for a unit's own. The output is appended to the log file by
// systemd, which doesn't rotate it: a large one is put aside at a start, and
// logrotate's copytruncate works.
//
// It is tested with systemd 252 as the first process of namespaces of its own,
// over its private socket and over a bus of dbus-daemon.
package systemd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"switchd/runner"
	"switchd/runner/environ"
	"switchd/runner/logfile"
	"switchd/runner/program"
)

// The service managers of a machine, for Config.Bus.
const (
	System = ""     // the system's, over its bus, or for root also without one
	User   = "user" // that of the agent's user
)

// unitSetting names the template in Instance.Settings.
const unitSetting = "unit"

// Config tells where systemd is. Its zero value is the system's manager.
type Config struct {
	// Bus is System, User, or the D-Bus address of a bus or of the manager's
	// own socket, such as "unix:path=/run/systemd/private".
	Bus string
	// UnitDir is where units are written, /run/systemd/system by default.
	UnitDir string
	// StateDir is where environments are written; it is made with mode 0700
	// and must not outlive a boot. /run/switchd is the default.
	StateDir string
}

// Runtime runs instances as units. It keeps nothing but its configuration:
// each call has a connection of its own.
type Runtime struct {
	config Config
	log    *slog.Logger
}

var _ runner.Runtime = (*Runtime)(nil)

// New returns a runtime that logs starts and stops to log.
func New(config Config, log *slog.Logger) *Runtime {
	run, units := "/run", "/run/systemd/system"
	if config.Bus == User {
		run = os.Getenv("XDG_RUNTIME_DIR")
		units = filepath.Join(run, "systemd", "user")
	}
	config.UnitDir = cmp.Or(config.UnitDir, units)
	config.StateDir = cmp.Or(config.StateDir, filepath.Join(run, "switchd"))
	return &Runtime{config: config, log: log}
}

// Stage writes the unit or the drop-in and has systemd load it. Its errors are
// those of the command, the user, the limits and of what systemd makes of the
// unit.
func (r *Runtime) Stage(ctx context.Context, inst runner.Instance) error {
	err := r.with(ctx, func(b *bus) error {
		_, err := r.stage(ctx, b, inst)
		return err
	})
	return about("stage", inst, err)
}

// Start starts the unit and returns when systemd says that it has started: a
// unit of a release's own when its command is being executed, a template's
// by its Type=.
func (r *Runtime) Start(ctx context.Context, inst runner.Instance) (runner.Handle, error) {
	var h runner.Handle
	err := r.with(ctx, func(b *bus) (err error) {
		h, err = r.start(ctx, b, inst)
		return err
	})
	return h, about("start", inst, err)
}

// Find returns the units of all versions of the instance that are there.
func (r *Runtime) Find(ctx context.Context, inst runner.Instance) ([]runner.Handle, error) {
	var found []runner.Handle
	err := r.with(ctx, func(b *bus) error {
		files, err := os.ReadDir(r.config.StateDir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, file := range files {
			unit, ok := strings.CutSuffix(file.Name(), envSuffix)
			if !ok || !isOf(unit, inst) {
				continue
			}
			s, _, err := b.unit(ctx, unit)
			if err != nil {
				return err
			}
			start, err := token(r.env(unit))
			if err != nil {
				return err
			}
			if !s.ended() && start != "" {
				found = append(found, identity{unit: unit, token: start}.handle())
			}
		}
		return nil
	})
	return found, about("find", inst, err)
}

// Status tells what systemd says of the unit.
func (r *Runtime) Status(ctx context.Context, h runner.Handle) (runner.Status, error) {
	var status runner.Status
	err := r.of(ctx, h, func(b *bus, id identity) error {
		s, _, err := b.unit(ctx, id.unit)
		if err == nil {
			status, err = s.status(r.end(id.unit))
		}
		return err
	}, func() { status = runner.Status{Why: "the unit has been started anew or removed since"} })
	return status, err
}

// Stop has systemd stop the unit and returns when all of its processes are
// gone.
func (r *Runtime) Stop(ctx context.Context, h runner.Handle, inst runner.Instance) error {
	err := r.of(ctx, h, func(b *bus, id identity) error { return r.stop(ctx, b, id, inst) }, nil)
	return about("stop", inst, err)
}

// Wait returns when systemd neither runs the unit nor is going to start it
// again. It outlasts a restart of the bus or of systemd itself.
func (r *Runtime) Wait(ctx context.Context, h runner.Handle) error {
	for lost := 0; ; lost++ {
		err := r.of(ctx, h, func(b *bus, id identity) error {
			lost = min(lost, 1)
			return r.wait(ctx, b, id)
		}, nil)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		// Before a first connection nothing was lost.
		if lost == 0 && !disconnected(err) || lost > reconnects {
			return err
		}
		r.log.WarnContext(ctx, "systemd is away while a unit is waited for", "handle", string(h), "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(reconnectPause):
		}
	}
}

// How often, and after which pause, Wait connects again.
const (
	reconnects     = 30
	reconnectPause = time.Second
)

// Cleanup removes the unit or the drop-in of the version and its environment,
// unless that version runs.
func (r *Runtime) Cleanup(ctx context.Context, inst runner.Instance) error {
	err := r.with(ctx, func(b *bus) error {
		unit, err := unitName(inst)
		if err != nil {
			return err
		}
		s, _, err := b.unit(ctx, unit)
		if err != nil {
			return err
		}
		if !s.ended() {
			return fmt.Errorf("unit %s runs; stop it first", unit)
		}
		return r.remove(ctx, b, unit)
	})
	return about("clean up", inst, err)
}

// with runs do with a connection.
func (r *Runtime) with(ctx context.Context, do func(*bus) error) error {
	b, err := dial(ctx, r.config.Bus)
	if err != nil {
		return err
	}
	defer b.close()
	return do(b)
}

// of runs do with a connection if the start that the handle names is still the
// last one of its unit, and otherwise other, if there is one.
func (r *Runtime) of(ctx context.Context, h runner.Handle, do func(*bus, identity) error, other func()) error {
	id, err := parseHandle(h)
	if err != nil {
		return err
	}
	start, err := token(r.env(id.unit))
	switch {
	case err != nil:
		return err
	case start == id.token:
		return r.with(ctx, func(b *bus) error { return do(b, id) })
	case other != nil:
		other()
	}
	return ctx.Err()
}

func about(action string, inst runner.Instance, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s %s: %w", action, inst.ID, inst.Version, err)
	}
	return nil
}

// stage writes what the unit is made of, and returns its name.
func (r *Runtime) stage(ctx context.Context, b *bus, inst runner.Instance) (string, error) {
	unit, err := unitName(inst)
	if err != nil {
		return "", err
	}
	path, text, err := r.render(inst, unit)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(r.config.StateDir, 0o700); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // Units are no secret.
		return "", err
	}
	changed, err := replace(path, text, 0o644)
	if err != nil {
		return "", fmt.Errorf("write unit %s: %w", unit, err)
	}
	stale, err := r.removeStop(unit)
	if err != nil {
		return "", err
	}
	s, _, err := b.unit(ctx, unit)
	if err != nil {
		return "", err
	}
	if changed || stale || s.needDaemonReload || s.loadState != "loaded" {
		if err := b.reload(ctx); err != nil {
			return "", err
		}
		if s, _, err = b.unit(ctx, unit); err != nil {
			return "", err
		}
	}
	if s.loadState == "not-found" && inst.Settings[unitSetting] != "" {
		return "", fmt.Errorf("the template %s is not installed on this node: put it into /etc/systemd/system and run systemctl daemon-reload", inst.Settings[unitSetting])
	}
	return unit, s.loaded()
}

// render returns the file that makes the unit and what is to be in it.
func (r *Runtime) render(inst runner.Instance, unit string) (path, text string, err error) {
	var command string
	template := inst.Settings[unitSetting] != ""
	switch {
	case !filepath.IsAbs(inst.Dir):
		return "", "", fmt.Errorf("its directory %q is no absolute path", inst.Dir)
	case inst.LogFile != "" && !filepath.IsAbs(inst.LogFile):
		return "", "", fmt.Errorf("its log file %q is no absolute path", inst.LogFile)
	case len(inst.Command) > 0:
		if command, err = program.Find(inst.Command, inst.Dir, environ.PathOf(inst)); err != nil {
			return "", "", err
		}
	case !template:
		return "", "", errors.New("the release has neither a command to run nor a unit")
	}
	if err := checkUser(inst, r.config.Bus); err != nil {
		return "", "", err
	}
	if _, err := environment(inst, ""); err != nil {
		return "", "", err
	}
	if template {
		text, err = dropIn(inst, command, r.env(unit))
		return filepath.Join(r.dropIns(unit), "50-switchd.conf"), text, err
	}
	text, err = unitFile(inst, command, r.env(unit), r.end(unit))
	return filepath.Join(r.config.UnitDir, unit), text, err
}

func (r *Runtime) start(ctx context.Context, b *bus, inst runner.Instance) (runner.Handle, error) {
	unit, err := r.stage(ctx, b, inst)
	if err != nil {
		return "", err
	}
	s, _, err := b.unit(ctx, unit)
	if err != nil {
		return "", err
	}
	if !s.ended() {
		return "", fmt.Errorf("unit %s runs already (%s); stop it first", unit, s.activeState)
	}
	if err := makeLog(inst.LogFile); err != nil {
		return "", err
	}
	id := newIdentity(unit)
	env, err := environment(inst, id.token)
	if err != nil {
		return "", err
	}
	if _, err := replace(r.env(unit), env, 0o600); err != nil {
		return "", fmt.Errorf("write the environment of unit %s: %w", unit, err)
	}
	if err := os.Remove(r.end(unit)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := b.resetFailed(ctx, unit); err != nil {
		return "", err
	}
	if err := r.run(ctx, b, unit); err != nil {
		return "", errors.Join(fmt.Errorf("start unit %s: %w", unit, err), r.undo(ctx, unit))
	}
	r.log.InfoContext(ctx, "instance started", "instance", inst.ID, "version", inst.Version, "unit", unit)
	return id.handle(), nil
}

// makeLog makes the file that systemd will append to: systemd itself would
// make it readable for everyone.
func makeLog(path string) error {
	if path == "" {
		return nil
	}
	if err := logfile.Rotate(path); err != nil {
		return err
	}
	f, err := logfile.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// run starts a unit. A command that could be executed has been started, even
// if it has failed since and waits for systemd to start it again.
func (r *Runtime) run(ctx context.Context, b *bus, unit string) error {
	result, err := b.job(ctx, "StartUnit", unit)
	if err != nil || result == "done" {
		return err
	}
	s, _, err := b.unit(ctx, unit)
	if err != nil {
		return errors.Join(fmt.Errorf("systemd says %s", result), err)
	}
	if result == "failed" && s.tried() {
		return nil
	}
	return fmt.Errorf("systemd says %s: %s; journalctl -u '%s' and the log say more", result, cmp.Or(s.why(), s.activeState), unit)
}

// undoTime bounds what is done after a start has failed.
const undoTime = 5 * time.Second

// undo keeps a failed start from being tried again by systemd, also when the
// context of the start has ended.
func (r *Runtime) undo(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	return r.with(ctx, func(b *bus) error {
		if _, err := b.job(ctx, "StopUnit", unit); err != nil {
			return fmt.Errorf("stop it again: %w", err)
		}
		return nil
	})
}

func (r *Runtime) stop(ctx context.Context, b *bus, id identity, inst runner.Instance) error {
	sig, err := inst.Signal()
	if err != nil {
		return err
	}
	s, _, err := b.unit(ctx, id.unit)
	if err != nil {
		return err
	}
	if !s.ended() {
		if err := r.setStop(ctx, b, s, sig, inst.StopGrace); err != nil {
			return err
		}
		result, err := b.job(ctx, "StopUnit", id.unit)
		if err != nil {
			return fmt.Errorf("stop unit %s: %w", id.unit, err)
		}
		if s, _, err = b.unit(ctx, id.unit); err != nil {
			return err
		}
		if !s.ended() {
			return fmt.Errorf("unit %s is still there (%s, %s): systemd says %s to its stop", id.unit, s.activeState, s.subState, result)
		}
		r.log.InfoContext(ctx, "instance stopped", "instance", inst.ID, "version", inst.Version, "unit", id.unit, "end", s.why())
	}
	return b.resetFailed(ctx, id.unit)
}

// setStop makes the signal and the grace of the unit what this stop asks for.
// They are the unit's already, unless they have changed since it was staged.
func (r *Runtime) setStop(ctx context.Context, b *bus, s state, sig unix.Signal, grace time.Duration) error {
	if s.killSignal == int32(sig) && s.timeoutStop == max(grace.Truncate(time.Microsecond), time.Microsecond) {
		return nil
	}
	path := r.stopDropIn(s.unit)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // Units are no secret.
		return err
	}
	if _, err := replace(path, stopDropIn(sig, grace), 0o644); err != nil {
		return fmt.Errorf("change how unit %s is stopped: %w", s.unit, err)
	}
	return b.reload(ctx)
}

func (r *Runtime) removeStop(unit string) (removed bool, err error) {
	err = os.Remove(r.stopDropIn(unit))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

func (r *Runtime) wait(ctx context.Context, b *bus, id identity) error {
	var path dbus.ObjectPath
	_, path, err := b.unit(ctx, id.unit)
	if err != nil {
		return err
	}
	changes, err := b.listen(ctx, dbus.WithMatchObjectPath(path), dbus.WithMatchInterface(propsIface), dbus.WithMatchMember("PropertiesChanged"))
	if err != nil {
		return err
	}
	defer b.conn.RemoveSignal(changes)
	for {
		s, _, err := b.unit(ctx, id.unit)
		if err != nil || s.ended() {
			return err
		}
		for {
			signal, err := b.next(ctx, changes)
			if err != nil {
				return err
			}
			if signal.Path == path {
				break
			}
		}
	}
}

// remove removes everything that belongs to a unit that doesn't run.
func (r *Runtime) remove(ctx context.Context, b *bus, unit string) error {
	paths := []string{filepath.Join(r.config.UnitDir, unit), filepath.Join(r.dropIns(unit), "50-switchd.conf"), r.stopDropIn(unit), r.dropIns(unit)}
	var removed []string
	for _, path := range append(paths, r.env(unit), r.end(unit)) {
		err := os.Remove(path)
		switch {
		case err == nil:
			removed = append(removed, path)
		case path == r.dropIns(unit) && errors.Is(err, unix.ENOTEMPTY): // Someone else's drop-ins.
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if !slices.ContainsFunc(paths, func(path string) bool { return slices.Contains(removed, path) }) {
		return nil
	}
	if err := b.resetFailed(ctx, unit); err != nil {
		return err
	}
	return b.reload(ctx)
}

// envSuffix ends the names of the environments in StateDir.
const envSuffix = ".env"

func (r *Runtime) env(unit string) string {
	return filepath.Join(r.config.StateDir, unit+envSuffix)
}

// end is where a unit of a release's own notes how it ended.
func (r *Runtime) end(unit string) string {
	return filepath.Join(r.config.StateDir, unit+".end")
}

func (r *Runtime) dropIns(unit string) string {
	return filepath.Join(r.config.UnitDir, unit+".d")
}

// stopDropIn comes after what an operator puts beside the unit.
func (r *Runtime) stopDropIn(unit string) string {
	return filepath.Join(r.dropIns(unit), "99-switchd-stop.conf")
}
