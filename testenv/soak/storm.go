package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"switchd/consul"
	"switchd/ledger"
	"switchd/testenv/cluster"
	"switchd/testenv/intercept"
	"switchd/testenv/linear"
	"switchd/testenv/load"
	"switchd/testenv/netns"
)

// The times of the cluster: faults that are to outlast all TTLs last longer
// than the longest way in which Consul can end a session.
const (
	leaseTTL   = 1500 * time.Millisecond
	sessionTTL = 2 * time.Second
	outlasting = 5 * time.Second
)

// storm is a cluster in bad weather, with its observers.
type storm struct {
	dir     string
	seed    uint64
	random  *rand.Rand
	say     func(format string, args ...any)
	cluster *cluster.Cluster
	ledger  *ledger.Ledger
	history *linear.History
	users   *load.Generator
	token   string // of who tells of alerts
	late    late
	proxies []*intercept.Running
	work    sync.WaitGroup
	ending  context.CancelFunc // of the observers

	mu     sync.Mutex
	broken []string // promises
	least  map[string]int
	tally  map[string]int // what happened how often
}

// versions are released in turn.
var versions = []string{"1.0.0", "2.0.0", "3.0.0"} //nolint:gochecknoglobals // a constant list

func newStorm(dir string, seed uint64, say func(format string, args ...any)) *storm {
	return &storm{
		dir: dir, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // to be repeated
		say: say, history: linear.NewHistory(consul.Keys{Env: cluster.Env}), token: strings.Repeat("alert", 5),
		ending: func() {}, least: make(map[string]int), tally: make(map[string]int),
	}
}

func (*storm) keys() consul.Keys { return consul.Keys{Env: cluster.Env} }

// breaks notes a broken promise.
func (s *storm) breaks(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.say("BROKEN PROMISE: %s", text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = append(s.broken, text)
}

func (s *storm) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally[what]++
}

// open starts everything, with one version live and another one idle.
func (s *storm) open(ctx context.Context) error {
	file := filepath.Join(s.dir, "alert-tokens")
	if err := os.WriteFile(file, []byte(s.token), 0o600); err != nil {
		return fmt.Errorf("write the token of the alerts: %w", err)
	}
	var err error
	s.cluster, err = cluster.Start(ctx, cluster.Options{
		Dir: s.dir, Progress: os.Stderr, Nodes: 2, Replicas: 2, LeaseTTL: leaseTTL, SessionTTL: sessionTTL,
		Namespaces: true, ConsulServers: 3, Via: s.via, Serve: []string{"--lock-delay", "200ms", "--alerts-token-file", file},
	})
	if err != nil {
		return err
	}
	if err := s.openLedger(ctx); err != nil {
		return err
	}
	service := cluster.DefaultService()
	service.Quorum, service.MaxUnavailable, service.MaxFailures = 1, 1, 1
	service.MinHealthyTime, service.StopGrace, service.Bake = 200*time.Millisecond, time.Second, 500*time.Millisecond
	service.Analysis, service.Warmup, service.Drain, service.Weights = false, false, false, []int{30}
	if err := s.cluster.Apply(ctx, service); err != nil {
		return err
	}
	for _, version := range versions {
		if err := s.cluster.Publish(ctx, cluster.App{Version: version}); err != nil {
			return err
		}
	}
	for _, version := range versions[:2] {
		if err := s.release(ctx, version); err != nil {
			return err
		}
	}
	return s.observe(ctx)
}

// openLedger opens the environment's ledger, over a proxy of its own: what the
// observers read is part of the history.
func (s *storm) openLedger(ctx context.Context) error {
	at, err := s.cluster.Between(ctx, "observers")
	if err != nil {
		return err
	}
	client, err := consul.NewClientOver(consul.Flags{HTTPAddr: at}, &http.Transport{DialContext: s.cluster.Dial, DisableKeepAlives: true})
	if err != nil {
		return err
	}
	s.ledger = &ledger.Ledger{Consul: client, Keys: s.keys()}
	return nil
}

// via records what a program and its Consul agent say to each other, on their
// own host, so that what is cut off from there is cut off from Consul.
func (s *storm) via(ctx context.Context, who string, host *netns.Host, to string) (string, error) {
	listener, err := host.Listen(ctx, 0)
	if err != nil {
		return "", err
	}
	proxy := &intercept.Proxy{
		To: to, Dial: host.DialContext,
		Before: func(c *intercept.Call) bool {
			s.late.hold(who, c, s.history)
			return true
		},
		After: func(c *intercept.Call) bool {
			s.history.Record(who, c)
			if key, ok := c.Key(); ok && key == s.keys().Lease() && linear.Takes(c) {
				s.late.release(who)
			}
			return true
		},
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proxies = append(s.proxies, proxy.Serve(listener))
	return listener.Addr().String(), nil
}

// close ends everything.
func (s *storm) close() error {
	s.ending()
	s.work.Wait()
	s.late.end()
	var errs []error
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	for _, p := range s.proxies {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// observe has users ask all the time, and each node be asked whether it serves,
// past Consul and past the DNS.
func (s *storm) observe(ctx context.Context) error {
	var err error
	s.users, err = load.New(load.Config{
		Name: "web." + cluster.Zone, Port: s.cluster.AppPort(), Servers: s.cluster.DNS(), Workers: 6, Rate: 30, Dial: s.cluster.Dial,
	})
	if err != nil {
		return err
	}
	ctx, s.ending = context.WithCancel(ctx)
	s.work.Go(func() { s.users.Run(ctx) })
	s.work.Go(func() { s.watchNodes(ctx) })
	return nil
}

// watchNodes notes the least number of nodes of a pool that served at the same
// time.
func (s *storm) watchNodes(ctx context.Context) {
	const every = 100 * time.Millisecond
	for ctx.Err() == nil {
		serving := make(map[string]int)
		for _, a := range s.cluster.Agents {
			if serves(ctx, a) {
				serving[a.Pool]++
			}
		}
		if ctx.Err() != nil {
			return
		}
		for _, a := range s.cluster.Agents {
			s.note(a.Pool, serving[a.Pool])
		}
		pause(ctx, every)
	}
}

func (s *storm) note(pool string, serving int) {
	s.mu.Lock()
	least, known := s.least[pool]
	if !known || serving < least {
		s.least[pool] = serving
	}
	s.mu.Unlock()
	if serving < 1 && (!known || least > 0) {
		s.breaks("no node of %s served", pool)
	}
}

// serves tells whether the service on a node answers.
func serves(ctx context.Context, a *cluster.Agent) bool {
	const timeout = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := a.Get(ctx, "/healthz")
	return err == nil
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
