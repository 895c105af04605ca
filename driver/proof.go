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
	"switchd/ledger"
	"switchd/replica"
	"switchd/rollout"
	"switchd/spec"
)

// proof waits until all that users can be led by show the new pool: in DNS, in
// the mesh, or in both.
func (w *World) proof(ctx context.Context, s rollout.Situation) gate.Verdict {
	var named, meshed gate.Verdict
	var looking sync.WaitGroup
	if s.Spec.Mesh != nil {
		looking.Go(func() { meshed = w.meshProof(ctx, s) })
	}
	if s.Spec.Switch.Named() {
		named = w.nameProof(ctx, s)
	}
	looking.Wait()
	switch {
	case s.Spec.Mesh == nil:
		return named
	case !s.Spec.Switch.Named():
		return meshed
	default:
		return together(named, meshed)
	}
}

// together passes if both do.
func together(a, b gate.Verdict) gate.Verdict {
	both := gate.Verdict{Outcome: gate.Pass, Evidence: slices.Concat(a.Evidence, b.Evidence)}
	var missing []string
	for _, v := range []gate.Verdict{a, b} {
		if v.Outcome != gate.Pass {
			both.Outcome = gate.Unknown
			missing = append(missing, v.Why)
		}
	}
	if both.Why = strings.Join(missing, "; "); len(missing) == 0 {
		both.Why = a.Why + "; " + b.Why
	}
	return both
}

// nameProof waits for whatever answers for the name with authority, and for the
// resolvers that the environment names.
func (w *World) nameProof(ctx context.Context, s rollout.Situation) gate.Verdict {
	env, err := w.Environment(ctx)
	if err != nil {
		return gate.Undecided("the environment can't be read: %v", err)
	}
	a, err := w.authorities(ctx, s.Spec, env)
	if err != nil {
		return gate.Undecided("%v", err)
	}
	if a.apex() {
		if a.addrs, err = poolAddrs(ctx, a.lead, a.own); err != nil {
			return gate.Undecided("%v", err)
		}
	}
	heard := w.hear(ctx, a, leadsTo{a.lead, s.Record.Pool}, resolverWitnesses(env.Zone)...)
	took := time.Since(s.Record.SwitchedAt).Round(time.Millisecond)
	return heard.judge(fmt.Sprintf("lead %s to %s, the last one %s after the write", a.name, s.Record.Pool, took))
}

// armed waits until whatever answers for the name with authority gives it the
// short TTL. Resolvers have nothing to say here: they may keep what they were
// told before until the long one is over, which is what is waited out then.
func (w *World) armed(ctx context.Context, s rollout.Situation) gate.Verdict {
	env, err := w.Environment(ctx)
	if err != nil {
		return gate.Undecided("the environment can't be read: %v", err)
	}
	a, err := w.authorities(ctx, s.Spec, env)
	if err != nil {
		return gate.Undecided("%v", err)
	}
	since, err := w.serial(ctx)
	if err != nil {
		return gate.Undecided("%v", err)
	}
	most := s.Spec.Switch.InForce(true).Std()
	heard := w.hear(ctx, a, givesFor{lead: a.lead, most: most, since: since})
	return heard.judge(fmt.Sprintf("give %s for %s at most", a.name, most))
}

// serial is the zone's present one.
func (w *World) serial(ctx context.Context) (uint32, error) {
	entry, err := w.Consul.Get(ctx, w.Keys.Serial())
	if err != nil {
		return 0, fmt.Errorf("the zone's serial can't be read: %w", err)
	}
	return ledger.ParseSerial(entry.Value)
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
