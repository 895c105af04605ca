// Package dnsfeed makes DNS views from what Consul holds. A view is made of
// keys that one read sees at one index: live records, the names of the zone,
// the nodes that answer, and the serial which moves with any of them. So all
// replicas answer the same under the same serial. What those keys are derived
// from, which is the desired state and health, the feed watches too, and has
// them follow it. It is the only way by which the DNS server learns anything.
package dnsfeed

import (
	"context"
	"log/slog"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/dnsflip"
	"switchd/ledger"
	"switchd/replica"
)

// Publisher takes views and gives the present one.
type Publisher interface {
	Publish(v dnsflip.View) error
	View() *dnsflip.View
}

// Feed follows one environment.
type Feed struct {
	Consul *consul.Client
	Keys   consul.Keys
	Server Publisher
	Log    *slog.Logger
	// Driving tells whether this replica is the one that writes first what
	// answers are made of; the others do it when that one doesn't. Nil: no.
	Driving func() bool
	// Age takes note of the answers to the watch of what answers are made of; nil:
	// nobody does.
	Age *consul.WatchAge
}

func (f *Feed) ledger() *ledger.Ledger { return &ledger.Ledger{Consul: f.Consul, Keys: f.Keys} }

// confirmEvery is how often Consul is asked whether the live records are still
// those that were seen. That moves the view's age, and finds what a watch
// misses whose connection is dead and doesn't know it.
const confirmEvery = 2 * time.Second

// Run feeds the server until ctx ends. While Consul is away nothing is
// published: answers stay as they are, and their age grows.
func (f *Feed) Run(ctx context.Context) {
	s := newState(f)
	s.watching.Go(func() {
		f.Consul.WatchKey(ctx, f.Keys.Environment(), func(seen consul.Seen[consul.Entry]) {
			s.update(ctx, environment, seen.Err, func() error { return s.setEnvironment(seen.Value) })
		})
	})
	s.watching.Go(func() {
		f.Consul.WatchPrefix(ctx, f.Keys.Specs(), func(seen consul.Seen[[]consul.Entry]) {
			s.update(ctx, services, seen.Err, func() error { return s.setServices(ctx, seen.Value) })
		})
	})
	s.watching.Go(func() {
		f.Consul.WatchPrefix(ctx, f.Keys.LivesAndSerial(), func(seen consul.Seen[[]consul.Entry]) {
			if seen.Err == nil {
				f.Age.Answered(seen.At)
			}
			s.update(ctx, lives, seen.Err, func() error { return s.setLives(seen.Value, seen.At) })
		})
	})
	s.watching.Go(func() {
		f.Consul.WatchService(ctx, replica.Service, func(seen consul.Seen[[]*api.ServiceEntry]) {
			s.update(ctx, replicas, seen.Err, func() error {
				s.replicas = replica.FromHealth(seen.Value, f.Keys.Env)
				return nil
			})
		})
	})
	s.watching.Go(func() { s.keep(ctx) })
	defer s.watching.Wait()
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.confirm(ctx)
		}
	}
}
