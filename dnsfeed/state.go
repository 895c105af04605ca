package dnsfeed

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/replica"
	"switchd/spec"
)

// What is watched, besides the health of each service, and what can go wrong.
const (
	environment = "environment"
	services    = "services"
	lives       = "live records"
	replicas    = "replicas"
	zoneFile    = "zone file"
	following   = "writing what answers are made of"
)

func healthOf(service string) string { return "health of " + service }

// state is what was last seen of the environment.
type state struct {
	feed     *Feed
	watching sync.WaitGroup
	behind   chan struct{} // says that something may have to be written

	mu       sync.Mutex
	seen     map[string]bool // what was seen at least once
	failing  map[string]bool // what can't be read now
	troubled map[string]bool // what was complained about and isn't over

	// What answers are made of, as of one index.
	names     *ledger.Names
	answering map[string]*pools.Answering
	lives     map[string]*pools.Live
	unread    map[string]error // why a service's live record is of no use
	serial    uint32
	index     uint64    // the serial's in Consul
	at        time.Time // when all of this was known to be so

	// What that is derived from.
	env      *spec.Environment
	services []spec.Service
	health   map[string]map[string]pools.Pool
	replicas []replica.Replica
	watches  map[string]context.CancelFunc
}

func newState(f *Feed) *state {
	return &state{
		feed: f, behind: make(chan struct{}, 1),
		seen: make(map[string]bool), failing: make(map[string]bool), troubled: make(map[string]bool),
		health: make(map[string]map[string]pools.Pool), watches: make(map[string]context.CancelFunc),
	}
}

// update takes in what one watch saw, and publishes. What comes after the end
// of ctx is of nobody's interest any more.
func (s *state) update(ctx context.Context, what string, err error, set func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		err = set()
	}
	s.failing[what] = err != nil
	s.complain(what, err)
	if err == nil {
		s.seen[what] = true
		s.publish(ctx)
		s.lookAgain()
	}
}

// complain logs a trouble with the answers when it begins and when it is over.
func (s *state) complain(what string, err error) {
	was := s.troubled[what]
	s.troubled[what] = err != nil
	switch {
	case err != nil && !was:
		s.feed.Log.Warn("answers stay as they are", "because_of", what, "error", err)
	case err == nil && was:
		s.feed.Log.Info("answers follow again", "because_of", what)
	}
}

// confirm asks Consul whether the serial, and with it all that answers are made
// of, still is what was seen; if not, it reads that. When it can't, the age of
// the answers grows.
func (s *state) confirm(ctx context.Context) {
	asked := time.Now()
	serial, err := s.feed.Consul.Get(ctx, s.feed.Keys.Serial())
	s.mu.Lock()
	same := err == nil && serial.Index == s.index
	if same {
		s.at = asked
		s.publish(ctx)
	}
	s.mu.Unlock()
	s.lookAgain()
	if err != nil || same {
		return
	}
	entries, err := s.feed.Consul.List(ctx, s.feed.Keys.LivesAndSerial())
	if err != nil {
		return
	}
	s.update(ctx, lives, nil, func() error { return s.setLives(entries, asked) })
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
	s.watchHealth(ctx)
	return nil
}

// watchHealth watches the health of exactly the services that have a name in
// the zone.
func (s *state) watchHealth(ctx context.Context) {
	wanted := make(map[string]bool)
	before := len(s.watches)
	for _, service := range s.services {
		if service.Switch.Kind != spec.SwitchDNS {
			continue
		}
		wanted[service.Name] = true
		if s.watches[service.Name] == nil {
			s.watchHealthOf(ctx, service.Name)
		}
	}
	for name, cancel := range s.watches {
		if !wanted[name] {
			cancel()
			delete(s.watches, name)
			delete(s.health, name)
			delete(s.failing, healthOf(name))
			delete(s.troubled, healthOf(name))
		}
	}
	if n := len(wanted); n > before {
		s.watching.Go(func() { s.room(ctx, n) })
	}
}

func (s *state) watchHealthOf(ctx context.Context, service string) {
	ctx, cancel := context.WithCancel(ctx)
	s.watches[service] = cancel
	s.watching.Go(func() {
		s.feed.Consul.WatchService(ctx, service, func(seen consul.Seen[[]*api.ServiceEntry]) {
			if seen.Err == nil && !seen.Changed {
				return // what is confirmed makes no other answers, and a thousand services are many of these
			}
			s.update(ctx, healthOf(service), seen.Err, func() error {
				s.health[service] = pools.FromHealth(seen.Value)
				return nil
			})
		})
	})
}

// setLives takes in all that answers are made of, which one read gives at one
// index. A record that can't be read is no reason to hold up the others.
func (s *state) setLives(entries []consul.Entry, at time.Time) error {
	keys := s.feed.Keys
	next := state{answering: make(map[string]*pools.Answering), lives: make(map[string]*pools.Live), unread: make(map[string]error)}
	for _, entry := range entries {
		service, err := consul.Base(entry.Key), error(nil)
		switch {
		case entry.Key == keys.Serial():
			if next.serial, err = ledger.ParseSerial(entry.Value); err != nil {
				return fmt.Errorf("parse %s: %w", entry.Key, err)
			}
			next.index = entry.Index
		case entry.Key == keys.Names():
			if next.names, err = ledger.ParseNames(entry.Value, entry.Index); err != nil {
				next.names = s.names // until it is derived anew
			}
			s.complain(entry.Key, err)
		case strings.HasPrefix(entry.Key, keys.AllAnswering()):
			if next.answering[service], err = pools.ParseAnswering(entry.Value, entry.Index); err != nil {
				next.answering[service] = s.answering[service]
			}
			s.complain(entry.Key, err)
		case strings.HasPrefix(entry.Key, keys.Lives()):
			if next.lives[service], err = pools.ParseLive(entry.Value, entry.Index); err != nil {
				delete(next.lives, service)
				next.unread[service] = fmt.Errorf("parse %s: %w", entry.Key, err)
			}
		}
	}
	s.names, s.answering, s.lives, s.unread = next.names, next.answering, next.lives, next.unread
	s.serial, s.index, s.at = next.serial, next.index, at
	return nil
}
