// Package fleet simulates many nodes on one machine: the agents' real code
// against a real Consul, with a runtime that starts listeners instead of
// processes, and with a stand-in for each node's own Consul agent.
package fleet

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rolling"
	"switchd/runner"
	"switchd/spec"
)

// Meta is the metadata that all nodes of a fleet have.
const Meta = "fleet"

// Config says what a fleet is like.
type Config struct {
	Nodes   int
	Servers []string // host:port of Consul's servers
	Keys    consul.Keys
	Service spec.Service // whose blue pool the nodes are
	Version string       // what they run at first
	// Sick tells whether a version is unhealthy on a node.
	Sick func(node int, version string) bool
	TTL  time.Duration // of the agents' sessions
	Dir  string
	Log  *slog.Logger
}

// Fleet is one running.
type Fleet struct {
	Truth *Truth

	config Config
	nodes  []*node
}

type node struct {
	name, address string
	local         *local
	runtime       *runtime
	consul        *consul.Client
}

// New makes the nodes, each with its service running and registered.
func New(ctx context.Context, config Config) (*Fleet, error) {
	quorum := config.Service.Roll.Quorum.AtLeast(config.Nodes)
	f := &Fleet{config: config, Truth: NewTruth(quorum, config.Service.Roll.MaxUnavailable.AtMost(config.Nodes))}
	transport := &http.Transport{MaxIdleConnsPerHost: 4 * config.Nodes, IdleConnTimeout: time.Minute}
	for i := range config.Nodes {
		n := &node{name: fmt.Sprintf("sim%04d", i), address: fmt.Sprintf("127.77.%d.%d", i/250, 1+i%250)}
		n.local = &local{
			node: n.name, address: n.address, servers: config.Servers, first: i % len(config.Servers), next: transport,
			services: make(map[string]*registered),
		}
		n.runtime = &runtime{node: n.name, truth: f.Truth, sick: func(version string) bool { return config.Sick(i, version) }}
		var err error
		if n.consul, err = consul.NewClientOver(consul.Flags{HTTPAddr: "consul"}, n.local); err != nil {
			return f, err
		}
		f.nodes = append(f.nodes, n)
	}
	return f, each(f.nodes, func(n *node) error { return f.settle(ctx, n) })
}

// each does something for all nodes, some at a time.
func each(nodes []*node, do func(*node) error) error {
	const atATime = 32
	var (
		work sync.WaitGroup
		mu   sync.Mutex
		errs []error
		free = make(chan struct{}, atATime)
	)
	for _, n := range nodes {
		free <- struct{}{}
		work.Go(func() {
			defer func() { <-free }()
			if err := do(n); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s: %w", n.name, err))
			}
		})
	}
	work.Wait()
	return errors.Join(errs...)
}

// settle puts a node into the catalog, with its service.
func (f *Fleet) settle(ctx context.Context, n *node) error {
	s := f.config.Service
	response, err := n.local.catalog((&http.Request{}).WithContext(ctx), "register", map[string]any{
		"Node": n.name, "Address": n.address, "NodeMeta": map[string]string{Meta: f.config.Keys.Env},
	})
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if _, err := n.runtime.Start(ctx, runner.Instance{ID: n.name, Version: f.config.Version, Command: []string{f.addr(n)}}); err != nil {
		return err
	}
	return pools.Register(ctx, n.consul, pools.Registration{
		Service: s, Pool: spec.Blue, Version: f.config.Version, Release: digestOf(f.config.Version), Address: n.address, Port: s.Port, Healthy: true,
	})
}

func (f *Fleet) addr(n *node) string {
	return net.JoinHostPort(n.address, fmt.Sprint(f.config.Service.Port))
}

// Run runs all agents until ctx ends.
func (f *Fleet) Run(ctx context.Context) error {
	var work sync.WaitGroup
	errs := make(chan error, len(f.nodes))
	for _, n := range f.nodes {
		root := filepath.Join(f.config.Dir, n.name)
		if err := os.MkdirAll(root, 0o700); err != nil {
			return fmt.Errorf("make a node's folder: %w", err)
		}
		agent := &rolling.Agent{
			Consul: n.consul, Keys: f.config.Keys, Node: n.name, Address: n.address, Root: root,
			Meta:     map[string]string{Meta: f.config.Keys.Env},
			Runtimes: map[string]runner.Runtime{spec.RuntimeProcess: n.runtime}, Stager: stager{}, Releases: &ledger.Ledger{Consul: n.consul, Keys: f.config.Keys},
			TTL: f.config.TTL, LockDelay: time.Second, Reassert: time.Hour, Log: f.config.Log.With("node", n.name),
		}
		work.Go(func() { errs <- agent.Run(ctx) })
	}
	work.Wait()
	close(errs)
	var all []error
	for err := range errs {
		all = append(all, err)
	}
	for _, n := range f.nodes {
		all = append(all, n.runtime.close())
	}
	return errors.Join(all...)
}

// Writes is how many replicated writes all nodes have made so far.
func (f *Fleet) Writes() int64 {
	var sum int64
	for _, n := range f.nodes {
		sum += n.local.writes.Load()
	}
	return sum
}

// stager has every release there at once.
type stager struct{}

// Dir is never looked into.
func (stager) Dir(m artifact.Manifest) string { return "/" + m.Version }

// Stage has it there.
func (s stager) Stage(_ context.Context, m artifact.Manifest, _ func(done, total int64)) (string, error) {
	return s.Dir(m), nil
}

// digestOf makes up the digest of a version's archive, which nobody fetches.
func digestOf(version string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(version))) }

// Manifest is that of a simulated release.
func Manifest(service, version string) artifact.Manifest {
	return artifact.Manifest{
		Service: service, Version: version, Size: 1, SHA256: digestOf(version), Format: artifact.FormatTarZstd, Unpacked: 1,
		Created: time.Now().UTC().Truncate(time.Second), By: "simulation",
	}
}
