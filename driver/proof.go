package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"switchd/dnsproof"
	"switchd/gate"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
)

var errNoReplica = errors.New("no replica with DNS answers")

// proof waits until all that users can be led by show the new pool: the
// replicas, the secondaries and other name servers of the zone, and the
// resolvers that the environment names. For a name in somebody else's zone, it
// is the zone's name servers and the resolvers.
func (w *World) proof(ctx context.Context, s rollout.Situation) gate.Verdict {
	env, err := w.Environment(ctx)
	if err != nil {
		return gate.Undecided("the environment can't be read: %v", err)
	}
	if s.Spec.Switch.Kind == spec.SwitchDNSUpdate {
		return w.proofElsewhere(ctx, s, env)
	}
	if env.Zone == nil {
		return gate.Failed("environment %s has no zone to switch in", env.Name)
	}
	own, err := replica.List(ctx, w.Consul, w.Keys.Env)
	if err != nil {
		return gate.Undecided("the replicas can't be listed: %v", err)
	}
	l := leadOf(s.Spec, env.Zone.Name)
	if l.apex() {
		if l.addrs, err = poolAddrs(ctx, l, own); err != nil {
			return gate.Undecided("%v", err)
		}
	}
	known := append(replicaWitnesses(own), resolverWitnesses(env.Zone)...)
	for _, at := range env.Zone.Secondaries {
		known = append(known, witness{kind: secondaries, name: "secondary " + at.Address, addr: at.Address})
	}
	var others []answer
	var othersErr error
	var asking sync.WaitGroup
	asking.Go(func() {
		var found []witness
		if found, othersErr = w.otherNameServers(ctx, l.zone, own, known); othersErr == nil {
			others = askAll(ctx, found, l, s.Record.Pool)
		}
	})
	answers := askAll(ctx, known, l, s.Record.Pool)
	asking.Wait()
	proved := slices.ContainsFunc(answers, func(a answer) bool { return a.kind == replicas && a.shows })
	verdict := judge(append(answers, others...), l, s.Record)
	switch {
	case verdict.Outcome == gate.Pass && !proved:
		return gate.Undecided("%v", errNoReplica)
	case verdict.Outcome == gate.Pass && othersErr != nil:
		return gate.Undecided("the zone's name servers are not known: %v", othersErr)
	default:
		return verdict
	}
}

// proofElsewhere is the proof for a name in a zone that switchd doesn't serve.
func (w *World) proofElsewhere(ctx context.Context, s rollout.Situation, env spec.Environment) gate.Verdict {
	l := leadOf(s.Spec, s.Spec.Switch.Zone)
	trouble := ""
	if err := w.updates.trouble(s.Spec.Name); err != nil {
		trouble = fmt.Sprintf("; the last update failed: %v", err)
	}
	servers, err := w.NameServers.NameServers(ctx, s.Spec.Switch.Server, l.zone)
	if err != nil {
		return gate.Undecided("the zone's name servers are not known: %v%s", err, trouble)
	}
	all := append([]witness{{kind: nameServers, name: "primary " + s.Spec.Switch.Server, addr: s.Spec.Switch.Server}}, resolverWitnesses(env.Zone)...)
	all = append(all, serverWitnesses(servers, func(at netip.AddrPort) bool { return at.String() == s.Spec.Switch.Server })...)
	verdict := judge(askAll(ctx, all, l, s.Record.Pool), l, s.Record)
	if verdict.Outcome != gate.Pass {
		verdict.Why += trouble
	}
	return verdict
}

// judge passes if every witness shows the switch whose word counts.
func judge(answers []answer, l lead, record *rollout.Record) gate.Verdict {
	shown := make(map[string]bool) // by name, which may answer at several addresses
	for _, a := range answers {
		shown[a.name] = shown[a.name] || a.shows
	}
	var evidence, missing []string
	var all, proved [kinds]int
	for _, a := range answers {
		evidence = append(evidence, a.text)
		if a.kind == replicas || a.addr != "" {
			all[a.kind]++
		}
		switch {
		case a.shows:
			proved[a.kind]++
		case a.silent && shown[a.name]:
			// Nobody is led wrong by it, and the server itself follows.
		case a.counts:
			missing = append(missing, a.text)
		}
	}
	if len(missing) > 0 {
		return gate.Undecided("%s", strings.Join(missing, "; "))
	}
	var counted []string
	for k := range kinds {
		if all[k] > 0 {
			counted = append(counted, fmt.Sprintf("%d of %d %s", proved[k], all[k], k))
		}
	}
	verdict := gate.Passed("%s lead %s to %s, the last one %s after the write", strings.Join(counted, ", "), l.name, record.Pool,
		time.Since(record.SwitchedAt).Round(time.Millisecond))
	verdict.Evidence = evidence
	return verdict
}

