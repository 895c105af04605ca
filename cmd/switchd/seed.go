package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"

	"switchd/artifact"
	"switchd/consul"
	"switchd/members"
	"switchd/pagecache"
	"switchd/swarm"
)

// seeder is a replica's archives: it stores what is published, offers it to the
// swarm, and drops what no release names any more.
type seeder struct {
	*server

	store   *artifact.Store
	swarm   *swarm.Swarm // nil: none
	dropper pagecache.Dropper

	mu      sync.Mutex
	offered map[string]bool // by digest
}

func (s *server) seeder() (*seeder, error) {
	// Each environment has a store of its own: what one doesn't name is swept.
	store, err := artifact.NewStore(filepath.Join(s.cmd.Data, "artifacts", s.ledger.Keys.Env))
	if err != nil {
		return nil, err
	}
	seeder := &seeder{server: s, store: store, offered: make(map[string]bool)}
	if s.cmd.SwarmListen == "" {
		s.log.Info("no --swarm-listen: nodes fetch releases over HTTP only")
		return seeder, nil
	}
	identity, err := swarm.NewIdentity()
	if err != nil {
		return nil, err
	}
	self := swarm.Member{Node: s.cmd.Name, Rack: s.cmd.Rack, Has: true}
	host := s.cmd.Advertise
	if host == "" {
		host, _, _ = net.SplitHostPort(s.cmd.HTTPListen)
	}
	if at, err := netip.ParseAddr(host); err == nil {
		self.Addr = netip.AddrPortFrom(at, 0)
	}
	seeder.swarm, err = swarm.Open(swarm.Config{
		Dir: filepath.Join(s.cmd.Data, "artifacts", s.ledger.Keys.Env), Listen: s.cmd.SwarmListen, Self: self, Identity: identity,
		Members: members.New(s.ledger.Consul, s.ledger.Keys), Log: s.log,
		Drop: seeder.dropper.Add,
	})
	return seeder, err
}

// handler takes and gives archives over HTTP.
func (s *seeder) handler(keys artifact.TrustedKeys) http.Handler {
	return artifact.NewHandler(s.store, artifact.Policy{Keys: keys}, s.log)
}

// announce writes into the replica's registration where it seeds. Which
// datacenter that is, Consul knows; nodes elsewhere ask others first.
func (s *seeder) announce(ctx context.Context) {
	if s.swarm == nil {
		return
	}
	self := s.swarm.Self()
	s.self.Swarm, s.self.Fingerprint, s.self.Rack = self.Addr.String(), self.Fingerprint, self.Rack
	if node, err := s.ledger.Consul.Self(ctx); err == nil {
		s.self.Datacenter = node.Datacenter
	} else {
		s.log.WarnContext(ctx, "the datacenter is not known to others", "error", err)
	}
}

// run seeds and sweeps until ctx ends.
func (s *seeder) run(ctx context.Context) error {
	var work sync.WaitGroup
	work.Go(func() {
		sweeper := artifact.Sweeper{Store: s.store, Digests: s.ledger.Digests, Drop: s.unseed, Log: s.log}
		sweeper.Run(ctx)
	})
	if s.swarm != nil {
		work.Go(func() { s.seed(ctx) })
	}
	work.Wait()
	var closed error
	if s.swarm != nil {
		closed = s.swarm.Close()
	}
	if err := errors.Join(closed, s.dropper.Close()); err != nil {
		return fmt.Errorf("end the swarm: %w", err)
	}
	return nil
}

func (s *seeder) unseed(digest string) {
	if s.swarm == nil {
		return
	}
	s.mu.Lock()
	delete(s.offered, digest)
	s.mu.Unlock()
	s.swarm.Unseed(digest)
}

// offer offers an archive, unless that is done or it isn't here. One that was
// published again, to heal this replica, is seen at the next look.
func (s *seeder) offer(ctx context.Context, m artifact.Manifest) {
	s.mu.Lock()
	offered := s.offered[m.SHA256]
	s.mu.Unlock()
	if m.InfoHash == "" || offered || !s.store.Has(m.SHA256) {
		return
	}
	err := s.swarm.Seed(ctx, m)
	if errors.Is(err, artifact.ErrDigest) {
		// It has changed since it was stored. Without it, publishing the same
		// again brings it back.
		err = errors.Join(err, s.store.Remove(m.SHA256))
	}
	if err != nil {
		s.log.WarnContext(ctx, "seed", "service", m.Service, "version", m.Version, "error", err)
		return
	}
	s.mu.Lock()
	s.offered[m.SHA256] = true
	s.mu.Unlock()
	s.log.InfoContext(ctx, "seeding", "service", m.Service, "version", m.Version, "bytes", m.Size)
}

// seed offers every archive that is stored and named by a release, whenever
// the releases change.
func (s *seeder) seed(ctx context.Context) {
	s.ledger.Consul.WatchPrefix(ctx, s.ledger.Keys.AllReleases(), func(seen consul.Seen[[]consul.Entry]) {
		if seen.Err != nil {
			return // what is offered stays so
		}
		for _, entry := range seen.Value {
			m, err := artifact.ParseManifest(entry.Value)
			if err != nil {
				s.log.WarnContext(ctx, "manifest can't be read", "key", entry.Key, "error", err)
				continue
			}
			s.offer(ctx, m)
		}
	})
}
