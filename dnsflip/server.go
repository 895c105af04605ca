package dnsflip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// Server is an authoritative DNS server of one zone. Until it has a view it
// answers SERVFAIL. It is safe for concurrent use.
type Server struct {
	cfg     Config
	current atomic.Pointer[snapshot] // never nil
	noView  sync.Once                // says once that there's no view
	metrics *metrics
	conns   *conns

	publish sync.Mutex // one view at a time
	saved   bool       // the last-known file has the current answers; guarded by publish

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
	if cfg.MaxTCPConns <= 0 {
		cfg.MaxTCPConns = DefaultMaxTCPConns
	}
	s := &Server{cfg: cfg, conns: newConns(cfg.MaxTCPConns), done: make(chan struct{})}
	s.current.Store(&snapshot{id: cfg.ID})
	s.metrics = newMetrics(s.current.Load, s.conns.open)
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
	if len(s.cfg.Listen) == 0 {
		return errors.New("start DNS server: no address to listen on")
	}
	if s.cfg.Registerer != nil {
		if err := s.cfg.Registerer.Register(s.metrics); err != nil {
			return fmt.Errorf("register DNS metrics: %w", err)
		}
	}
	for _, addr := range s.cfg.Listen {
		sock, err := bind(ctx, addr)
		if err != nil {
			return errors.Join(fmt.Errorf("start DNS server: %w", err), s.release())
		}
		s.sockets = append(s.sockets, sock)
	}
	s.state = started
	for _, sock := range s.sockets {
		s.serve(sock)
		s.cfg.Log.InfoContext(ctx, "DNS server listens", "address", sock.addr())
	}
	return nil
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
