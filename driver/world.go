// Package driver is what the engine acts through: the ledger's records under
// the driver's lease, and the gates with the addresses that they need.
package driver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchd/analysis"
	"switchd/consul"
	"switchd/dnsflip"
	"switchd/gate"
	"switchd/ledger"
	"switchd/replica"
	"switchd/rollout"
	"switchd/smoke"
	"switchd/spec"
	"switchd/warmup"
)

// World is the real world of one environment, for as long as the fence holds.
type World struct {
	*ledger.Ledger

	Fence ledger.Fence
	Log   *slog.Logger
}

var _ rollout.World = (*World)(nil)

// Commit writes the change under the lease.
func (w *World) Commit(ctx context.Context, change *rollout.Change) error {
	return w.Ledger.Commit(ctx, w.Fence, change)
}

// Run does one job.
func (w *World) Run(ctx context.Context, job rollout.Job, s rollout.Situation, report func(gate.Verdict)) gate.Verdict {
	progress := func(line string) { report(gate.Undecided("%s", line)) }
	switch job.Kind {
	case rollout.JobSmoke:
		return w.smoke(ctx, s)
	case rollout.JobWarmup:
		return warmup.Run(ctx, *s.Spec.Warmup, vars(s, s.Record.Pool), warmupTargets(s), progress)
	case rollout.JobAnalysis:
		prometheus, verdict := w.prometheus(ctx, s.Spec)
		if prometheus == nil {
			return verdict
		}
		return analysis.Run(ctx, *s.Spec.Analysis, vars(s, s.Record.Pool), prometheus, progress)
	case rollout.JobProof:
		return w.proof(ctx, s)
	case rollout.JobDrain:
		return w.drain(ctx, s, progress)
	default:
		return gate.Undecided("this version of switchd knows no job %q", job.Kind)
	}
}

// vars are the variables of a text that is about one of the pools.
func vars(s rollout.Situation, pool string) spec.Vars {
	version := s.Record.Version
	if pool != s.Record.Pool {
		version = s.Record.From.Version
	}
	return spec.Vars{Service: s.Spec.Name, Pool: pool, Other: spec.Other(pool), Version: version}
}

// node is one node of the rollout's pool, as a gate reaches it.
type node struct{ name, url string }

func nodes(s rollout.Situation) []node {
	var found []node
	for _, in := range s.Pools[s.Record.Pool] {
		if in.Passing && in.Version == s.Record.Version {
			found = append(found, node{in.Node, "http://" + net.JoinHostPort(in.Address, strconv.Itoa(in.Port))})
		}
	}
	return found
}

func warmupTargets(s rollout.Situation) []warmup.Target {
	var targets []warmup.Target
	for _, n := range nodes(s) {
		targets = append(targets, warmup.Target{Name: n.name, URL: n.url})
	}
	return targets
}

