package rolling

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// holder is a node that holds a slot.
type holder struct {
	node string
	// order tells which slot was taken first: the index of the lock's write.
	order uint64
}

// mayGoDown tells whether a node may stop its service: whether the quorum
// holds without it and without all those that took a slot before it and whose
// stop the catalog may not show yet. Of two nodes that hold slots, only the
// later one yields, so that they never yield to each other for ever.
//
// A node that doesn't pass anyway takes nothing away by being stopped.
func mayGoDown(pool pools.Pool, node string, holders []holder, quorum int) error {
	if in, found := pool.On(node); !found || !in.Passing {
		return nil
	}
	i := slices.IndexFunc(holders, func(h holder) bool { return h.node == node })
	if i < 0 {
		return fmt.Errorf("%s holds no slot", node)
	}
	mine := holders[i].order
	left := 0
	var down []string
	for _, in := range pool {
		held := slices.ContainsFunc(holders, func(h holder) bool { return h.node == in.Node && h.order <= mine })
		if in.Passing && !held {
			left++
		} else if in.Node != node {
			down = append(down, in.Node)
		}
	}
	if left >= quorum {
		return nil
	}
	text := fmt.Sprintf("the quorum of %d would not hold: without %s, %d nodes pass", quorum, node, left)
	if len(down) > 0 {
		text += " (down or about to be: " + strings.Join(down, ", ") + ")"
	}
	return fmt.Errorf("%s", text)
}

// queue is the order in which nodes may take slots: first staged, first to
// go; ties by name. The reports are bound to sessions, so a dead head leaves
// the queue by itself.
func queue(entries []consul.Entry, states map[string]rollout.Report, reason string) []string {
	entries = slices.Clone(entries)
	slices.SortFunc(entries, func(a, b consul.Entry) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), strings.Compare(a.Key, b.Key))
	})
	var nodes []string
	for _, e := range entries {
		node := consul.Base(e.Key)
		r := states[node]
		if r.Rollout == reason && (r.State == rollout.Staged || r.State == rollout.Waiting) {
			nodes = append(nodes, node)
		}
	}
	return nodes
}

// takeSlot tries once to take one of the pool's slots. The key is "" with the
// reason when that is not possible now.
func (a *Agent) takeSlot(ctx context.Context, session *consul.Session, s spec.Service, pool string) (key, why string, err error) {
	entries, err := a.Consul.List(ctx, a.Keys.Slots(s.Name, pool))
	if err != nil {
		return "", "", err
	}
	held := make(map[string]consul.Entry)
	for _, e := range entries {
		if e.Session != "" {
			held[e.Key] = e
		}
	}
	var holders []string
	for n := range s.Roll.MaxUnavailable {
		key := a.Keys.Slot(s.Name, pool, n)
		if e, found := held[key]; found {
			if e.Session == session.ID() {
				return key, "", nil
			}
			holders = append(holders, string(e.Value))
			continue
		}
		ok, err := session.Acquire(ctx, key, []byte(a.Node))
		if err != nil {
			return "", "", err
		}
		if ok {
			return key, "", nil
		}
		holders = append(holders, "a lock-delay")
	}
	return "", "all slots are taken, by " + strings.Join(holders, ", "), nil
}

// checkQuorum reads consistently whether this node, which holds a slot, may go
// down. A plain error means that it could not be read.
func (a *Agent) checkQuorum(ctx context.Context, s spec.Service, pool string) (refusal, err error) {
	now, holders, err := a.lookAround(ctx, s, pool)
	if err != nil {
		return nil, err
	}
	return mayGoDown(now, a.Node, holders, s.Roll.Quorum), nil
}

// foresee tells what checkQuorum would say if this node took a slot now, and
// whether it passes: a slot that is no use is not taken, since every write of
// one wakes all that wait.
func (a *Agent) foresee(ctx context.Context, s spec.Service, pool string) (passes bool, refusal, err error) {
	now, holders, err := a.lookAround(ctx, s, pool)
	if err != nil {
		return false, nil, err
	}
	in, _ := now.On(a.Node)
	if !slices.ContainsFunc(holders, func(h holder) bool { return h.node == a.Node }) {
		holders = append(holders, holder{node: a.Node, order: math.MaxUint64})
	}
	return in.Passing, mayGoDown(now, a.Node, holders, s.Roll.Quorum), nil
}

// lookAround reads the pool and who holds its slots.
func (a *Agent) lookAround(ctx context.Context, s spec.Service, pool string) (pools.Pool, []holder, error) {
	entries, err := a.Consul.List(ctx, a.Keys.Slots(s.Name, pool))
	if err != nil {
		return nil, nil, err
	}
	var holders []holder
	for _, e := range entries {
		if e.Session != "" {
			holders = append(holders, holder{node: string(e.Value), order: e.Index})
		}
	}
	now, err := pools.Read(ctx, a.Consul, s.Name)
	if err != nil {
		return nil, nil, err
	}
	return now[pool], holders, nil
}

// freeSlots gives back what this node holds without a use for it: a former
// agent died before it gave its slot back, or Consul was away then.
func (u *unit) freeSlots(ctx context.Context, session *consul.Session) error {
	if u.slotless {
		return nil
	}
	entries, err := u.agent.Consul.List(ctx, u.agent.Keys.Slots(u.service, u.pool))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Session != session.ID() {
			continue
		}
		if err := session.Release(ctx, e.Key); err != nil {
			return err
		}
	}
	u.slotless = true
	return nil
}
