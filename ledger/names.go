package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/replica"
	"switchd/spec"
)

// Names is what DNS answers besides live records and nodes. It is derived from
// the desired state and the replicas, and kept beside the live records, so that
// one read sees all that an answer is made of at one index.
type Names struct {
	Zone spec.Zone `json:"zone"`
	// Services are those that have a name in the zone.
	Services map[string]Named `json:"services,omitempty"`
	// Replicas are the addresses of the DNS servers, by the replica's name.
	Replicas map[string]netip.Addr `json:"replicas,omitempty"`

	// Index is the record's ModifyIndex in Consul, for CAS.
	Index uint64 `json:"-"`
}

// Named is a service with a name in the zone.
type Named struct {
	Switch spec.Switch `json:"switch"`
	Port   int         `json:"port"`
}

// Next is the record that follows n, which may be nil, for a desired state with
// a zone and the replicas there are. A replica that has left keeps its address:
// the zone's name servers are what its parent zone says, and a restart is no
// reason to change that.
func (n *Names) Next(zone spec.Zone, services []spec.Service, replicas []replica.Replica) *Names {
	next := &Names{Zone: zone, Services: make(map[string]Named), Replicas: make(map[string]netip.Addr)}
	if n != nil {
		next.Index = n.Index
		maps.Copy(next.Replicas, n.Replicas)
	}
	for _, s := range services {
		if s.Switch.Kind == spec.SwitchDNS {
			next.Services[s.Name] = Named{Switch: s.Switch, Port: s.Port}
		}
	}
	for _, r := range replicas {
		host, _, err := net.SplitHostPort(r.DNS)
		if err != nil {
			continue
		}
		if addr, err := netip.ParseAddr(host); err == nil && !addr.IsUnspecified() && addr.Zone() == "" {
			next.Replicas[r.Name] = addr.Unmap()
		}
	}
	return next
}

// Same tells whether two records say the same.
func (n *Names) Same(other *Names) bool {
	if n == nil || other == nil {
		return n == other
	}
	return reflect.DeepEqual(n.Zone, other.Zone) && maps.EqualFunc(n.Services, other.Services, func(a, b Named) bool { return reflect.DeepEqual(a, b) }) &&
		maps.Equal(n.Replicas, other.Replicas)
}

// ParseNames reads a record. It gives nil for an empty value.
func ParseNames(value []byte, index uint64) (*Names, error) {
	if len(value) == 0 {
		return nil, nil //nolint:nilnil // no record yet is an ordinary state
	}
	var n Names
	if err := json.Unmarshal(value, &n); err != nil {
		return nil, fmt.Errorf("parse the names of the zone: %w", err)
	}
	n.Index = index
	return &n, nil
}

// DeriveNames brings the record of names up to the desired state and the
// replicas, with a new serial for the zone. It tells whether it had to.
func (l *Ledger) DeriveNames(ctx context.Context) (bool, error) {
	// The record is read first: what is derived from later reads can't be
	// written over a record that is newer than they are.
	entry, err := l.Consul.Get(ctx, l.Keys.Names())
	if err != nil {
		return false, err
	}
	have, err := ParseNames(entry.Value, entry.Index)
	if err != nil {
		have = &Names{Index: entry.Index} // edited by hand, perhaps; it is derived anew
	}
	var env consul.Entry
	var services []spec.Service
	var replicas []replica.Replica
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		env, err = l.Consul.Get(groupCtx, l.Keys.Environment())
		return err
	})
	group.Go(func() (err error) {
		services, err = l.Services(groupCtx)
		return err
	})
	group.Go(func() error {
		// A name server that isn't seen would be left without its address.
		entries, err := l.Consul.ServiceWhole(groupCtx, replica.Service)
		replicas = replica.FromHealth(entries, l.Keys.Env)
		return err
	})
	if err := group.Wait(); err != nil {
		return false, err
	}
	var desired spec.Environment
	if env.Index == 0 {
		return false, nil
	}
	if err := parse(env, &desired); err != nil {
		return false, err
	}
	if desired.Zone == nil {
		if entry.Index == 0 {
			return false, nil
		}
		return true, l.moveSerial(ctx, "remove the names of the zone", consul.DeleteCAS(entry.Key, entry.Index), consul.Unchanged(env.Key, env.Index))
	}
	next := have.Next(*desired.Zone, services, replicas)
	if next.Same(have) {
		return false, nil
	}
	value, err := marshalBounded(entry.Key, next)
	if err != nil {
		return false, err
	}
	return true, l.moveSerial(ctx, "write the names of the zone",
		consul.CAS(entry.Key, value, entry.Index), consul.Unchanged(env.Key, env.Index))
}

// maxDerived bounds a record that is one value in Consul's KV, which takes at
// most 512 KiB, in a transaction of that size, in base64.
const maxDerived = 360 << 10

func marshalBounded(key string, record any) ([]byte, error) {
	value, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", key, err)
	}
	if len(value) > maxDerived {
		return nil, fmt.Errorf("write %s: it has %d bytes, Consul takes %d; spread the services over several environments", key, len(value), maxDerived)
	}
	return value, nil
}

// moveSerial writes what answers are made of, with a new serial. A conflict is
// somebody else's write, to be looked at again.
func (l *Ledger) moveSerial(ctx context.Context, action string, ops ...consul.Op) error {
	serial, err := l.serialOp(ctx)
	if err != nil {
		return err
	}
	return l.Consul.Txn(ctx, action, append(ops, serial)...)
}
