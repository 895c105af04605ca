package waitfor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"

	"switchd/gate"
	"switchd/runner/environ"
	"switchd/runner/hook"
)

// watchCommand runs a command again and again.
func (w Wait) watchCommand(ctx context.Context, report func(gate.Verdict)) {
	name := w.For.Command[0]
	if w.Commands == "" {
		report(gate.Undecided("this replica runs no commands, and so not %s: start it with serve --gate-commands DIRECTORY", quote(name)))
		<-ctx.Done()
		return
	}
	report(gate.Undecided("%s runs for the first time, for %s at most", name, w.timeout()))
	w.again(ctx, report, w.runCommand)
}

// runCommand runs it once, without a shell and with an environment of what switchd
// tells only. It is a group of processes of its own, which is killed at the
// timeout and when nobody waits any more.
func (w Wait) runCommand(ctx context.Context) gate.Verdict {
	name := w.For.Command[0]
	path, err := allowed(w.Commands, name)
	if err != nil {
		return gate.Undecided("%v", err)
	}
	command := slices.Clone(w.For.Command)
	for i := range command {
		command[i] = w.Vars.Expand(command[i])
	}
	command[0] = path
	result, err := hook.Hook{Name: name, Command: command, Dir: w.Commands, Env: w.environment(), Timeout: w.timeout()}.Run(ctx)
	said := ", and said nothing"
	if result.Said != "" {
		said = ": " + quote(result.Said)
	}
	exit, ended := errors.AsType[*exec.ExitError](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return gate.Undecided("%s was killed, as it had not ended after %s%s", name, w.timeout(), said)
	case ended:
		return gate.Undecided("%s was ended by somebody (%s)%s", name, exit, said)
	case err != nil:
		return gate.Undecided("%s can't be run: %v", name, cause(err))
	case result.Status != 0:
		return gate.Undecided("%s exited with status %d%s", name, result.Status, said)
	default:
		return gate.Passed("%s exited with status 0%s", name, said)
	}
}

func (w Wait) environment() []string {
	return environ.List(environ.Minimal(), map[string]string{
		"SWITCHD_SERVICE": w.Vars.Service,
		"SWITCHD_VERSION": w.Vars.Version,
		"SWITCHD_POOL":    w.Vars.Pool,
		"SWITCHD_ENV":     w.Env,
		"SWITCHD_ROLLOUT": w.Rollout,
	})
}

// cause is what the system said.
func cause(err error) error {
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", failed.Op, failed.Err)
	}
	return err
}
