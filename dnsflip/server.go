package dnsflip

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"switchd/dnsflip/cookie"
	"switchd/dnsflip/rrl"
	"switchd/dnsflip/tsig"
	"switchd/dnssec"
	"switchd/zone"
)

// Server is an authoritative DNS server of the zone of a view, or of plain
// zones. Until it has one it answers SERVFAIL. It is safe for concurrent use.
type Server struct {
	cfg     Config
	current atomic.Pointer[snapshot] // never nil
	// turnover is held by each loop from its look at current until its replies
	// are sent, so that no old reply leaves after a new one.
	turnover  sync.RWMutex
	noView    sync.Once // says once that there's no view
	metrics   *metrics
	tcpCounts *counters // of all connections
	conns     *conns
	chaos     *packed // who this is; nil without an ID
	cookies   *cookie.Jar
	limiter   *rrl.Limiter
	seed      maphash.Seed
	began     time.Time
	troubles  rate.Sometimes // of which the log is told
	transfers *transfers
	notifier  atomic.Pointer[notifier]

	publish sync.Mutex // one view at a time; guards what follows
	saved   bool       // the last-known file has the current answers
	savedAs string     // hash of the zone file that was saved with it
	builder builder
	signers map[zone.Name]*dnssec.Signer
	stamps  uint64 // the last one that was given out

	mu      sync.Mutex // guards what follows
	state   state
	sockets []*socket
	done    chan struct{} // closed by Close
	serving sync.WaitGroup
}

// state is where a server is in its life.
type state int

const (
	created state = iota
	started
	closed
)

// NewServer returns a server that does not listen yet.
func NewServer(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Uint64
	}
	if cfg.Loops <= 0 {
		cfg.Loops = runtime.GOMAXPROCS(0)
	}
	if cfg.MaxTCPConns <= 0 {
		cfg.MaxTCPConns = DefaultMaxTCPConns
	}
	if cfg.Cookies == nil {
		cfg.Cookies = cookie.Random()
	}
	if cfg.TSIG == nil {
		cfg.TSIG = &tsig.Ring{}
	}
	s := &Server{
		cfg: cfg, conns: newConns(cfg.MaxTCPConns), done: make(chan struct{}), seed: maphash.MakeSeed(), began: time.Now(),
		troubles: rate.Sometimes{First: 10, Interval: time.Second},
		cookies:  cfg.Cookies, limiter: cfg.Limiter, signers: make(map[zone.Name]*dnssec.Signer),
	}
	s.current.Store(newSnapshot(nil))
	s.transfers = newTransfers(cfg.Log)
	s.metrics = newMetrics(s)
	s.tcpCounts = s.metrics.counters()
	return s
}

// Start binds all addresses and serves in the background until Close. The
// context bounds the binding alone. When it returns an error nothing listens.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != created {
		return errors.New("start DNS server: it was started or closed before")
	}
	if err := validID(s.cfg.ID); err != nil {
		return fmt.Errorf("start DNS server: %w", err)
	}
	if len(s.cfg.Listen)+len(s.cfg.Packets)+len(s.cfg.Listeners) == 0 {
		return errors.New("start DNS server: no address to listen on")
	}
	var err error
	if s.chaos, err = newChaos(s.cfg.ID); err != nil {
		return fmt.Errorf("start DNS server: %w", err)
	}
	if s.cfg.Registerer != nil {
		if err := s.cfg.Registerer.Register(s.metrics); err != nil {
			return fmt.Errorf("register DNS metrics: %w", err)
		}
	}
	for _, addr := range s.cfg.Listen {
		sock, err := bind(ctx, addr, s.cfg.Loops)
		if err != nil {
			return errors.Join(fmt.Errorf("start DNS server: %w", err), s.release())
		}
		s.sockets = append(s.sockets, sock)
	}
	if len(s.cfg.Packets)+len(s.cfg.Listeners) > 0 {
		sock, err := s.inherit()
		if err != nil {
			return errors.Join(fmt.Errorf("start DNS server: %w", err), s.release())
		}
		s.sockets = append(s.sockets, sock)
	}
	if s.cfg.Bound != nil {
		if err := s.cfg.Bound(); err != nil {
			return errors.Join(fmt.Errorf("start DNS server: %w", err), s.release())
		}
	}
	s.state = started
	s.publish.Lock()
	s.notifier.Store(newNotifier(s.cfg.TSIG, s.local(), s.cfg.Log))
	s.answerFrom(s.current.Load())
	s.publish.Unlock()
	for _, sock := range s.sockets {
		s.serve(sock)
		s.cfg.Log.InfoContext(ctx, "DNS server listens", "address", sock.addr())
	}
	return nil
}

// inherit takes over the sockets that were bound already.
func (s *Server) inherit() (*socket, error) {
	k := &socket{}
	var errs []error
	for _, c := range s.cfg.Packets {
		errs = append(errs, k.addPackets(c))
	}
	for _, l := range s.cfg.Listeners {
		errs = append(errs, k.addListener(l))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

// Addrs tells the addresses, as host:port, that the server listens on, in the
// order of Config.Listen.
func (s *Server) Addrs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	addrs := make([]string, len(s.sockets))
	for i, sock := range s.sockets {
		addrs[i] = sock.addr()
	}
	return addrs
}

// pending counts the secondaries that don't know the latest version yet.
func (s *Server) pending() float64 {
	notifier := s.notifier.Load()
	if notifier == nil {
		return 0
	}
	return float64(notifier.pending())
}

// local are the addresses that the server listens on. The caller holds s.mu.
func (s *Server) local() []netip.Addr {
	var addrs []netip.Addr
	for _, sock := range s.sockets {
		if at, err := netip.ParseAddrPort(sock.addr()); err == nil {
			addrs = append(addrs, at.Addr().Unmap())
		}
	}
	return addrs
}

// Close stops listening, ends all connections and returns when nothing of the
// server runs. It may be called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	var err error
	if s.state == started {
		close(s.done)
		err = s.release()
	}
	s.state = closed
	s.mu.Unlock()
	if notifier := s.notifier.Load(); notifier != nil {
		notifier.close()
	}
	s.conns.closeAll()
	s.serving.Wait()
	return err
}

// release gives back what Start took. The caller holds s.mu.
func (s *Server) release() error {
	if s.cfg.Registerer != nil {
		s.cfg.Registerer.Unregister(s.metrics)
	}
	var errs []error
	for _, sock := range s.sockets {
		errs = append(errs, sock.close())
	}
	s.sockets = nil
	return errors.Join(errs...)
}
