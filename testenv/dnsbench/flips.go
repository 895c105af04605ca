//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/proc"
)

const (
	flipEnv = "bench"
	// flipVersion runs on all nodes.
	flipVersion = "1.0.0"
)

// flips measures how fast a flip in Consul shows in the answers of a real
// replica that is asked for as much as it can answer.
func (b *bench) flips(ctx context.Context) (err error) {
	if b.Flips == 0 {
		return nil
	}
	b.report.say("%d flips under load", b.Flips)
	group, err := proc.NewGroup()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, group.Close()) }()
	server, err := startConsul(ctx, group, b.path("consul"))
	if err != nil {
		return err
	}
	client, err := consul.NewClient(consul.Flags{HTTPAddr: server})
	if err != nil {
		return err
	}
	l := &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: flipEnv}}
	if err := furnish(ctx, l); err != nil {
		return fmt.Errorf("furnish Consul: %w", err)
	}
	addr, err := freePort(ctx)
	if err != nil {
		return err
	}
	replica, err := group.Start(ctx, switchd, b.path("switchd.log"), slices.Concat(pin([]int{b.ServerCPU}), []string{
		b.path("switchd"), "--http-addr", server, "--env", flipEnv, "serve", "--name", "ns1", "--data", b.path("data"),
		"--http-listen", "127.0.0.1:0", "--dns-listen", addr.String(),
	}), nil)
	if err != nil {
		return err
	}
	if err := awaitAnswer(ctx, replica, addr); err != nil {
		return fmt.Errorf("switchd serve: %w", err)
	}

	var found flipsSeen
	if err := child(ctx, nil, flipTimeout, &found, "flip", "--server", addr.String(), "--consul", server,
		"--cpu", strconv.Itoa(b.ClientCPU), "--flips", strconv.Itoa(b.Flips)); err != nil {
		return err
	}
	for _, ms := range []struct {
		name  string
		value float64
	}{{"p50", float64(found.P50)}, {"p99", float64(found.P99)}, {"max", float64(found.Max)}} {
		b.report.add(switchd, "flip."+ms.name, ms.value/float64(time.Millisecond))
	}
	b.report.add(switchd, "flip.lost", float64(found.Lost))
	b.report.add(switchd, "flip.stale", float64(found.Stale))
	b.report.say("%d flips seen at %.0f queries/s", found.Flips, found.QPS)
	return nil
}

// furnish has one service, live on green, with a node in each pool.
func furnish(ctx context.Context, l *ledger.Ledger) error {
	minute := spec.Duration(ttl * time.Second)
	if err := l.Apply(ctx, "bench", &spec.Desired{
		Environment: spec.Environment{Name: flipEnv, Zone: &spec.Zone{
			Name: origin, NameServers: []string{"ns1." + origin}, Admin: "hostmaster@" + origin,
			TTL: minute, NegativeTTL: spec.Duration(5 * time.Second),
			Refresh: minute, Retry: minute, Expire: spec.Duration(24 * time.Hour),
		}},
		Services: []spec.Service{{Name: flipName, Port: 80, Switch: spec.Switch{Kind: spec.SwitchDNS, Name: flipName, TTL: minute, ArmedTTL: minute}}},
	}); err != nil {
		return err
	}
	for _, pool := range []string{spec.Blue, spec.Green} {
		if _, err := l.Consul.API().Catalog().Register(&api.CatalogRegistration{
			Node: pool, Address: poolAddr(pool),
			Service: &api.AgentService{
				ID: pools.ID(flipName, pool), Service: flipName, Port: 80,
				Meta: map[string]string{pools.MetaPool: pool, pools.MetaVersion: flipVersion},
			},
			Checks: api.HealthChecks{{Node: pool, CheckID: flipName, Name: "GET /", ServiceID: pools.ID(flipName, pool), Status: api.HealthPassing}},
		}, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
			return err
		}
	}
	return flip(ctx, l, spec.Green)
}

// flip leads the users to a pool, as the engine does.
func flip(ctx context.Context, l *ledger.Ledger, pool string) error {
	_, err := l.Do(ctx, flipName, "bench", func(s rollout.Situation) (*rollout.Change, error) {
		live := s.Live.Next("bench", time.Now())
		live.Service, live.Pool, live.Version = flipName, pool, flipVersion
		return &rollout.Change{Live: live, What: "flip"}, nil
	})
	if err != nil {
		return fmt.Errorf("flip to %s: %w", pool, err)
	}
	return nil
}
