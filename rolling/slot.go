package rolling

import (
	"context"
	"errors"
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
// A node that doesn't pass anyway takes nothing away by being stopped, unless
// it was drained for just that and could pass again.
func mayGoDown(pool pools.Pool, node string, holders []holder, quorum int, drained bool) error {
	if in, found := pool.On(node); !drained && (!found || !in.Passing) {
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

// members is how many nodes belong to a pool, whether they are up or not.
// Consul is asked only where the spec counts in percentages.
func (a *Agent) members(ctx context.Context, s spec.Service, pool string) (int, error) {
	if n := len(s.Pools[pool].Nodes); n > 0 || !s.Roll.Quorum.Percent && !s.Roll.MaxUnavailable.Percent {
		return n, nil
	}
	nodes, err := a.Consul.NodesWith(ctx, s.Pools[pool].NodeMeta)
	return len(nodes), err
}

// occupied tells which slot a session holds, "" for none, and which ones are
// held by others.
func occupied(slots []consul.Entry, session string) (mine string, others []consul.Entry) {
	for _, e := range slots {
		switch e.Session {
		case session:
			mine = e.Key
		case "":
		default:
			others = append(others, e)
		}
	}
	return mine, others
}

// full is why no slot can be taken, "" if one may be, or is held already.
func full(slots []consul.Entry, session string, limit int) string {
	mine, others := occupied(slots, session)
	if mine != "" || len(others) < limit {
		return ""
	}
	return taken(others)
}

// taken says by whom all slots are taken, and what else stood in the way.
func taken(others []consul.Entry, more ...string) string {
	var holders []string
	for _, e := range others {
		holders = append(holders, string(e.Value))
	}
	return "all slots are taken, by " + strings.Join(append(holders, more...), ", ")
}

// takeSlot tries once to take one of the pool's slots, and reports it in the
// same write. The key is "" with the reason when that is not possible now.
func (u *unit) takeSlot(ctx context.Context, session *consul.Session, want Want, slots []consul.Entry, limit int) (key, why string, err error) {
	mine, others := occupied(slots, session.ID())
	// The limit of canaries may be lower than the one that was looked at first.
	if why := full(slots, session.ID(), limit); mine != "" || why != "" {
		return mine, why, nil
	}
	report, waited, err := u.reportOp(session, want, rollout.Replacing, "")
	if err != nil {
		return "", "", err
	}
	var lost []string
	for n := range limit {
		key := u.agent.Keys.Slot(u.service, u.pool, n)
		if slices.ContainsFunc(others, func(e consul.Entry) bool { return e.Key == key }) {
			continue
		}
		ops := []consul.Op{session.Lock(key, []byte(u.agent.Node))}
		if waited {
			ops = append(ops, report)
		}
		switch err := u.agent.Consul.Txn(ctx, "take slot "+key, ops...); {
		case err == nil:
			u.told(session, want, rollout.Replacing, "")
			return key, "", nil
		case !errors.Is(err, consul.ErrFenced):
			return "", "", err
		}
		lost = append(lost, "somebody who was faster, or a lock-delay")
	}
	return "", taken(others, lost...), nil
}

// foresee tells what the quorum would say if this node took a slot now.
func (a *Agent) foresee(ctx context.Context, s spec.Service, pool string, members int) (refusal, err error) {
	now, slots, err := a.lookAround(ctx, s, pool)
	if err != nil {
		return nil, err
	}
	holders := holdersOf(slots)
	if !slices.ContainsFunc(holders, func(h holder) bool { return h.node == a.Node }) {
		holders = append(holders, holder{node: a.Node, order: math.MaxUint64})
	}
	return mayGoDown(now, a.Node, holders, s.Roll.Quorum.AtLeast(members), false), nil
}

// lookAround reads the pool and its slots. The slots come first: whoever takes
// one later is behind this node and yields to it.
func (a *Agent) lookAround(ctx context.Context, s spec.Service, pool string) (pools.Pool, []consul.Entry, error) {
	slots, err := a.Consul.List(ctx, a.Keys.Slots(s.Name, pool))
	if err != nil {
		return nil, nil, err
	}
	now, err := pools.Read(ctx, a.Consul, s.Name)
	if err != nil {
		return nil, nil, err
	}
	return now[pool], slots, nil
}

func holdersOf(slots []consul.Entry) []holder {
	var holders []holder
	for _, e := range slots {
		if e.Session != "" {
			holders = append(holders, holder{node: string(e.Value), order: e.Index})
		}
	}
	return holders
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
