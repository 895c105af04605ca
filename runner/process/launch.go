package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"switchd/runner"
	"switchd/runner/environ"
	"switchd/runner/logfile"
)

// launchTime bounds what a shim does before its report.
const launchTime = 30 * time.Second

// plan turns an instance into a task, with all that can be checked here.
func plan(do string, inst runner.Instance) (task, error) {
	if inst.ID == "" {
		return task{}, errors.New("the instance has no ID")
	}
	path, err := executable(inst)
	if err != nil {
		return task{}, err
	}
	if err := checkProgram(path); err != nil {
		return task{}, err
	}
	if err := checkLimits(inst.Limits); err != nil {
		return task{}, err
	}
	as, err := lookUp(inst.User)
	if err != nil {
		return task{}, err
	}
	sig, err := inst.Signal()
	if err != nil {
		return task{}, err
	}
	socket, err := socketOf(inst)
	if err != nil {
		return task{}, err
	}
	return task{
		Do: do, LogFile: inst.LogFile, Socket: socket, StopSignal: int(sig), StopGrace: inst.StopGrace,
		Program: command{Path: path, Args: inst.Command, Env: environment(inst, as), Dir: inst.Dir, Limits: inst.Limits, Account: as},
	}, nil
}

// launch gives a task to a new shim process and returns it when it has
// reported that all is well.
func (r *Runtime) launch(ctx context.Context, t task, inst runner.Instance) (*os.Process, error) {
	if len(r.shim) == 0 {
		return nil, errors.New("start its shim: this runtime was made without the command of one")
	}
	ctx, cancel := context.WithTimeout(ctx, launchTime)
	defer cancel()
	stdin, err := give(t)
	if err != nil {
		return nil, err
	}
	defer stdin.Close() //nolint:errcheck // In memory.
	// Only the shim's own last words go there past its rotation.
	log, err := logfile.Open(inst.LogFile)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // Nothing was written through it.
	in, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe for the report: %w", err)
	}
	defer in.Close() //nolint:errcheck // Opened for reading.
	child, err := os.StartProcess(r.shim[0], r.shim, &os.ProcAttr{
		Dir:   "/",
		Env:   environ.List(environ.Minimal(), environ.Identity(inst), map[string]string{socketVar: t.Socket}),
		Files: []*os.File{stdin, log, log, out},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err := errors.Join(err, out.Close()); err != nil {
		return nil, fmt.Errorf("start its shim: %w", err)
	}
	wake := context.AfterFunc(ctx, func() {
		_ = in.SetReadDeadline(time.Unix(1, 0)) // Fails only when it is closed: nobody waits.
	})
	defer wake()
	result, err := take[report](in)
	switch {
	case ctx.Err() != nil && err != nil:
		err = fmt.Errorf("wait for its shim: %w", ctx.Err())
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("its shim has ended without a report; look at the end of %s", inst.LogFile)
	case err != nil:
		err = fmt.Errorf("wait for its shim: %w", err)
	case result.Error != "":
		err = errors.New(result.Error)
	}
	if err != nil {
		return nil, errors.Join(err, dismiss(child))
	}
	return child, nil
}

// dismiss ends a shim process that has failed, and with it what it has
// started.
func dismiss(child *os.Process) error {
	if err := child.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end its shim: %w", err)
	}
	if _, err := child.Wait(); err != nil {
		return fmt.Errorf("end its shim: %w", err)
	}
	return nil
}
