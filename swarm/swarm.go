// Package swarm moves archives between the nodes of an environment by
// BitTorrent (BEP 3, 6, 9, 10): everybody who has a piece gives it to those
// who want it. The swarm is private: no DHT, no trackers, no peer exchange.
// Members alone say who takes part, over mutual TLS.
package swarm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/anacrolix/torrent"
	pp "github.com/anacrolix/torrent/peer_protocol"
	"golang.org/x/time/rate"

	"switchd/artifact"
)

// Origin is the way around a swarm that stands still: stores that have the
// archive. *artifact.HTTPFetcher is one.
type Origin interface {
	artifact.Fetcher
	// ReadRange fills p with the archive's bytes from off on.
	ReadRange(ctx context.Context, m artifact.Manifest, p []byte, off int64) error
}

var _ Origin = (*artifact.HTTPFetcher)(nil)

// Config is what a swarm needs. All fields without "optional" are required.
type Config struct {
	// Dir is the store whose archives are offered, each named by its digest.
	Dir string
	// Listen is the address to listen on, such as "10.0.0.7:0".
	Listen string
	// Self is this process. Open sets Addr, unless Listen has no address that
	// others could reach and Self has one, and Fingerprint.
	Self Member
	// Members says who may take part.
	Members Membership
	// Identity is what this process proves to the others.
	Identity Identity
	// Origin is optional: without one, nothing helps a swarm in which nobody
	// has what is missing.
	Origin Origin
	// UpRate and DownRate bound what all connections of this node carry, and
	// RackUpRate what the nodes of a rack send to others together, in bytes a
	// second. 0 is unlimited.
	UpRate, DownRate, RackUpRate int64
	// RackPeers is optional: it returns how many nodes share RackUpRate now,
	// this one included. Without it there is one.
	RackPeers func() int
	// Drop is optional: it is told which range of a file was written and
	// hashed, and isn't needed in the page cache any more.
	Drop func(f *os.File, off, n int64) error
	Log  *slog.Logger
}

const (
	blockSize      = 16 << 10                // bytes, of a request (BEP 3)
	maxConnections = 64                      // of an artifact, in both directions
	uploadBuffer   = farRequests * blockSize // bytes read ahead for a peer
	checkInterval  = 2 * time.Second         // between two looks at who is a member still
	lookupTimeout  = 5 * time.Second         // of a question to Membership
)

// Swarm is this node's part in the swarms of all its artifacts. It is safe
// for concurrent use.
type Swarm struct {
	cfg    Config
	self   Member
	client *torrent.Client
	gate   *gate
	links  *links
	stop   context.Context // It is the swarm's own.
	cancel context.CancelFunc

	running sync.WaitGroup // calls and the checks of members
	joining sync.Mutex     // one share at a time
	mu      sync.Mutex     // never held while the library is called
	closed  bool
	shares  map[string]*share // by digest
}

var _ artifact.Fetcher = (*Swarm)(nil)

// ErrClosed is the error of calls to a swarm that is closed.
var ErrClosed = errors.New("the swarm is closed")

// Open listens and lets members in. It offers nothing yet.
func Open(cfg Config) (*Swarm, error) {
	cfg.Self.Fingerprint = cfg.Identity.Fingerprint()
	if _, err := alias(cfg.Self.Fingerprint); err != nil {
		return nil, fmt.Errorf("open swarm: identity: %w", err)
	}
	links := newLinks()
	gate, err := newGate(cfg, links)
	if err != nil {
		return nil, fmt.Errorf("open swarm: %w", err)
	}
	s := &Swarm{cfg: cfg, self: cfg.Self, gate: gate, links: links, shares: map[string]*share{}}
	s.self.Addr = reachable(gate.Addr(), cfg.Self.Addr)
	if s.self.Addr.Addr().IsUnspecified() || !s.self.Addr.IsValid() {
		err := fmt.Errorf("open swarm: it listens on all addresses (%s); say which one others reach it at, such as 10.0.0.7:%d",
			cfg.Listen, s.self.Addr.Port())
		return nil, errors.Join(err, gate.close())
	}
	s.stop, s.cancel = context.WithCancel(context.Background())
	s.client, err = torrent.NewClient(s.clientConfig())
	if err != nil {
		s.cancel()
		return nil, errors.Join(fmt.Errorf("open swarm: %w", err), gate.close())
	}
	s.client.AddDialer(gate)
	s.client.AddListener(gate)
	gate.open()
	s.check()
	s.running.Go(s.watch)
	return s, nil
}

// dropper is cfg.Drop for the storage, which has nobody to tell of its errors.
func (s *Swarm) dropper() func(f *os.File, off, n int64) {
	if s.cfg.Drop == nil {
		return nil
	}
	return func(f *os.File, off, n int64) {
		if err := s.cfg.Drop(f, off, n); err != nil {
			s.cfg.Log.Debug("drop from the page cache", "error", err)
		}
	}
}

