package script

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"switchd/runner"
	"switchd/runner/record"
)

// Stage checks that the scripts are there and can be executed, and runs the
// stage script.
func (r *Runtime) Stage(ctx context.Context, inst runner.Instance) error {
	if err := stage(ctx, inst); err != nil {
		return fmt.Errorf("stage %s %s: %w", inst.ID, inst.Version, err)
	}
	return nil
}

func stage(ctx context.Context, inst runner.Instance) error {
	next, err := runOf(inst, "")
	if err != nil {
		return err
	}
	if _, err := stopOf(inst); err != nil {
		return err
	}
	if err := next.check(); err != nil {
		return err
	}
	return next.runIfGiven(ctx, StageHook)
}

// Cleanup forgets a version and runs its cleanup script, unless the version
// runs, or its directory, from which the script would be run, is gone.
func (r *Runtime) Cleanup(ctx context.Context, inst runner.Instance) error {
	if err := r.cleanup(ctx, inst); err != nil {
		return fmt.Errorf("clean up %s %s: %w", inst.ID, inst.Version, err)
	}
	return nil
}

func (r *Runtime) cleanup(ctx context.Context, inst runner.Instance) error {
	path, err := pathOf(inst)
	if err != nil {
		return err
	}
	old, err := runOf(inst, "")
	if err != nil {
		return err
	}
	release, err := r.turns.Take(ctx, path)
	if err != nil {
		return err
	}
	defer release()
	noted, err := readNotes(path)
	if err != nil {
		return err
	}
	one, ok := noted.version(inst.Version)
	if ok {
		status, err := one.status(ctx)
		if err != nil || status.Running {
			return err
		}
	}
	if _, err := os.Stat(inst.Dir); !errors.Is(err, fs.ErrNotExist) {
		if err := old.runIfGiven(ctx, CleanupHook); err != nil {
			return err
		}
	}
	if !ok {
		return nil
	}
	noted.drop(one.ID)
	if len(noted.Runs) > 0 {
		return record.Write(path, noted)
	}
	return record.Remove(path)
}
