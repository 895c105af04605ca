package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"switchd/consul"
	"switchd/driver"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/fleet"
)

// scenario is one roll of simulated nodes from version 1 to version 2.
type scenario struct {
	name       string
	nodes      int
	sick       int // nodes on which version 2 fails
	atATime    int // percent of the nodes; 0: one node
	killLeader bool
	dir        string
}

// result is what a roll came to.
type result struct {
	took      time.Duration // from the promotion to the last node
	handovers []time.Duration
	writes    float64 // a node
	cpu       time.Duration
	broken    int
}

const (
	minHealthy = 100 * time.Millisecond
	sickAfter  = 3 * time.Second
)

func (s scenario) service() spec.Service {
	web := spec.Service{
		Name: "web", Port: 8080,
		Pools: map[string]spec.Pool{
			spec.Blue:  {NodeMeta: map[string]string{fleet.Meta: "bench"}},
			spec.Green: {Nodes: []string{"elsewhere"}},
		},
		Runtime: spec.Runtime{Kind: spec.RuntimeProcess, Command: []string{"{{address}}:{{port}}"}, StopGrace: spec.Duration(time.Second)},
		Health:  spec.Health{Path: "/healthz", Interval: spec.Duration(time.Second), Timeout: spec.Duration(time.Second)},
		Roll: spec.Roll{
			Quorum: spec.Nodes(s.nodes - 1), MaxUnavailable: spec.Nodes(1),
			MinHealthyTime: spec.Duration(minHealthy), HealthyDeadline: spec.Duration(sickAfter), MaxFailures: s.sick,
		},
		Switch:    spec.Switch{Kind: spec.SwitchDNS, Name: "web", TTL: spec.Duration(time.Second)},
		Approvals: []spec.Approval{{Name: "nobody"}}, // the switch is not this bench's matter
	}
	if s.atATime > 0 {
		web.Roll.MaxUnavailable = spec.Count{N: s.atATime, Percent: true}
		web.Roll.Quorum = spec.Count{N: 100 - s.atATime, Percent: true}
		// Those that fail run their former version again and count; while they
		// are being tried they are down.
	}
	return web
}

func (s scenario) run(ctx context.Context) (result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return result{}, fmt.Errorf("make a folder: %w", err)
	}
	log, err := os.Create(filepath.Join(s.dir, "agents.log"))
	if err != nil {
		return result{}, fmt.Errorf("make a log: %w", err)
	}
	defer func() { _ = log.Close() }()
	logger := slog.New(slog.NewTextHandler(log, nil))

	fmt.Printf("%s: starting Consul and %d nodes\n", s.name, s.nodes)
	cluster, err := startServers(ctx, s.dir)
	if err != nil {
		return result{}, err
	}
	defer func() { _ = cluster.group.Close() }()
	l, err := s.prepare(ctx, cluster)
	if err != nil {
		return result{}, err
	}
	ttl := 15 * time.Second
	if s.nodes > 100 {
		ttl = time.Minute
	}
	nodes, err := fleet.New(ctx, fleet.Config{
		Nodes: s.nodes, Servers: cluster.addrs(), Keys: l.Keys, Service: s.service(), Version: "1", TTL: ttl, Dir: s.dir, Log: logger,
		Sick: func(node int, version string) bool { return version == "2" && s.sick > 0 && node%(s.nodes/s.sick) == 0 },
	})
	if err != nil {
		return result{}, err
	}
	var work sync.WaitGroup
	ended := make(chan error, 2)
	work.Go(func() { ended <- nodes.Run(ctx) })
	work.Go(func() { ended <- s.drive(ctx, l, logger) })
	defer work.Wait()
	defer cancel()
	if err := s.ready(ctx, l); err != nil {
		return result{}, err
	}
	writes, cpu, began := nodes.Writes(), cluster.cpu(), time.Now()
	before := nodes.Truth.Report()
	fmt.Printf("%s: rolling\n", s.name)
	if err := s.promote(ctx, l); err != nil {
		return result{}, err
	}
	if err := s.follow(ctx, l, cluster, nodes); err != nil {
		return result{}, err
	}
	took := time.Since(began)
	truth := nodes.Truth.Report()
	r := result{
		took: took, writes: float64(nodes.Writes()-writes) / float64(s.nodes), cpu: cluster.cpu() - cpu, broken: len(truth.Broken),
		handovers: handovers(truth.Starts[len(before.Starts):], truth.Stops),
	}
	fmt.Printf("%s: %d nodes (%d sick) in %v; at least %d served (quorum %d), at most %d were down; %.1f writes a node, %.0f a second; Consul's three servers %.1f s of CPU\n",
		s.name, s.nodes, s.sick, took.Round(100*time.Millisecond), truth.Least, nodes.Truth.Quorum, truth.MostDown,
		r.writes, r.writes*float64(s.nodes)/took.Seconds(), r.cpu.Seconds())
	for _, broken := range truth.Broken {
		fmt.Printf("%s: BROKEN PROMISE: %s\n", s.name, broken)
	}
	if len(truth.Broken) > 0 {
		return r, errors.New("promises were broken")
	}
	return r, nil
}

