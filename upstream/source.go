package upstream

import (
	"context"
	"strings"
	"sync"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/replica"
)

// Source reads another environment. It never writes there.
type Source struct {
	ledger *ledger.Ledger
	clock  *consul.Clock
}

// NewSource reads an environment by a client for its Consul, of which the clock
// is known.
func NewSource(client *consul.Client, clock *consul.Clock, env string) *Source {
	return &Source{ledger: &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: env}}, clock: clock}
}

// Here is a time of that environment by this one's clock.
func (s *Source) Here(there time.Time) time.Time {
	if there.IsZero() {
		return there
	}
	return s.clock.Here(there)
}

// Read reads a service consistently; its ended rollouts only if they are needed:
// if the last one doesn't tell how the live version came about, or if that is to
// be compared with another one that is live here.
func (s *Source) Read(ctx context.Context, service, here string) (Side, error) {
	var side Side
	var err error
	if side.Record, err = s.ledger.Record(ctx, service); err != nil {
		return side, err
	}
	if side.Live, err = s.ledger.Live(ctx, service); err != nil {
		return side, err
	}
	if side.Live == nil {
		return side, nil
	}
	if side.NeedsPast() || here != "" && here != side.Live.Version {
		side.Past, err = s.ledger.History(ctx, service)
	}
	return side, err
}

// Release reads a release's manifest; the caller verifies its signature.
func (s *Source) Release(ctx context.Context, service, version string) (artifact.Manifest, error) {
	return s.ledger.Release(ctx, service, version)
}

// Stores are the base URLs of the replicas there, which have the archives: those
// that pass first.
func (s *Source) Stores(ctx context.Context) ([]string, error) {
	replicas, err := replica.List(ctx, s.ledger.Consul, s.ledger.Keys.Env)
	if err != nil {
		return nil, err
	}
	replica.ByHealth(replicas)
	var stores []string
	for _, r := range replicas {
		stores = append(stores, r.URL())
	}
	return stores, nil
}

// Watch tells which services have changed there, each of them at first, and each
// time that reading one of the folders has gone well or has begun to fail. It
// returns when ctx ends.
func (s *Source) Watch(ctx context.Context, changed func(service string), contact func(folder string, err error)) {
	var watching sync.WaitGroup
	defer watching.Wait()
	for _, folder := range []string{s.ledger.Keys.Lives(), s.ledger.Keys.Rollouts()} {
		watching.Go(func() {
			known := make(map[string]uint64) // index by key
			s.ledger.Consul.WatchPrefix(ctx, folder, func(seen consul.Seen[[]consul.Entry]) {
				contact(folder, seen.Err)
				if seen.Err != nil {
					return
				}
				for _, e := range consul.Differ(known, seen.Value) {
					changed(strings.TrimPrefix(e.Key, folder))
				}
			})
		})
	}
}
