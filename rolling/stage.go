package rolling

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
)

// fetch is a version on its way to this node.
type fetch struct {
	reason  string
	service spec.Service
	begun   time.Time
	cancel  context.CancelFunc
	done    chan struct{}
	run     Run
	err     error

	mu       sync.Mutex
	digest   string // of the archive, once it is known
	progress rollout.Progress
}

// progressed notes how far the fetch is.
func (f *fetch) progressed(done, total int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.progress.Done, f.progress.Total = done, total
	if seconds := time.Since(f.begun).Seconds(); seconds >= 1 {
		f.progress.Rate = int64(float64(done) / seconds)
	}
}

// now is how far the fetch is; whoever knows more of it is asked.
func (f *fetch) now(more func(digest string) (rollout.Progress, bool)) rollout.Progress {
	f.mu.Lock()
	defer f.mu.Unlock()
	if more != nil && f.digest != "" {
		if p, known := more(f.digest); known {
			return p
		}
	}
	return f.progress
}

func (f *fetch) of(digest string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.digest = digest
}

func (u *unit) dropOldFetch(want Want) {
	if u.fetch != nil && u.fetch.reason != want.Reason {
		u.fetch.cancel()
		<-u.fetch.done
		u.fetch = nil
	}
}

// The pace of reports on a fetch: a short one needs none, and a long one is
// told of coarsely, since every report is a write in Consul.
const (
	fetchGrace     = 2 * time.Second
	progressReport = 5 * time.Second
)

// stage fetches, verifies and unpacks the wanted version.
func (u *unit) stage(ctx context.Context, session *consul.Session, want Want) time.Duration {
	if u.fetch == nil {
		fetchCtx, cancel := context.WithCancel(ctx)
		f := &fetch{reason: want.Reason, service: u.order.service, begun: time.Now(), cancel: cancel, done: make(chan struct{})}
		u.fetch = f
		go func() {
			defer u.poke()
			defer close(f.done)
			defer cancel()
			f.run, f.err = u.bring(fetchCtx, want.Version, f)
		}()
		return fetchGrace
	}
	select {
	case <-u.fetch.done:
	default:
		if grace := fetchGrace - time.Since(u.fetch.begun); grace > 0 {
			return grace
		}
		return u.sayProgress(ctx, session, want, u.fetch.now(u.agent.Progress))
	}
	f := u.fetch
	u.fetch = nil
	switch {
	case ctx.Err() != nil:
		return 0
	case f.err == nil:
		u.staged, u.stagedFor, u.stagedWith, u.unfit = &f.run, want.Reason, f.service, nil
		u.log.InfoContext(ctx, "staged", "version", want.Version, "dir", f.run.Dir)
		u.say(ctx, session, want, rollout.Staged, "")
		return 0
	case final(f.err):
		// Nothing was stopped for it, so that it may be tried again: whoever
		// mends what the node lacks need not tell it.
		u.log.ErrorContext(ctx, "version refused", "version", want.Version, "error", f.err)
		u.unfit, u.unfitUntil = &Refusal{Reason: want.Reason, Why: f.err.Error()}, time.Now().Add(unfitFor(f.err))
		u.say(ctx, session, want, rollout.Broken, f.err.Error())
		return restEvery
	default:
		u.log.WarnContext(ctx, "fetch", "version", want.Version, "error", f.err)
		u.say(ctx, session, want, rollout.Fetching, f.err.Error())
		return retryEvery
	}
}

// unfitFor is how long a version is refused before it is tried again: what is
// wrong with its bytes stays so.
func unfitFor(err error) time.Duration {
	if errors.Is(err, errUnfit) {
		return restEvery
	}
	return time.Hour
}

// errUnfit marks what makes a release unfit for this node as it is.
var errUnfit = errors.New("this node can't run it")

// final tells whether trying again could not help.
func final(err error) bool {
	return errors.Is(err, artifact.ErrUnsigned) || errors.Is(err, artifact.ErrUntrusted) || errors.Is(err, artifact.ErrTooLarge) ||
		errors.Is(err, errUnfit)
}

// bring makes a version ready to be started: what would keep it from starting
// is found out here, before anything is stopped for it.
func (u *unit) bring(ctx context.Context, version string, f *fetch) (Run, error) {
	s := f.service
	manifest, err := u.agent.Releases.Release(ctx, u.service, version)
	if err != nil {
		return Run{}, err
	}
	// What is signed is what is asked for, whoever has filed it.
	if manifest.Service != u.service || manifest.Version != version {
		return Run{}, fmt.Errorf("%w: asked for %s %s, the manifest is of %s", artifact.ErrUntrusted, u.service, version, manifest)
	}
	f.of(manifest.SHA256)
	if err := u.agent.mayPreload(s.Preload, manifest.Unpacked); err != nil {
		return Run{}, err
	}
	dir, err := u.agent.Stager.Stage(ctx, manifest, f.progressed)
	if err != nil {
		return Run{}, err
	}
	run := Run{Version: version, Release: manifest.SHA256, Dir: dir}
	if err := u.agent.canPreload(ctx, u.preloadID(run), s.Preload, dir); err != nil {
		return Run{}, err
	}
	rt, err := u.agent.runtime(s.Runtime.Kind)
	if err != nil {
		return Run{}, errors.Join(errUnfit, err)
	}
	// Noted first, so that nothing of it is left behind for ever.
	if err := u.agent.journal.Hold(u.id, Held{Run: run, Service: s, Pool: u.pool}); err != nil {
		return Run{}, err
	}
	err = rt.Stage(ctx, u.instance(s, run))
	if err == nil {
		// All nodes do it at the same time, while none is down for it.
		err = u.preload(ctx, s, run)
	}
	if err != nil && ctx.Err() == nil {
		err = errors.Join(errUnfit, err)
	}
	return run, err
}
