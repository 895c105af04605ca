package dnsfeed

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
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

// What a view is made of, besides the health of each service.
const (
	environment = "environment"
	services    = "services"
	lives       = "live records"
	replicas    = "replicas"
)

func healthOf(service string) string { return "health of " + service }

// state is what was last seen of the environment.
type state struct {
	feed     *Feed
	watching sync.WaitGroup

	mu       sync.Mutex
	seen     map[string]bool // what was seen at least once
	failing  map[string]bool // what can't be read now
	troubled map[string]bool // what was complained about and isn't over
	env      *spec.Environment
	services []spec.Service
	lives    map[string]*pools.Live
	unread   map[string]error // why a service's live record is of no use
	serial   uint32
	index    uint64    // the serial's in Consul
	at       time.Time // when live records and serial were known to be these
	health   map[string]map[string]pools.Pool
	replicas map[string]netip.Addr // DNS addresses by replica name
	watches  map[string]context.CancelFunc
}

func newState(f *Feed) *state {
	return &state{
		feed: f, seen: make(map[string]bool), failing: make(map[string]bool), troubled: make(map[string]bool),
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
		s.publish()
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

// confirm asks Consul whether the serial, and with it the live records, still
// are those that were seen; if not, it reads them. When it can't, the age of
// the answers grows.
func (s *state) confirm(ctx context.Context) {
	asked := time.Now()
	serial, err := s.feed.Consul.Get(ctx, s.feed.Keys.Serial())
	s.mu.Lock()
	same := err == nil && serial.Index == s.index
	if same {
		s.at = asked
		s.publish()
	}
	s.mu.Unlock()
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
	wanted := make(map[string]bool)
	for _, service := range services {
		wanted[service.Name] = true
		if s.watches[service.Name] == nil {
			s.watchHealth(ctx, service.Name)
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
	return nil
}

func (s *state) watchHealth(ctx context.Context, service string) {
	ctx, cancel := context.WithCancel(ctx)
	s.watches[service] = cancel
	s.watching.Go(func() {
		s.feed.Consul.WatchService(ctx, service, func(seen consul.Seen[[]*api.ServiceEntry]) {
			s.update(ctx, healthOf(service), seen.Err, func() error {
				s.health[service] = pools.FromHealth(seen.Value)
				return nil
			})
		})
	})
}

// setLives takes in the live records and the serial, which one read gives at
// one index. A record that can't be read is no reason to hold up the others.
func (s *state) setLives(entries []consul.Entry, at time.Time) error {
	lives, unread := make(map[string]*pools.Live), make(map[string]error)
	var serial uint32
	var index uint64
	for _, entry := range entries {
		if entry.Key == s.feed.Keys.Serial() {
			var err error
			if serial, err = ledger.ParseSerial(entry.Value); err != nil {
				return fmt.Errorf("parse %s: %w", entry.Key, err)
			}
			index = entry.Index
			continue
		}
		if !strings.HasPrefix(entry.Key, s.feed.Keys.Lives()) {
			continue
		}
		service := consul.Base(entry.Key)
		live, err := pools.ParseLive(entry.Value, entry.Index)
		if err != nil {
			unread[service] = fmt.Errorf("parse %s: %w", entry.Key, err)
			continue
		}
		lives[service] = live
	}
	s.lives, s.unread, s.serial, s.index, s.at = lives, unread, serial, index, at
	return nil
}

func (s *state) setReplicas(entries []*api.ServiceEntry) {
	// A replica that has left keeps its address: the zone's name servers are
	// what its parent zone says, and a restart is no reason to change that.
	if s.replicas == nil {
		s.replicas = make(map[string]netip.Addr)
	}
	for _, r := range replica.FromHealth(entries, s.feed.Keys.Env) {
		host, _, err := net.SplitHostPort(r.DNS)
		if err != nil {
			continue
		}
		if addr, err := netip.ParseAddr(host); err == nil && !addr.IsUnspecified() && addr.Zone() == "" {
			s.replicas[r.Name] = addr.Unmap()
		}
	}
}
