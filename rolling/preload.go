package rolling

import (
	"context"
	"errors"
	"fmt"

	"switchd/spec"
)

// Preloader has files of releases in memory. What it has loaded under an ID
// stays when the agent ends; to load or unload again is no error.
type Preloader interface {
	// May tells before a release is fetched whether files of at most so many
	// bytes could be held beside those that are held now.
	May(preload spec.Preload, atMost int64) error
	// Can tells whether the files of an unpacked release fit, unless they are
	// loaded under the ID already.
	Can(ctx context.Context, id string, preload spec.Preload, dir string) error
	Load(ctx context.Context, id string, preload spec.Preload, dir string) error
	Unload(ctx context.Context, id string) error
}

func (a *Agent) mayPreload(preload *spec.Preload, atMost int64) error {
	if preload == nil {
		return nil
	}
	if a.Preloader == nil {
		return fmt.Errorf("%w: it can't preload files", errUnfit)
	}
	if err := a.Preloader.May(*preload, atMost); err != nil {
		return errors.Join(errUnfit, err)
	}
	return nil
}

func (a *Agent) canPreload(ctx context.Context, id string, preload *spec.Preload, dir string) error {
	if preload == nil {
		return nil
	}
	if err := a.Preloader.Can(ctx, id, *preload, dir); err != nil {
		return errors.Join(errUnfit, err)
	}
	return nil
}

// preload has the files of a version in memory, before the version that it
// follows gives up its own.
func (u *unit) preload(ctx context.Context, s spec.Service, run Run) error {
	if s.Preload == nil || u.agent.Preloader == nil {
		return nil
	}
	if err := u.agent.Preloader.Load(ctx, u.preloadID(run), *s.Preload, run.Dir); err != nil {
		return fmt.Errorf("preload %s: %w", run.Version, err)
	}
	return nil
}

func (u *unit) preloadID(run Run) string {
	return fmt.Sprintf("%s:%s:%s-%.12s", u.agent.Root, u.id, run.Version, run.Release)
}

// giveUp removes what was made ready and is of no use any more: files in memory
// and what the runtime has staged. What can't be removed now is tried again.
func (u *unit) giveUp(ctx context.Context) {
	if u.fetch != nil {
		return // it may be making ready what nobody knows of yet
	}
	for _, held := range u.agent.journal.Held(u.id) {
		if u.uses(held.Run) {
			continue
		}
		if err := u.release(ctx, held); err != nil {
			u.log.WarnContext(ctx, "clean up", "version", held.Run.Version, "error", err)
			continue
		}
		if err := u.agent.journal.Unhold(u.id, held.Run); err != nil {
			u.log.ErrorContext(ctx, "journal", "error", err)
		}
	}
}

// uses tells whether a version runs here, or is to.
func (u *unit) uses(run Run) bool {
	return u.state.Running != nil && u.state.Running.same(run) || u.state.Move != nil && u.state.Move.To.same(run) ||
		u.staged != nil && u.staged.same(run)
}

func (u *unit) release(ctx context.Context, held Held) error {
	if u.agent.Preloader != nil {
		if err := u.agent.Preloader.Unload(ctx, u.preloadID(held.Run)); err != nil {
			return err
		}
	}
	rt, err := u.agent.runtime(held.Service.Runtime.Kind)
	if err != nil {
		return nil //nolint:nilerr // without the runtime there is nothing that it could remove
	}
	return rt.Cleanup(ctx, u.instance(held.Service, held.Run))
}
