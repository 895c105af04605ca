// Package dnsfeed makes DNS views from what Consul holds: the live records
// with the zone's serial, and the passing nodes of each pool. It is the only
// way by which the DNS server learns anything.
package dnsfeed

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/dnsflip"
	"switchd/ledger"
	"switchd/pools"
	"switchd/replica"
	"switchd/spec"
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
}

// confirmEvery is how often a view is confirmed while nothing changes, so that
// its age tells how long Consul has been away.
const confirmEvery = 2 * time.Second

// Run feeds the server until ctx ends. While Consul is away nothing is
// published: answers stay as they are, and their age grows.
func (f *Feed) Run(ctx context.Context) {
	s := &state{
		feed: f, failing: make(map[string]bool), seen: make(map[string]bool),
		health: make(map[string]map[string]pools.Pool), watches: make(map[string]context.CancelFunc),
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	s.watching = &watching
	watching.Go(func() {
		f.Consul.WatchKey(ctx, f.Keys.Environment(), func(seen consul.Seen[consul.Entry]) {
			s.update("environment", seen.Err, func() error { return s.setEnvironment(seen.Value) })
		})
	})
	watching.Go(func() {
		f.Consul.WatchPrefix(ctx, f.Keys.Specs(), func(seen consul.Seen[[]consul.Entry]) {
			s.update("services", seen.Err, func() error { return s.setServices(ctx, seen.Value) })
		})
	})
	watching.Go(func() {
		f.Consul.WatchPrefix(ctx, f.Keys.LivesAndSerial(), func(seen consul.Seen[[]consul.Entry]) {
			s.update("live records", seen.Err, func() error { return s.setLives(seen.Value) })
		})
	})
	watching.Go(func() {
		f.Consul.WatchService(ctx, replica.Service, func(seen consul.Seen[[]*api.ServiceEntry]) {
			s.update("replicas", seen.Err, func() error { s.setReplicas(seen.Value); return nil })
		})
	})
	ticker := time.NewTicker(confirmEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.publish()
		}
	}
}

// state is what was last seen of the environment.
type state struct {
	feed     *Feed
	watching *sync.WaitGroup

	mu       sync.Mutex
	seen     map[string]bool // what was seen at least once
	failing  map[string]bool // what can't be read now
	env      *spec.Environment
	services []spec.Service
	lives    map[string]*pools.Live
	serial   uint32
	health   map[string]map[string]pools.Pool
	replicas map[string]netip.Addr // DNS addresses by replica name
	watches  map[string]context.CancelFunc
}

// update takes in what one watch saw, and publishes.
func (s *state) update(what string, err error, set func() error) {
	s.mu.Lock()
	if err == nil {
		err = set()
	}
	was := s.failing[what]
	s.failing[what] = err != nil
	if err == nil {
		s.seen[what] = true
	}
	s.mu.Unlock()
	switch {
	case err != nil && !was:
		s.feed.Log.Warn("answers stay as they are", "unread", what, "error", err)
	case err == nil && was:
		s.feed.Log.Info("following again", "read", what)
	}
	if err == nil {
		s.publish()
	}
}

func (s *state) setEnvironment(entry consul.Entry) error {
	if entry.Index == 0 {
		return fmt.Errorf("%w %q", ledger.ErrUnknownEnvironment, s.feed.Keys.Env)
	}
	var env spec.Environment
	if err := json.Unmarshal(entry.Value, &env); err != nil {
		return fmt.Errorf("parse %s: %w", entry.Key, err)
	}
	s.env = &env
	return nil
}

