package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"switchd/artifact"
	"switchd/ledger"
	"switchd/rollout"
)

const (
	// takesAtOnce is how many releases are taken over at a time.
	takesAtOnce = 2
	// takeAgain follows a release that could not be taken over.
	takeAgain = 30 * time.Second
)

// takenOver is what came of taking a release over, by this process.
type takenOver struct {
	version string
	release string // its SHA-256
	trouble string // why not
}

// takeOver has the releases on their way that this environment will need.
func (f *follower) takeOver(ctx context.Context, working *sync.WaitGroup) {
	now := time.Now()
	for name, e := range f.there {
		if len(f.taking) >= takesAtOnce {
			return
		}
		_, ours := f.specs[name]
		if !ours || f.taking[name] != "" || now.Before(f.again[name]) || !f.wants(name, e) {
			continue
		}
		f.taking[name] = e.Version
		working.Go(func() {
			release, err := f.fetch(ctx, name, e.Version)
			if ctx.Err() != nil {
				return // who drives next looks anew
			}
			f.post(ctx, func() { f.took(name, e.Version, release, err) })
		})
	}
}

// wants tells whether a release is to be taken over. Who drives now looks once
// more at what another replica has taken over: its store may be gone.
func (f *follower) wants(name string, e rollout.Eligibility) bool {
	if e.Version == "" || e.Seen.IsZero() {
		return false
	}
	if taken := f.taken[name]; taken.version == e.Version && taken.trouble == "" {
		return false
	}
	live := f.here[name].Live
	return e.Release == "" || live == nil || live.Version != e.Version
}

func (f *follower) took(name, version, release string, err error) {
	delete(f.taking, name)
	delete(f.again, name)
	taken := takenOver{version: version, release: release}
	if err != nil {
		taken.trouble = clip(err.Error())
		f.again[name] = time.Now().Add(takeAgain)
	}
	f.taken[name] = taken
	if e := f.there[name]; e.Version == version {
		e.Release, e.Trouble = taken.release, taken.trouble
		f.there[name] = e
	}
	f.Metrics.tookOver(err)
}

// fetch takes one release over: its manifest as it is, its archive from a store
// there. What this environment has under that version is never changed.
func (f *follower) fetch(ctx context.Context, name, version string) (digest string, err error) {
	m, err := f.source.Release(ctx, name, version)
	if err != nil {
		return "", err
	}
	if err := f.Upstream.Keys.Verify(m); err != nil {
		return "", err
	}
	former, err := f.Release(ctx, name, version)
	switch {
	case err == nil && former.SHA256 != m.SHA256:
		return "", fmt.Errorf("%s: %w: SHA-256 %.12s here, %.12s in %s", m, ledger.ErrPublished, former.SHA256, m.SHA256, f.after.Environment)
	case err == nil:
		m = former
	case !errors.Is(err, ledger.ErrUnknownRelease):
		return "", err
	}
	if err := f.Upstream.Take(ctx, m, artifact.Source(f.source.Stores)); err != nil {
		return "", err
	}
	if err := f.Publish(ctx, m); err != nil {
		return "", err
	}
	f.Log.InfoContext(ctx, "release taken over", "service", name, "version", version, "from", f.after.Environment, "bytes", m.Size)
	return m.SHA256, nil
}

func (f *follower) nextTake() time.Time {
	now := time.Now()
	var next time.Time
	for _, at := range f.again {
		if at.After(now) {
			next = rollout.Earlier(next, at)
		}
	}
	return next
}
