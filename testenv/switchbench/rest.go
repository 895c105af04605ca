package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/ledger"
	livepools "switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/cluster"
)

// restEnv is the environment of the services at rest.
const restEnv = "rest"

// rest measures a controller of many services of which none has a rollout.
func (f flags) rest(ctx context.Context, dir string) (_ []figure, err error) {
	fmt.Printf("rest: starting Consul with %d services\n", f.Services)
	c, err := start(ctx, dir, cluster.Options{Nodes: 1})
	defer end(c, &err)
	if err != nil {
		return nil, err
	}
	client, err := consul.NewClient(consul.Flags{HTTPAddr: c.ConsulAddr()})
	if err != nil {
		return nil, err
	}
	l := &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: restEnv}}
	if err := f.furnish(ctx, l); err != nil {
		return nil, fmt.Errorf("furnish Consul: %w", err)
	}
	serve, err := c.Group.Start(ctx, "serve-rest", filepath.Join(dir, "serve-rest.log"), []string{
		c.Bin.Switchd, "--http-addr", c.ConsulAddr(), "--env", restEnv, "serve", "--name", "ns1", "--data", filepath.Join(dir, "serve-rest"),
		"--http-listen", "127.0.0.1:0", "--dns-listen", "127.0.0.1:0", "--trusted-key", c.Key + ".pub",
	}, nil)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := f.settled(ctx, l); err != nil {
		return nil, err
	}
	fmt.Printf("rest: all answers are derived after %v; measuring for %v\n", time.Since(began).Round(100*time.Millisecond), f.Rest)
	if err := sleep(ctx, 10*time.Second); err != nil { // what the start has left to do
		return nil, err
	}
	before, consulBefore, began := serve.CPU(), c.Server.CPU(), time.Now()
	if err := sleep(ctx, f.Rest); err != nil {
		return nil, err
	}
	took := time.Since(began)
	percent := func(spent time.Duration) string { return fmt.Sprintf("%.2f", 100*spent.Seconds()/took.Seconds()) }
	fmt.Printf("rest: Consul's server took %s %% of a core meanwhile\n", percent(c.Server.CPU()-consulBefore))
	return []figure{{fmt.Sprintf("engine.services_%d.cpu_percent", f.Services), percent(serve.CPU() - before)}}, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// furnish has services that are live on blue, each with an instance in each
// pool.
func (f flags) furnish(ctx context.Context, l *ledger.Ledger) error {
	minute := spec.Duration(time.Minute)
	desired := &spec.Desired{Environment: spec.Environment{Name: restEnv, Zone: &spec.Zone{
		Name: "rest.test", NameServers: []string{"ns1.rest.test"}, Admin: "hostmaster@rest.test",
		TTL: minute, NegativeTTL: minute, Refresh: minute, Retry: minute, Expire: spec.Duration(24 * time.Hour),
	}}}
	for i := range f.Services {
		name := fmt.Sprintf("service%04d", i)
		desired.Services = append(desired.Services, spec.Service{
			Name: name, Port: 80,
			Pools:  map[string]spec.Pool{spec.Blue: {Nodes: []string{spec.Blue}}, spec.Green: {Nodes: []string{spec.Green}}},
			Switch: spec.Switch{Kind: spec.SwitchDNS, Name: name, TTL: minute, ArmedTTL: minute},
		})
	}
	if err := l.Apply(ctx, "switchbench", desired); err != nil {
		return err
	}
	for i, s := range desired.Services {
		for n, pool := range []string{spec.Blue, spec.Green} {
			id := livepools.ID(s.Name, pool)
			if _, err := l.Consul.API().Catalog().Register(&api.CatalogRegistration{
				Node: pool, Address: fmt.Sprintf("192.0.2.%d", n+1),
				Service: &api.AgentService{
					ID: id, Service: s.Name, Port: 80,
					Meta: map[string]string{livepools.MetaPool: pool, livepools.MetaVersion: former},
				},
				Checks: api.HealthChecks{{Node: pool, CheckID: id, Name: "GET /", ServiceID: id, Status: api.HealthPassing}},
			}, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
				return fmt.Errorf("register %s: %w", id, err)
			}
		}
		if _, err := l.Do(ctx, s.Name, "switchbench", func(now rollout.Situation) (*rollout.Change, error) {
			live := now.Live.Next("switchbench", time.Now())
			live.Service, live.Pool, live.Version = s.Name, spec.Blue, former
			return &rollout.Change{Live: live, What: "switch"}, nil
		}); err != nil {
			return err
		}
		if (i+1)%250 == 0 {
			fmt.Printf("rest: %d of %d services are live\n", i+1, f.Services)
		}
	}
	return nil
}

// settled waits until somebody drives, and DNS answers are derived for all.
func (f flags) settled(ctx context.Context, l *ledger.Ledger) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*patience, errors.New("the answers of all services are not derived"))
	defer cancel()
	for {
		driver, err := l.Driver(ctx)
		if err == nil && driver != "" {
			derived, err := l.Consul.Folders(ctx, l.Keys.AllAnswering())
			if err == nil && len(derived) == f.Services {
				return nil
			}
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
	}
}
