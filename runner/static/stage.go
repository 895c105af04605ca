package static

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"switchd/runner"
	"switchd/runner/record"
)

// Stage checks that the release is there, that the link can be made and
// nothing but a link is in its way, and that the reload's program exists.
func (r *Runtime) Stage(ctx context.Context, inst runner.Instance) error {
	if err := r.stage(ctx, inst); err != nil {
		return fmt.Errorf("stage %s %s: %w", inst.ID, inst.Version, err)
	}
	return nil
}

func (r *Runtime) stage(ctx context.Context, inst runner.Instance) error {
	p, err := placeOf(inst)
	if err != nil {
		return err
	}
	release, err := r.turns.Take(ctx, p.state)
	if err != nil {
		return err
	}
	defer release()
	if info, err := os.Stat(p.dir); err != nil {
		return fmt.Errorf("find the release: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("find the release: %s is no directory", p.dir)
	}
	if _, err := p.former(); err != nil {
		return err
	}
	if err := tryLink(p); err != nil {
		return err
	}
	if h, ok := reloadOf(inst); ok {
		return h.Check()
	}
	return nil
}

// tryLink makes and removes the link's successor: only that shows that it can
// be done, whatever modes, owners and mounts there are.
func tryLink(p place) error {
	dir := filepath.Dir(p.link)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is to be made in %s, which is not there; create that directory on this node", p.link, dir)
	}
	temp := temporary(p.link)
	err := os.Remove(temp)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.Symlink(p.dir, temp)
	}
	if err == nil {
		err = os.Remove(temp)
	}
	if err != nil {
		return fmt.Errorf("no link can be made in %s; let the agent write there: %w", dir, err)
	}
	return nil
}

// Cleanup forgets a release. A link that still leads to it stays while it
// runs, and is removed otherwise, since its target goes away.
func (r *Runtime) Cleanup(ctx context.Context, inst runner.Instance) error {
	if err := r.cleanup(ctx, inst); err != nil {
		return fmt.Errorf("clean up %s %s: %w", inst.ID, inst.Version, err)
	}
	return nil
}

func (r *Runtime) cleanup(ctx context.Context, inst runner.Instance) error {
	p, err := placeOf(inst)
	if err != nil {
		return err
	}
	release, err := r.turns.Take(ctx, p.state)
	if err != nil {
		return err
	}
	defer release()
	noted, err := r.load(ctx, p.state)
	if err != nil {
		return err
	}
	var errs []error
	before := len(noted.Runs)
	noted.drop(func(one run) bool {
		if one.Dir != p.dir {
			return false
		}
		leads, err := one.leads()
		switch {
		case err != nil:
		case !leads:
			return true
		case one.Phase == started:
			return false
		default:
			if err = unlink(one.Link); err == nil {
				return true
			}
		}
		errs = append(errs, err)
		return false
	})
	switch {
	case len(noted.Runs) == before:
	case len(noted.Runs) > 0:
		errs = append(errs, record.Write(p.state, noted))
	default:
		errs = append(errs, record.Remove(p.state))
	}
	return errors.Join(errs...)
}
