package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"switchd/dnsproof"
	"switchd/replica"
	"switchd/spec"
)

var errNoReplica = errors.New("no replica with DNS answers")

// authorities are what answers for a service's name with authority. For a name
// in the environment's zone these are the replicas, the secondaries and the
// zone's other name servers; for one in somebody else's zone, its primary and
// its name servers.
type authorities struct {
	lead

	known []witness
	own   []replica.Replica // that answer for the zone; none in others' zones
	// listed is where to ask for the zone's name servers, in this order.
	listed []string
	// trouble is why the zone may not say what it should; empty: nothing is
	// known of.
	trouble string
}

func (w *World) authorities(ctx context.Context, s spec.Service, env spec.Environment) (authorities, error) {
	if s.Switch.Kind == spec.SwitchDNSUpdate {
		primary := s.Switch.Server
		a := authorities{
			lead: leadOf(s, s.Switch.Zone), listed: []string{primary},
			known: []witness{{kind: nameServers, name: "primary " + primary, addr: primary}},
		}
		if err := w.nameTroubles.of(s.Name); err != nil {
			a.trouble = fmt.Sprintf("; the last update failed: %v", err)
		}
		return a, nil
	}
	if env.Zone == nil {
		return authorities{}, fmt.Errorf("environment %s has no zone to switch in", env.Name)
	}
	own, err := replica.List(ctx, w.Consul, w.Keys.Env)
	if err != nil {
		return authorities{}, fmt.Errorf("the replicas can't be listed: %w", err)
	}
	a := authorities{lead: leadOf(s, env.Zone.Name), own: own, known: replicaWitnesses(own)}
	for _, r := range byHealth(own) {
		a.listed = append(a.listed, r.DNS)
	}
	for _, at := range env.Zone.Secondaries {
		a.known = append(a.known, witness{kind: secondaries, name: "secondary " + at.Address, addr: at.Address})
	}
	return a, nil
}

// nameServersOf are those of the zone that are not among the known ones. A
// replica may be reached at another port than it listens at, so its address is
// enough.
func (w *World) nameServersOf(ctx context.Context, a authorities) ([]witness, error) {
	taken := make(map[string]bool)
	for _, k := range a.known {
		taken[k.addr] = true
	}
	for _, r := range a.own {
		if host, _, err := net.SplitHostPort(r.DNS); err == nil {
			taken[host] = true
		}
	}
	var errs []error
	for _, at := range a.listed {
		servers, err := w.NameServers.NameServers(ctx, at, a.zone)
		if err == nil {
			return serverWitnesses(servers, func(at netip.AddrPort) bool { return taken[at.String()] || taken[at.Addr().String()] }), nil
		}
		errs = append(errs, err)
	}
	return nil, cmp.Or(errors.Join(errs...), errNoReplica)
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

// byHealth are the replicas with DNS, those first that Consul holds for
// healthy.
func byHealth(own []replica.Replica) []replica.Replica {
	own = slices.DeleteFunc(slices.Clone(own), func(r replica.Replica) bool { return r.DNS == "" })
	replica.ByHealth(own)
	return own
}
