package script

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"switchd/runner"
	"switchd/runner/hook"
	"switchd/runner/logfile"
)

// What the status script answers by its exit status, as the scripts of
// /etc/init.d do. Every other status says that it can't tell.
// Source: Linux Standard Base Core 5.0, 22.2 Init Script Actions.
const (
	statusRunning = 0
	statusStopped = 3
)

// run is one start of a version, with all that its scripts need, so that they
// can be run whatever the inputs say by then.
type run struct {
	ID       string              `json:"id"`
	Instance string              `json:"instance"`
	Version  string              `json:"version"`
	Dir      string              `json:"dir"`
	LogFile  string              `json:"log"`
	Env      map[string]string   `json:"env,omitempty"`
	Hooks    map[string][]string `json:"hooks"`
	Timeout  time.Duration       `json:"timeout,omitempty"` // of each hook, in nanoseconds
	Printed  string              `json:"printed,omitempty"` // the last line of the start script
	Phase    phase               `json:"phase"`
}

// runOf notes an instance as it is to be started.
func runOf(inst runner.Instance, id string) (run, error) {
	switch {
	case inst.User != "":
		return run{}, fmt.Errorf("user %q: scripts run as the agent's user; set another one in the start script, as by setpriv", inst.User)
	case len(inst.Limits) > 0:
		return run{}, errors.New("scripts run with the agent's limits; set others in the start script, as by ulimit")
	case inst.Dir == "":
		return run{}, errors.New("the instance has no directory")
	}
	dir, err := filepath.Abs(inst.Dir)
	if err != nil {
		return run{}, fmt.Errorf("find the release: %w", err)
	}
	logFile, err := filepath.Abs(inst.LogFile)
	if err != nil {
		return run{}, fmt.Errorf("find the log: %w", err)
	}
	next := run{
		ID: id, Instance: inst.ID, Version: inst.Version, Dir: dir, LogFile: logFile,
		Env: inst.Env, Hooks: inst.Hooks, Timeout: inst.HookTimeout, Phase: starting,
	}
	return next, next.complete()
}

// complete tells whether all the scripts are given that are needed.
func (r run) complete() error {
	for _, name := range []string{StartHook, StopHook, StatusHook} {
		if len(r.Hooks[name]) == 0 {
			return fmt.Errorf("the hook %q is missing: a runtime of scripts needs start, stop and status", name)
		}
	}
	return nil
}

// stop is what a stop script is told.
type stop struct {
	signal string
	grace  time.Duration
}

func stopOf(inst runner.Instance) (stop, error) {
	sig, err := inst.Signal()
	return stop{signal: unix.SignalName(sig), grace: inst.StopGrace}, err
}

// hook makes one of the scripts ready to run.
func (r run) hook(name string, how stop) hook.Hook {
	inst := runner.Instance{ID: r.Instance, Version: r.Version, Dir: r.Dir, LogFile: r.LogFile, Env: r.Env}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = hook.DefaultTimeout
	}
	told := map[string]string{"SWITCHD_HANDLE": r.Printed, "SWITCHD_STOP_SIGNAL": "", "SWITCHD_STOP_GRACE": ""}
	if name == StopHook {
		timeout += how.grace
		told["SWITCHD_STOP_SIGNAL"] = how.signal
		told["SWITCHD_STOP_GRACE"] = strconv.FormatFloat(how.grace.Seconds(), 'f', -1, 64)
	}
	return hook.Hook{Name: name, Command: r.Hooks[name], Dir: r.Dir, Env: hook.Environment(inst, told), Timeout: timeout}
}

// run runs a script with its output in the log. What start prints is for the
// other scripts, and only its errors are logged; what status prints is not
// logged, as it is run every few seconds.
func (r run) run(ctx context.Context, name string, how stop) (hook.Result, error) {
	script := r.hook(name, how)
	if name != StatusHook {
		output, err := logfile.Open(r.LogFile)
		if err != nil {
			return hook.Result{}, err
		}
		defer output.Close() //nolint:errcheck // A log: the script's end counts.
		script.Log = output
	}
	script.Asked = name == StartHook
	return script.Run(ctx)
}

// runIfGiven runs a script that not every instance has.
func (r run) runIfGiven(ctx context.Context, name string) error {
	if len(r.Hooks[name]) == 0 {
		return nil
	}
	result, err := r.run(ctx, name, stop{})
	if err != nil {
		return err
	}
	return result.Err()
}

// check tells whether all the scripts can be run.
func (r run) check() error {
	for _, name := range slices.Sorted(maps.Keys(r.Hooks)) {
		if len(r.Hooks[name]) == 0 {
			continue
		}
		if err := r.hook(name, stop{}).Check(); err != nil {
			return err
		}
	}
	return nil
}

// status asks the status script.
func (r run) status(ctx context.Context) (runner.Status, error) {
	if r.Phase == stopped {
		return runner.Status{Why: "it was stopped"}, nil
	}
	result, err := r.run(ctx, StatusHook, stop{})
	switch {
	case err != nil:
		return runner.Status{}, fmt.Errorf("status of %s %s: %w", r.Instance, r.Version, err)
	case result.Status == statusRunning:
		return runner.Status{Running: true}, nil
	case result.Status == statusStopped:
		return runner.Status{Why: said(result)}, nil
	}
	return runner.Status{}, fmt.Errorf("status of %s %s: %w; want status %d if it runs and %d if not",
		r.Instance, r.Version, result.Err(), statusRunning, statusStopped)
}

// said is the status script's own reason, or that it had none.
func said(result hook.Result) string {
	return cmp.Or(result.Said, "its status script says that it does not run")
}