// reachable returns where others find a listener: where it listens, or, if
// that is every address of the machine, the address that was given, with the
// port that it got.
func reachable(listens net.Addr, given netip.AddrPort) netip.AddrPort {
	at, err := netip.ParseAddrPort(listens.String())
	if err != nil {
		return given
	}
	if at.Addr().IsUnspecified() && given.IsValid() {
		return netip.AddrPortFrom(given.Addr(), at.Port())
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// clientConfig turns everything off that finds peers by itself, and sets what
// was measured to spread an archive soonest.
func (s *Swarm) clientConfig() *torrent.ClientConfig {
	c := torrent.NewDefaultClientConfig()
	c.Slogger = slog.New(errorsOnly{s.cfg.Log.Handler()})
	c.DefaultStorage = nowhere{}

	c.NoDHT = true
	c.DisableTrackers = true
	c.DisablePEX = true
	c.DisableUTP = true
	c.DisableTCP = true // The gate dials and listens.
	c.DisableWebtorrent = true
	c.DisableWebseeds = true
	c.NoDefaultPortForwarding = true
	// TLS is around it already.
	c.HeaderObfuscationPolicy = torrent.HeaderObfuscationPolicy{RequirePreferred: true, Preferred: false}

	c.Seed = true
	c.MaxUnverifiedBytes = 0
	c.StealRequestGrace = time.Second
	c.DialRateLimiter = rate.NewLimiter(rate.Inf, 0)
	c.EstablishedConnsPerTorrent = maxConnections
	c.NominalDialTimeout = handshakeTimeout
	c.HandshakesTimeout = handshakeTimeout
	c.MaxAllocPeerRequestDataPerConn = uploadBuffer
	c.DropDuplicatePeerIds = true // Two nodes may dial each other at once.
	c.Callbacks.ReadExtendedHandshake = s.boundRequests
	return c
}

// boundRequests keeps queues short: what a node has asked of one peer it
// can't get sooner from another.
func (s *Swarm) boundRequests(conn *torrent.PeerConn, hello *pp.ExtendedHandshakeMessage) {
	at, err := netip.ParseAddrPort(conn.RemoteAddr.String())
	if err != nil {
		return
	}
	peer, ok := s.links.member(at)
	if !ok {
		return
	}
	bound := requests(s.self, peer, s.wanting(conn.Torrent()))
	if hello.Reqq > 0 {
		bound = min(bound, hello.Reqq)
	}
	hello.Reqq, conn.PeerMaxRequests = bound, bound
}

// wanting returns how many nodes want what a torrent is of.
func (s *Swarm) wanting(t *torrent.Torrent) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shares {
		if sh.torrent == t {
			return int(sh.wanting.Load())
		}
	}
	return 0
}

// Self returns this process as the others must find it in Membership.
func (s *Swarm) Self() Member { return s.self }

// Close ends all fetches and connections.
func (s *Swarm) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.running.Wait()
	errs := s.client.Close()
	errs = append(errs, s.gate.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close swarm: %w", err)
	}
	return nil
}

// begin counts a call in, unless the swarm is closed. The context ends with
// the swarm too.
func (s *Swarm) begin(ctx context.Context) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	s.running.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(s.stop, func() { cancel(ErrClosed) })
	return ctx, func() {
		detach()
		cancel(nil)
		s.running.Done()
	}, nil
}

// path returns where the store has an archive.
func (s *Swarm) path(m artifact.Manifest) string { return filepath.Join(s.cfg.Dir, m.SHA256) }

// watch looks at the members again and again.
func (s *Swarm) watch() {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	banned := map[netip.AddrPort]bool{}
	for {
		select {
		case <-s.stop.Done():
			return
		case <-ticker.C:
			s.check()
			s.tellBanned(banned)
		}
	}
}

// check closes the connections of those who are no members any more. While
// nobody can tell, they stay.
func (s *Swarm) check() {
	peers := 1
	if s.cfg.RackPeers != nil {
		peers = max(1, s.cfg.RackPeers())
	}
	if share := s.cfg.RackUpRate / int64(peers); s.cfg.RackUpRate > 0 {
		s.gate.rackUp.set(max(1, share))
	}
	for at, known := range s.links.known() {
		ctx, cancel := context.WithTimeout(s.stop, lookupTimeout)
		m, ok, err := s.cfg.Members.Member(ctx, known.Fingerprint)
		cancel()
		switch {
		case err != nil:
			s.cfg.Log.WarnContext(s.stop, "look up a member of the swarm", "node", known.Node, "error", err)
			return
		case !ok:
			s.cfg.Log.InfoContext(s.stop, "member left the swarm", "node", known.Node, "fingerprint", known.Fingerprint)
			s.links.forget(at)
		default:
			m.Fingerprint = known.Fingerprint
			s.links.know(at, m)
		}
	}
}

// tellBanned logs who was banned since the last time.
func (s *Swarm) tellBanned(told map[netip.AddrPort]bool) {
	for _, ip := range s.client.BadPeerIPs() {
		addr, err := netip.ParseAddr(ip)
		at := netip.AddrPortFrom(addr, aliasPort)
		if err != nil || told[at] {
			continue
		}
		told[at] = true
		m, _ := s.links.member(at)
		s.cfg.Log.ErrorContext(s.stop, "member sent wrong bytes and is refused until it restarts", "node", m.Node,
			"address", m.Addr.String(), "fingerprint", m.Fingerprint)
	}
}