// replicaWitnesses are the processes that answer for the zone themselves. A
// replica that Consul holds for dead and that doesn't answer can't lead
// anybody anywhere; it is left out and named.
func replicaWitnesses(own []replica.Replica) []witness {
	var all []witness
	for _, r := range own {
		w := witness{kind: replicas, name: r.Name, addr: r.DNS}
		switch {
		case r.DNS == "":
			w.excuse = "serves no DNS"
		case !r.Passing:
			w.excuse = "Consul holds it for dead"
		}
		all = append(all, w)
	}
	return all
}

func resolverWitnesses(zone *spec.Zone) []witness {
	if zone == nil {
		return nil
	}
	var all []witness
	for _, at := range zone.VerifyResolvers {
		if _, _, err := net.SplitHostPort(at); err != nil {
			at = net.JoinHostPort(at, "53")
		}
		all = append(all, witness{kind: resolvers, name: "resolver " + at, addr: at})
	}
	return all
}

// serverWitnesses are name servers by the addresses that they have, but for
// those that are known.
func serverWitnesses(servers []dnsproof.NameServer, known func(netip.AddrPort) bool) []witness {
	var all []witness
	for _, ns := range servers {
		name := "name server " + ns.Host
		switch {
		case ns.Err != nil:
			all = append(all, witness{kind: nameServers, name: name, excuse: fmt.Sprintf("can't be found: %v", ns.Err), lost: true})
		case len(ns.Addrs) == 0:
			all = append(all, witness{kind: nameServers, name: name, excuse: "has no address, so nobody is led by it"})
		}
		excuse := ""
		if slices.ContainsFunc(ns.Addrs, known) {
			excuse = "another address of it is asked anyway"
		}
		for _, at := range ns.Addrs {
			if !known(at) {
				all = append(all, witness{kind: nameServers, name: name, addr: at.String(), excuse: excuse})
			}
		}
	}
	return all
}

// otherNameServers are those of the zone that are neither replicas nor
// witnesses already. A replica may be reached at another port than it listens
// at, so its address is enough.
func (w *World) otherNameServers(ctx context.Context, zone string, own []replica.Replica, known []witness) ([]witness, error) {
	taken := make(map[string]bool)
	for _, k := range known {
		taken[k.addr] = true
	}
	var errs []error
	for _, r := range own {
		if host, _, err := net.SplitHostPort(r.DNS); err == nil {
			taken[host] = true
		}
	}
	for _, r := range byHealth(own) {
		servers, err := w.NameServers.NameServers(ctx, r.DNS, zone)
		if err == nil {
			return serverWitnesses(servers, func(at netip.AddrPort) bool { return taken[at.String()] || taken[at.Addr().String()] }), nil
		}
		errs = append(errs, err)
	}
	return nil, cmp.Or(errors.Join(errs...), errNoReplica)
}

// poolAddrs asks a replica for the addresses of the pools.
func poolAddrs(ctx context.Context, l lead, own []replica.Replica) (map[string][]netip.Addr, error) {
	var errs []error
	for _, r := range byHealth(own) {
		addrs := make(map[string][]netip.Addr)
		var failed error
		for pool, name := range l.targets {
			reply, err := dnsproof.Ask(ctx, r.DNS, name)
			failed = errors.Join(failed, err)
			addrs[pool] = reply.Addrs
		}
		if failed == nil {
			return addrs, nil
		}
		errs = append(errs, failed)
	}
	return nil, fmt.Errorf("the pools' addresses are not known: %w", cmp.Or(errors.Join(errs...), errNoReplica))
}

// byHealth are the replicas with DNS, those first that Consul holds for
// healthy.
func byHealth(own []replica.Replica) []replica.Replica {
	own = slices.DeleteFunc(slices.Clone(own), func(r replica.Replica) bool { return r.DNS == "" })
	slices.SortStableFunc(own, func(a, b replica.Replica) int {
		switch {
		case a.Passing == b.Passing:
			return 0
		case a.Passing:
			return -1
		default:
			return 1
		}
	})
	return own
}