// prepare writes what `switchd apply` and `switchd publish` would.
func (s scenario) prepare(ctx context.Context, cluster *quorumOf) (*ledger.Ledger, error) {
	client, err := consul.NewClient(consul.Flags{HTTPAddr: cluster.addrs()[0]})
	if err != nil {
		return nil, err
	}
	l := &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: "bench"}}
	live := pools.Live{Service: "web", Pool: spec.Green, Version: "0", Generation: 1}
	values := map[string]any{
		l.Keys.Environment(): spec.Environment{Name: "bench"}, l.Keys.Spec("web"): s.service(), l.Keys.Live("web"): live,
		l.Keys.Order("web"): rollout.OrderOf(nil, &live),
	}
	for key, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", key, err)
		}
		if err := client.Txn(ctx, "write "+key, consul.CAS(key, text, 0)); err != nil {
			return nil, err
		}
	}
	return l, errors.Join(l.Publish(ctx, fleet.Manifest("web", "1")), l.Publish(ctx, fleet.Manifest("web", "2")))
}

// drive is what a replica of `switchd serve` does.
func (s scenario) drive(ctx context.Context, l *ledger.Ledger, log *slog.Logger) error {
	for ctx.Err() == nil {
		lease, err := l.Consul.Acquire(ctx, consul.LeaseOptions{Key: l.Keys.Lease(), Holder: "bench", TTL: 10 * time.Second, LockDelay: time.Second, Log: log})
		if err != nil {
			return nil //nolint:nilerr // only the end of ctx ends the wait
		}
		under, stop := context.WithCancel(ctx)
		world := &driver.World{Ledger: l, Fence: lease, Log: log}
		active := make(chan []string)
		var work sync.WaitGroup
		work.Go(func() { world.Active(under, active) })
		work.Go(func() { (&rollout.Engine{World: world, Log: log}).Supervise(under, active) })
		work.Go(func() { world.KeepOrders(under) })
		select {
		case <-ctx.Done():
		case <-lease.Lost():
		}
		stop()
		work.Wait()
	}
	return nil
}

// ready waits until all agents are there.
func (s scenario) ready(ctx context.Context, l *ledger.Ledger) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		entries, err := l.Consul.List(ctx, l.Keys.Presence())
		if err == nil && len(entries) == s.nodes {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the agents: %d of %d are there: %w", len(entries), s.nodes, ctx.Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// promote begins the rollout, again if Consul has just no leader.
func (s scenario) promote(ctx context.Context, l *ledger.Ledger) error {
	for {
		err := s.promoteOnce(ctx, l)
		if err == nil || !errors.Is(err, consul.ErrUnreachable) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (s scenario) promoteOnce(ctx context.Context, l *ledger.Ledger) error {
	_, err := l.Do(ctx, "web", "bench", func(situation rollout.Situation) (*rollout.Change, error) {
		situation.Released = true
		now := time.Now()
		return rollout.Promote(situation, ledger.NewID("web", "2", now), "2", "bench", now)
	})
	return err
}

// follow waits for the end of the roll, and kills Consul's leader when half of
// the nodes are done.
func (s scenario) follow(ctx context.Context, l *ledger.Ledger, cluster *quorumOf, nodes *fleet.Fleet) error {
	killed := !s.killLeader
	started := len(nodes.Truth.Report().Starts)
	var last time.Time
	for {
		record, err := l.Record(ctx, "web")
		if err == nil && record != nil {
			switch record.Phase {
			case rollout.Queued, rollout.Staging, rollout.Rolling:
			case rollout.Failed, rollout.Halted, rollout.RolledBack:
				return fmt.Errorf("the roll ended %s: %s", record.Phase, record.Outcome)
			default:
				return nil
			}
		}
		done := len(nodes.Truth.Report().Starts) - started
		if time.Since(last) > 10*time.Second && record != nil {
			fmt.Printf("%s: %s, %d of %d started anew\n", s.name, record.Phase, done, s.nodes)
			last = time.Now()
		}
		if !killed && done >= s.nodes/2 {
			killed = true
			name, err := cluster.killLeader(ctx)
			if err != nil {
				return err
			}
			fmt.Printf("%s: killed Consul's leader, %s, and started it again\n", s.name, name)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// handovers are the times from the moment at which a node had been healthy for
// long enough to the stop of the next one.
func handovers(starts, stops []time.Time) []time.Duration {
	var all []time.Duration
	for _, start := range starts {
		proven := start.Add(minHealthy)
		if i := slices.IndexFunc(stops, func(stop time.Time) bool { return stop.After(start) }); i >= 0 {
			all = append(all, stops[i].Sub(proven))
		}
	}
	slices.Sort(all)
	return all
}

func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}
