package driver

import (
	"context"
	"net"
	"strconv"

	"switchd/gate"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/smoke"
	"switchd/spec"
	"switchd/warmup"
)

// node is one node of the rollout's pool, as a gate reaches it.
type node struct{ name, url string }

// nodes are all nodes that are to get users. While one of them is not there,
// or not well, the gate can't tell anything of the pool: what it would find
// out about the others is not enough.
func (w *World) nodes(ctx context.Context, s rollout.Situation) ([]node, gate.Verdict) {
	now, err := pools.Read(ctx, w.Consul, s.Spec.Name)
	if err != nil {
		return nil, gate.Undecided("the pool's health can't be read: %v", err)
	}
	var found []node
	for _, member := range s.Record.Members {
		in, registered := now[s.Record.Pool].On(member)
		switch {
		case !registered:
			return nil, gate.Undecided("%s is not in Consul's catalog", member)
		case in.Version != s.Record.Version:
			return nil, gate.Undecided("%s runs %s", member, in.Version)
		case !in.Passing:
			return nil, gate.Undecided("%s is not passing: %s", member, in.Why)
		}
		found = append(found, node{member, "http://" + net.JoinHostPort(in.Address, strconv.Itoa(in.Port))})
	}
	return found, gate.Verdict{}
}

// warmup warms each node up.
func (w *World) warmup(ctx context.Context, s rollout.Situation, progress func(string)) gate.Verdict {
	nodes, verdict := w.nodes(ctx, s)
	if nodes == nil {
		return verdict
	}
	return warmup.Run(ctx, *s.Spec.Warmup, vars(s, s.Record.Pool), warmupTargets(nodes), progress)
}

// smoke checks each node, and the pool through its DNS name where it has one in
// the environment's zone, as a user would reach it.
func (w *World) smoke(ctx context.Context, s rollout.Situation) gate.Verdict {
	nodes, verdict := w.nodes(ctx, s)
	if nodes == nil {
		return verdict
	}
	targets := make([]smoke.Target, 0, len(nodes)+1)
	for _, n := range nodes {
		targets = append(targets, smoke.Target{Name: n.name, URL: n.url})
	}
	env, err := w.Environment(ctx)
	if err != nil {
		return gate.Undecided("the environment can't be read: %v", err)
	}
	if env.Zone != nil && s.Spec.Switch.Named() && s.Spec.Switch.Kind != spec.SwitchDNSUpdate && len(s.Spec.Switch.Targets) == 0 {
		servers, err := w.dnsServers(ctx)
		if err != nil {
			return gate.Undecided("the replicas can't be listed: %v", err)
		}
		if len(servers) > 0 {
			pool := leadOf(s.Spec, env.Zone.Name).targets[s.Record.Pool]
			targets = append(targets, smoke.Target{
				Name: "pool " + s.Record.Pool, URL: "http://" + net.JoinHostPort(pool, strconv.Itoa(s.Spec.Port)), Dial: smoke.ThroughDNS(servers),
			})
		}
	}
	return smoke.Run(ctx, s.Spec.Smoke, vars(s, s.Record.Pool), targets)
}

func (w *World) dnsServers(ctx context.Context) ([]string, error) {
	replicas, err := replica.List(ctx, w.Consul, w.Keys.Env)
	if err != nil {
		return nil, err
	}
	var servers []string
	for _, r := range replicas {
		if r.DNS != "" && r.Passing {
			servers = append(servers, r.DNS)
		}
	}
	return servers, nil
}
