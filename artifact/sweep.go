package artifact

import (
	"context"
	"log/slog"
	"time"
)

// sweepMinAge is how long an archive stays that no manifest names: its
// manifest may be on the way, while it is uploaded to other stores.
const sweepMinAge = 24 * time.Hour

// Sweeper removes from a store, again and again, what no manifest names any
// more.
type Sweeper struct {
	Store *Store
	// Digests lists the digests of all manifests, or fails. A store is swept
	// by what one environment names: no other one may use it.
	Digests func(ctx context.Context) (map[string]bool, error)
	// Drop, if not nil, is called with a digest right before its archive is
	// removed.
	Drop func(digest string)
	// Every is the time between two sweeps; 0 means an hour.
	Every time.Duration
	// MinAge is how long an archive stays without a manifest; 0 means a day.
	MinAge time.Duration
	Log    *slog.Logger
}

// Run sweeps until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	every := s.Every
	if every <= 0 {
		every = time.Hour
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		s.sweep(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// sweep removes nothing if it can't know what is named. No manifest at all is
// more likely an empty or a wrong answer than an environment without releases,
// of which the live one is never pruned.
func (s *Sweeper) sweep(ctx context.Context) {
	named, err := s.Digests(ctx)
	if err != nil {
		if ctx.Err() == nil {
			s.Log.WarnContext(ctx, "artifacts not swept", "error", err)
		}
		return
	}
	if len(named) == 0 {
		return
	}
	minAge := s.MinAge
	if minAge <= 0 {
		minAge = sweepMinAge
	}
	pruned, err := s.Store.Prune(ctx, minAge, func(digest string) bool { return named[digest] }, s.Drop)
	for _, p := range pruned {
		s.Log.InfoContext(ctx, "artifact removed, no manifest names it", "path", p.Path, "bytes", p.Bytes)
	}
	if err != nil && ctx.Err() == nil {
		s.Log.WarnContext(ctx, "artifacts not swept", "error", err)
	}
}
