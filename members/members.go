// Package members tells who takes part in an environment's swarm, by what
// Consul holds: agents by the name of their node, which their session guards,
// and replicas of `switchd serve` by their registration.
package members

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/pools"
	"switchd/replica"
	"switchd/rollout"
	"switchd/swarm"
)

// Presence is what an agent writes beside its node's name.
type Presence struct {
	Address string       `json:"address"` // what its services listen on
	Swarm   swarm.Member `json:"swarm,omitzero"`
}

// ParsePresence reads a presence; that of an agent of another version may be
// less.
func ParsePresence(value []byte) Presence {
	var p Presence
	if json.Unmarshal(value, &p) != nil {
		return Presence{Address: string(value)}
	}
	return p
}

// Of reads the members of one environment. It is safe for concurrent use.
type Of struct {
	consul *consul.Client
	keys   consul.Keys

	mu   sync.Mutex
	all  map[string]swarm.Member // by fingerprint
	at   time.Time
	turn chan struct{} // one reads at a time
}

var _ swarm.Membership = (*Of)(nil)

// New returns the members of an environment.
func New(c *consul.Client, keys consul.Keys) *Of {
	return &Of{consul: c, keys: keys, turn: make(chan struct{}, 1)}
}

const (
	// maxAge is how old what was read of the members may be. A member that has
	// left is refused after it at the latest.
	maxAge = 5 * time.Second
	// minAge is how often strangers at the door can make Consul be asked.
	minAge = time.Second
)

// Member returns whose fingerprint it is, and false if it is nobody's.
func (o *Of) Member(ctx context.Context, whose string) (swarm.Member, bool, error) {
	all, at, err := o.members(ctx, maxAge)
	if err != nil {
		return swarm.Member{}, false, err
	}
	if m, found := all[whose]; found && m.Addr.IsValid() {
		return m, true, nil
	}
	if time.Since(at) < minAge {
		return swarm.Member{}, false, nil
	}
	all, _, err = o.members(ctx, minAge) // it may have come since
	m := all[whose]
	return m, m.Addr.IsValid(), err
}

// Holders returns who has or wants an artifact: the nodes that report a version
// on its way to them, those that run it by the catalog, and all replicas, which
// keep every archive.
func (o *Of) Holders(ctx context.Context, m artifact.Manifest) ([]swarm.Member, error) {
	all, _, err := o.members(ctx, maxAge)
	if err != nil {
		return nil, err
	}
	has, err := o.nodes(ctx, m)
	if err != nil {
		return nil, err
	}
	var holders []swarm.Member
	for _, member := range all {
		whole, known := has[member.Node]
		if member.Has { // a replica
			holders = append(holders, member)
		} else if known {
			member.Has = whole
			holders = append(holders, member)
		}
	}
	return holders, nil
}

// nodes are those that have or want an artifact, with whether they have all of
// it.
func (o *Of) nodes(ctx context.Context, m artifact.Manifest) (map[string]bool, error) {
	reports, err := o.consul.List(ctx, o.keys.Stagings(m.Service))
	if err != nil {
		return nil, err
	}
	has := make(map[string]bool, len(reports))
	for _, entry := range reports {
		node, version, ok := o.keys.SplitStaging(m.Service, entry.Key)
		if !ok || version != m.Version {
			continue
		}
		var r rollout.Report
		if json.Unmarshal(entry.Value, &r) == nil {
			has[node] = r.State != rollout.Fetching && r.State != rollout.Broken
		}
	}
	running, err := pools.Read(ctx, o.consul, m.Service)
	if err != nil {
		return nil, err
	}
	for _, pool := range running {
		for _, in := range pool {
			if in.Release == m.SHA256 {
				has[in.Node] = true
			}
		}
	}
	return has, nil
}

// RackPeers is how many members share a rack, as last read; one at least.
func (o *Of) RackPeers(datacenter, rack string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, m := range o.all {
		if m.Datacenter == datacenter && m.Rack == rack {
			n++
		}
	}
	return max(n, 1)
}

// members are all members by their fingerprint, no older than age, with the
// time at which they were read.
func (o *Of) members(ctx context.Context, age time.Duration) (map[string]swarm.Member, time.Time, error) {
	if all, at, fresh := o.known(age); fresh {
		return all, at, nil
	}
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, time.Time{}, fmt.Errorf("read the members of the swarm: %w", ctx.Err())
	}
	if all, at, fresh := o.known(age); fresh {
		return all, at, nil // by who had the turn before
	}
	at := time.Now()
	all, err := o.read(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all, o.at = all, at
	return all, at, nil
}

func (o *Of) known(age time.Duration) (map[string]swarm.Member, time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all, o.at, o.all != nil && time.Since(o.at) < age
}

func (o *Of) read(ctx context.Context) (map[string]swarm.Member, error) {
	entries, err := o.consul.List(ctx, o.keys.Presence())
	if err != nil {
		return nil, err
	}
	replicas, err := replica.List(ctx, o.consul, o.keys.Env)
	if err != nil {
		return nil, err
	}
	all := make(map[string]swarm.Member, len(entries)+len(replicas))
	for _, entry := range entries {
		if entry.Session == "" {
			continue // nobody guards it
		}
		member := ParsePresence(entry.Value).Swarm
		// A node speaks for itself only, whatever it wrote.
		member.Node, member.Has = consul.Base(entry.Key), false
		add(all, member)
	}
	for _, r := range replicas {
		addr, err := netip.ParseAddrPort(r.Swarm)
		if err == nil {
			add(all, swarm.Member{
				Node: replica.Service + "/" + r.Name, Addr: addr, Fingerprint: r.Fingerprint,
				Datacenter: r.Datacenter, Rack: r.Rack, Has: true,
			})
		}
	}
	return all, nil
}

// add takes a member in. Of two that claim one fingerprint neither counts: one
// of them would take the other's place.
func add(all map[string]swarm.Member, m swarm.Member) {
	if !fingerprint(m.Fingerprint) || !m.Addr.IsValid() {
		return
	}
	if _, twice := all[m.Fingerprint]; twice {
		m = swarm.Member{Fingerprint: m.Fingerprint}
	}
	all[m.Fingerprint] = m
}

// fingerprint tells whether a text is one: a SHA-256 in lower-case hex.
func fingerprint(text string) bool {
	return len(text) == 64 && strings.Trim(text, "0123456789abcdef") == ""
}