// smoke checks each node, and the pool through its DNS name where there is
// one, as a user would reach it.
func (w *World) smoke(ctx context.Context, s rollout.Situation) gate.Verdict {
	var targets []smoke.Target
	for _, n := range nodes(s) {
		targets = append(targets, smoke.Target{Name: n.name, URL: n.url})
	}
	env, err := w.Environment(ctx)
	if err != nil {
		return gate.Undecided("the environment can't be read: %v", err)
	}
	if env.Zone != nil {
		servers, err := w.dnsServers(ctx)
		if err != nil {
			return gate.Undecided("the replicas can't be listed: %v", err)
		}
		if len(servers) > 0 {
			pool := s.Spec.Switch.Name + "-" + s.Record.Pool + "." + env.Zone.Name
			port := s.Spec.Port
			if p := s.Spec.Pools[s.Record.Pool].Port; p != 0 {
				port = p
			}
			targets = append(targets, smoke.Target{
				Name: "pool " + s.Record.Pool, URL: "http://" + net.JoinHostPort(pool, strconv.Itoa(port)), Dial: smoke.ThroughDNS(servers),
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

// prometheus is the one that the spec names, nil with the reason if there is
// none.
func (w *World) prometheus(ctx context.Context, s spec.Service) (*analysis.Prometheus, gate.Verdict) {
	base := ""
	if s.Analysis != nil {
		base = s.Analysis.Prometheus
	}
	if base == "" {
		env, err := w.Environment(ctx)
		if err != nil {
			return nil, gate.Undecided("the environment can't be read: %v", err)
		}
		base = env.Prometheus
	}
	prometheus, err := analysis.NewPrometheus(base)
	if err != nil {
		return nil, gate.Failed("%v", err)
	}
	return prometheus, gate.Verdict{}
}

// proofEvery is the pace at which replicas are asked until all show a switch.
const proofEvery = 20 * time.Millisecond

// proof waits until every replica that answers leads to the new pool. A
// replica that Consul holds for dead and that doesn't answer can't lead
// anybody anywhere; it is left out and named.
func (w *World) proof(ctx context.Context, s rollout.Situation) gate.Verdict {
	env, err := w.Environment(ctx)
	if err != nil {
		return gate.Undecided("the environment can't be read: %v", err)
	}
	if env.Zone == nil {
		return gate.Failed("environment %s has no zone to switch in", env.Name)
	}
	name := s.Spec.Switch.Name + "." + env.Zone.Name
	replicas, err := replica.List(ctx, w.Consul, w.Keys.Env)
	if err != nil {
		return gate.Undecided("the replicas can't be listed: %v", err)
	}
	answers := make([]answer, len(replicas))
	var asking sync.WaitGroup
	for i, r := range replicas {
		asking.Go(func() { answers[i] = ask(ctx, r, name, s.Record.Pool) })
	}
	asking.Wait()
	var evidence, missing []string
	proved := 0
	for _, a := range answers {
		evidence = append(evidence, a.text)
		switch {
		case a.shows:
			proved++
		case a.counts:
			missing = append(missing, a.text)
		}
	}
	switch {
	case len(missing) > 0:
		return gate.Undecided("%s", strings.Join(missing, "; "))
	case proved == 0:
		return gate.Undecided("no replica with DNS answers")
	}
	verdict := gate.Passed("%d of %d replicas lead %s to %s, the last one %s after the write", proved, len(replicas), name, s.Record.Pool,
		time.Since(s.Record.SwitchedAt).Round(time.Millisecond))
	verdict.Evidence = evidence
	return verdict
}

// answer is what one replica said.
type answer struct {
	text   string
	shows  bool // it leads to the new pool
	counts bool // it must show the switch, and doesn't
}

// ask asks one replica until it shows the switch, for a second at most.
func ask(ctx context.Context, r replica.Replica, name, pool string) answer {
	if r.DNS == "" {
		return answer{text: r.Name + " serves no DNS"}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var last answer
	for {
		got, serial, err := dnsflip.Ask(ctx, r.DNS, name)
		switch {
		case err == nil && got == pool:
			return answer{text: fmt.Sprintf("%s answers %s, serial %d", r.Name, got, serial), shows: true}
		case err == nil:
			last = answer{text: fmt.Sprintf("%s (%s) still answers %s", r.Name, r.DNS, got), counts: true}
		case last.text != "" && ctx.Err() != nil:
			// The second is over; what was learned before it stands.
		default:
			last = answer{text: fmt.Sprintf("%s (%s) does not answer: %v", r.Name, r.DNS, err), counts: r.Passing}
			if !r.Passing {
				last.text += "; Consul holds it for dead"
			}
		}
		select {
		case <-ctx.Done():
			return last
		case <-time.After(proofEvery):
		}
	}
}

// drain waits for the end of the old pool's traffic: measured where the spec
// has a query, and for three TTLs, which no cache should outlast, elsewhere.
func (w *World) drain(ctx context.Context, s rollout.Situation, progress func(string)) gate.Verdict {
	const ttls = 3
	settled := s.Record.SwitchedAt.Add(ttls * s.Spec.Switch.TTL.Std())
	if left := time.Until(settled); left > 0 {
		progress(fmt.Sprintf("%d TTLs of %s are not over", ttls, s.Spec.Switch.TTL))
		select {
		case <-ctx.Done():
			return gate.Undecided("ended before %d TTLs of %s were over", ttls, s.Spec.Switch.TTL)
		case <-time.After(left):
		}
	}
	if s.Spec.Drain.Query == "" {
		return gate.Passed("%d TTLs of %s are over; no query for the traffic is declared", ttls, s.Spec.Switch.TTL)
	}
	prometheus, verdict := w.prometheus(ctx, s.Spec)
	if prometheus == nil {
		return verdict
	}
	return analysis.Drained(ctx, s.Spec.Drain, vars(s, s.Record.From.Pool), prometheus, progress)
}

// Active watches the environment and sends the names of the services that
// have a rollout under way, each time that something of them may have changed.
func (w *World) Active(ctx context.Context, names chan<- []string) {
	var mu sync.Mutex
	var active []string
	watches := make(map[string]context.CancelFunc) // of the health of active services
	send := func() {
		mu.Lock()
		list := append([]string(nil), active...)
		mu.Unlock()
		if len(list) == 0 {
			return
		}
		select {
		case names <- list:
		case <-ctx.Done():
		}
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	for _, prefix := range []string{w.Keys.Lives(), w.Keys.Prefix() + "staging/", w.Keys.Specs()} {
		watching.Go(func() {
			w.Consul.WatchPrefix(ctx, prefix, func(seen consul.Seen[[]consul.Entry]) {
				if seen.Err == nil && seen.Changed {
					send()
				}
			})
		})
	}
	w.Consul.WatchPrefix(ctx, w.Keys.Rollouts(), func(seen consul.Seen[[]consul.Entry]) {
		if seen.Err != nil {
			w.Log.WarnContext(ctx, "consul is away; rollouts stand still", "error", seen.Err)
			return
		}
		var found []string
		for _, e := range seen.Value {
			record, err := rollout.ParseRecord(e.Value, e.Index)
			if err != nil {
				w.Log.ErrorContext(ctx, "rollout record can't be read", "key", e.Key, "error", err)
				continue
			}
			if record != nil && !record.Phase.Ended() {
				found = append(found, record.Service)
			}
		}
		mu.Lock()
		active = found
		mu.Unlock()
		w.watchHealth(ctx, &watching, watches, found, send)
		send()
	})
}

// watchHealth watches the health of exactly the named services.
func (w *World) watchHealth(ctx context.Context, watching *sync.WaitGroup, watches map[string]context.CancelFunc, names []string, changed func()) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
		if watches[name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		watches[name] = cancel
		watching.Go(func() {
			w.Consul.WatchServiceChanges(ctx, name, changed)
		})
	}
	for name, cancel := range watches {
		if !wanted[name] {
			cancel()
			delete(watches, name)
		}
	}
}
