package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchd/consul"
	"switchd/ledger"
	livepools "switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/cluster"
	"switchd/testenv/intercept"
	"switchd/testenv/load"
	"switchd/testenv/netns"
)

const (
	former, latest = "1.0.0", "2.0.0"
	// patience is how long anything may take.
	patience = 2 * time.Minute
	// pause is how long users stay before they are led back, so that each
	// rollback finds everything at rest.
	pause = 300 * time.Millisecond
)

// counter counts the writes of the replicas.
type counter struct {
	writes  atomic.Int64
	proxies []*intercept.Running
}

// between puts a proxy that counts between a replica and its Consul agent. What
// only that agent keeps, such as the replica's registration, doesn't count.
func (c *counter) between(ctx context.Context, who string, _ *netns.Host, to string) (string, error) {
	if !strings.HasPrefix(who, "ns") {
		return to, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("listen for %s: %w", who, err)
	}
	p := &intercept.Proxy{To: to, Before: func(call *intercept.Call) bool {
		if call.Writes() && !strings.HasPrefix(call.Path, "/v1/agent/") {
			c.writes.Add(1)
		}
		return true
	}}
	c.proxies = append(c.proxies, p.Serve(listener))
	return listener.Addr().String(), nil
}

func (c *counter) close() error {
	var errs []error
	for _, p := range c.proxies {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// taken are the times of all rollbacks: from the command, and from the write.
type taken struct {
	dns, dnsWritten, chain, chainWritten, endpoints, endpointsWritten []time.Duration
}

// rollbacks measures rollbacks of one service under load.
func (f flags) rollbacks(ctx context.Context, dir string) (_ []figure, err error) {
	var writes counter
	fmt.Printf("rollbacks: starting %d replicas and %d nodes a pool\n", f.Replicas, f.Nodes)
	c, err := start(ctx, dir, cluster.Options{Nodes: f.Nodes, Replicas: f.Replicas, Via: writes.between})
	defer func() { err = errors.Join(err, writes.close()) }()
	defer end(c, &err)
	if err != nil {
		return nil, err
	}
	l, err := c.Ledger()
	if err != nil {
		return nil, err
	}
	rolled, err := f.prepare(ctx, c, &writes)
	if err != nil {
		return nil, err
	}
	clients, err := load.New(load.Config{Name: "web." + cluster.Zone, Port: c.AppPort(), Servers: c.DNS(), Workers: 20, Rate: f.Rate})
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	var replicas []*witness
	for _, server := range c.DNS() {
		w := newWitness("the replica at " + server)
		replicas = append(replicas, w)
		work.Go(func() { w.watchDNS(ctx, server, pools(c)) })
	}
	chain, endpoints := newWitness("the discovery chain"), newWitness("the proxy")
	work.Go(func() { chain.watchChain(ctx, l.Consul) })
	broken := make(chan error, 1)
	work.Go(func() {
		if err := endpoints.watchProxy(ctx, c.GRPC(), pools(c)); err != nil {
			broken <- err
			stop()
		}
	})
	work.Go(func() { clients.Run(ctx) })

	var all taken
	for i := range f.Rollbacks {
		if err := all.one(ctx, c, l, replicas, chain, endpoints); err != nil {
			select {
			case why := <-broken:
				err = errors.Join(err, why)
			default:
			}
			return nil, err
		}
		if (i+1)%50 == 0 {
			fmt.Printf("rollbacks: %d of %d\n", i+1, f.Rollbacks)
		}
	}
	stop()
	work.Wait()
	failed := 0
	for _, chapter := range clients.Snapshot() {
		failed += chapter.Failed()
		fmt.Printf("rollbacks: %s\n", chapter)
	}
	return slices.Concat(
		figuresOf("rollback.dns_ms", all.dns, 50, 99), figuresOf("rollback.chain_ms", all.chain, 50, 99),
		figuresOf("rollback.endpoints_ms", all.endpoints, 50, 99),
		figuresOf("rollback.written_dns_ms", all.dnsWritten, 50, 99), figuresOf("rollback.written_chain_ms", all.chainWritten, 50, 99),
		figuresOf("rollback.written_endpoints_ms", all.endpointsWritten, 50, 99),
		[]figure{{"rollback.failed_requests", fmt.Sprint(failed)}, {"engine.writes_per_rollout", fmt.Sprint(rolled)}},
	), nil
}

// prepare has 2.0.0 live on green and 1.0.0 warm on blue, and tells how many
// writes of all replicas the second rollout took.
func (f flags) prepare(ctx context.Context, c *cluster.Cluster, writes *counter) (int64, error) {
	s := cluster.DefaultService()
	s.Quorum, s.Analysis, s.Warmup, s.Drain, s.Bake = max(f.Nodes-1, 1), false, false, false, time.Second
	s.Extra = "  switch \"resolver\" {}\n"
	if err := c.Apply(ctx, s); err != nil {
		return 0, err
	}
	var rolled int64
	for _, version := range []string{former, latest} {
		if err := c.Publish(ctx, cluster.App{Version: version}); err != nil {
			return 0, err
		}
		before := writes.writes.Load()
		if _, err := c.Switchd(ctx, "promote", "web", version); err != nil {
			return 0, err
		}
		rolled = writes.writes.Load() - before
		fmt.Printf("rollbacks: %s is live, after %d writes of the replicas\n", version, rolled)
	}
	return rolled, sidecars(ctx, c)
}

// one leads users to the latest version again, and rolls back.
func (t *taken) one(ctx context.Context, c *cluster.Cluster, l *ledger.Ledger, replicas []*witness, chain, endpoints *witness) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	witnesses := append(slices.Clone(replicas), chain, endpoints)
	if err := forward(ctx, l); err != nil {
		return err
	}
	if _, err := last(ctx, witnesses, spec.Green); err != nil {
		return err
	}
	if err := sleep(ctx, pause); err != nil {
		return err
	}
	typed := time.Now()
	if _, err := c.Switchd(ctx, "rollback", "web"); err != nil {
		return err
	}
	live, err := l.Live(ctx, "web")
	if err != nil {
		return err
	}
	for _, m := range []struct {
		witnesses      []*witness
		typed, written *[]time.Duration
	}{
		{replicas, &t.dns, &t.dnsWritten}, {[]*witness{chain}, &t.chain, &t.chainWritten}, {[]*witness{endpoints}, &t.endpoints, &t.endpointsWritten},
	} {
		at, err := last(ctx, m.witnesses, spec.Blue)
		if err != nil {
			return err
		}
		// The record has the time right before it was written.
		*m.typed, *m.written = append(*m.typed, at.Sub(typed)), append(*m.written, at.Sub(live.At))
	}
	return nil
}

// last waits until all witnesses show a pool, and tells since when.
func last(ctx context.Context, witnesses []*witness, pool string) (time.Time, error) {
	var latest time.Time
	for _, w := range witnesses {
		at, err := w.until(ctx, pool)
		if err != nil {
			return latest, err
		}
		if at.After(latest) {
			latest = at
		}
	}
	return latest, nil
}

// forward leads users to the latest version, as a switch does.
func forward(ctx context.Context, l *ledger.Ledger) error {
	for {
		_, err := l.Do(ctx, "web", "switchbench", func(s rollout.Situation) (*rollout.Change, error) {
			live := s.Live.Next("switchbench", time.Now())
			live.Previous = livepools.Side{Pool: spec.Blue, Version: former}
			live.Pool, live.Version, live.RolledBack, live.Why = spec.Green, latest, false, ""
			return &rollout.Change{Live: live, Saw: s.Live.Read(), What: "switch"}, nil
		})
		if !errors.Is(err, consul.ErrConflict) {
			return err
		}
	}
}