func (s *state) setServices(ctx context.Context, entries []consul.Entry) error {
	services := make([]spec.Service, len(entries))
	for i, entry := range entries {
		if err := json.Unmarshal(entry.Value, &services[i]); err != nil {
			return fmt.Errorf("parse %s: %w", entry.Key, err)
		}
	}
	s.services = services
	wanted := make(map[string]bool)
	for _, service := range services {
		name := service.Name
		wanted[name] = true
		if s.watches[name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		s.watches[name] = cancel
		s.watching.Go(func() {
			s.feed.Consul.WatchService(ctx, name, func(seen consul.Seen[[]*api.ServiceEntry]) {
				s.update("health of "+name, seen.Err, func() error {
					s.health[name] = pools.FromHealth(seen.Value)
					return nil
				})
			})
		})
	}
	for name, cancel := range s.watches {
		if !wanted[name] {
			cancel()
			delete(s.watches, name)
			delete(s.health, name)
			delete(s.failing, "health of "+name)
		}
	}
	return nil
}

// setLives takes in the live records and the serial, which one read gives at
// one index.
func (s *state) setLives(entries []consul.Entry) error {
	lives := make(map[string]*pools.Live)
	var serial uint32
	for _, entry := range entries {
		if entry.Key == s.feed.Keys.Serial() {
			var err error
			if serial, err = ledger.ParseSerial(entry.Value); err != nil {
				return err
			}
			continue
		}
		if !strings.HasPrefix(entry.Key, s.feed.Keys.Lives()) {
			continue
		}
		live, err := pools.ParseLive(entry.Value, entry.Index)
		if err != nil {
			return fmt.Errorf("parse %s: %w", entry.Key, err)
		}
		lives[consul.Base(entry.Key)] = live
	}
	s.lives, s.serial = lives, serial
	return nil
}

func (s *state) setReplicas(entries []*api.ServiceEntry) {
	found := make(map[string]netip.Addr)
	for _, r := range replica.FromHealth(entries, s.feed.Keys.Env) {
		host, _, err := net.SplitHostPort(r.DNS)
		if err != nil {
			continue
		}
		if addr, err := netip.ParseAddr(host); err == nil {
			found[r.Name] = addr.Unmap()
		}
	}
	s.replicas = found
}

// publish publishes what was seen, if all of it was and is readable.
func (s *state) publish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, what := range []string{"environment", "services", "live records", "replicas"} {
		if !s.seen[what] {
			return
		}
	}
	for _, failing := range s.failing {
		if failing {
			return
		}
	}
	old := s.feed.Server.View()
	view, ok := s.view(old)
	if !ok {
		return
	}
	if err := s.feed.Server.Publish(view); err != nil {
		s.feed.Log.Error("publish the answers", "error", err)
	}
}

// view makes the view; false: something that it needs has not been seen yet.
func (s *state) view(old *dnsflip.View) (dnsflip.View, bool) {
	if s.env.Zone == nil {
		return dnsflip.View{}, false
	}
	view := dnsflip.View{Zone: *s.env.Zone, Serial: max(s.serial, 1), At: time.Now(), Flips: make(map[string]dnsflip.Flip), NameServerAddrs: make(map[string][]netip.Addr)}
	for _, service := range s.services {
		health, seen := s.health[service.Name]
		if !seen {
			return view, false
		}
		flip := dnsflip.Flip{Service: service.Name, TTL: service.Switch.TTL, Pools: map[string][]netip.Addr{
			spec.Blue: health[spec.Blue].Addresses(), spec.Green: health[spec.Green].Addresses(),
		}}
		switch live := s.lives[service.Name]; {
		case live != nil:
			flip.Live, flip.Weights = live.Pool, live.Weights
		case old != nil && old.Flips[service.Switch.Name].Live != "":
			// A live record is never deleted by switchd; one that is gone was
			// lost or removed by hand, which is no reason to send users
			// nowhere.
			flip.Live = old.Flips[service.Switch.Name].Live
			s.feed.Log.Error("the live record is gone; its last pool is kept", "service", service.Name, "pool", flip.Live)
		}
		view.Flips[service.Switch.Name] = flip
	}
	for _, host := range s.env.Zone.NameServers {
		label, domain, _ := strings.Cut(host, ".")
		if addr, known := s.replicas[label]; known && domain == s.env.Zone.Name {
			view.NameServerAddrs[host] = []netip.Addr{addr}
		}
	}
	return view, true
}
