package rolling

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
)

// roll replaces what runs by the staged version, when it is this node's turn.
func (u *unit) roll(ctx context.Context, session *consul.Session, want Want) time.Duration {
	s := u.order.service
	members, err := u.agent.members(ctx, s, u.pool)
	if err != nil {
		return u.later(ctx, "count the pool", err)
	}
	limit := s.Roll.MaxUnavailable.AtMost(members)
	slots := u.agent.Keys.Slots(u.service, u.pool)

	look, err := u.look(ctx, want)
	if err != nil {
		return u.later(ctx, "look at the queue", err)
	}
	begun := true
	if want.Report {
		t := lookAt(reportsOf(look.reports, want), u.agent.Node, u.pool, s.Roll, limit)
		limit, begun = t.limit, t.begun
		if t.hold != "" {
			u.await(ctx, u.agent.Keys.Stagings(u.service, want.Version))
			u.say(ctx, session, want, rollout.Waiting, t.hold)
			return recheckEvery
		}
		if t.after != "" {
			// Who does not pass needs no turn: its stop takes nothing away, and
			// it may be what the quorum of the head of the queue waits for.
			passes, err := u.agent.passing(ctx, u.service, u.pool)
			if err != nil {
				return u.later(ctx, "look at the node", err)
			}
			if passes {
				u.await(ctx, u.agent.Keys.Staging(u.service, want.Version, t.after))
				u.say(ctx, session, want, rollout.Staged, "")
				// It may come to not pass without its process ending. In a
				// large pool the looks are rarer, as they are dear.
				return min(recheckEvery+time.Duration(len(look.reports))*20*time.Millisecond, restEvery)
			}
		}
	}
	if wait := u.stagger(look.slots, s.Roll.Stagger.Std(), begun); wait > 0 {
		u.say(ctx, session, want, rollout.Waiting, fmt.Sprintf("for %s after the node before it (stagger)", s.Roll.Stagger))
		return wait
	}
	// A slot that is no use is not taken: every write of one wakes others.
	if u.refused {
		refusal, err := u.agent.foresee(ctx, s, u.pool, members)
		if err != nil {
			return u.later(ctx, "look at the pool", err)
		}
		if refusal != nil {
			u.await(ctx, slots)
			u.say(ctx, session, want, rollout.Waiting, refusal.Error())
			return quorumEvery
		}
	}
	u.slotless = false
	slot, why, err := u.takeSlot(ctx, session, want, look.slots, limit)
	if err != nil {
		return u.later(ctx, "take a slot", err)
	}
	if slot == "" {
		u.slotless = true
		u.await(ctx, slots)
		u.say(ctx, session, want, rollout.Waiting, why)
		return recheckEvery
	}
	u.unwatch()
	u.state.Move = &Move{Reason: want.Reason, Service: s, Slot: slot, Step: Stopping, Leave: want.Leave}
	if !want.Leave {
		u.state.Move.To = *u.staged
	}
	u.state.Maintained = true // it soon will be: one write of the journal is enough
	u.save()
	err = u.carryOn(ctx)
	var refused *quorumError
	switch {
	case errors.As(err, &refused):
		// What was seen before is not so any more.
		u.refused, u.conformAt = true, time.Time{}
		u.say(ctx, session, want, rollout.Waiting, refused.why)
		return quorumEvery
	case err != nil:
		return u.later(ctx, "replacement interrupted, going on", err)
	}
	return 0
}

// looked is what a node sees of the others that roll.
type looked struct{ reports, slots []consul.Entry }

// look reads the queue and the slots, at the same time: the next node's turn
// begins with it.
func (u *unit) look(ctx context.Context, want Want) (looked, error) {
	var l looked
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		l.slots, err = u.agent.Consul.List(ctx, u.agent.Keys.Slots(u.service, u.pool))
		return err
	})
	if want.Report {
		group.Go(func() (err error) {
			l.reports, err = u.agent.Consul.List(ctx, u.agent.Keys.Stagings(u.service, want.Version))
			return err
		})
	}
	return l, group.Wait()
}

// quorumEvery is how soon a node looks again that the quorum does not let go.
const quorumEvery = time.Second

func (u *unit) later(ctx context.Context, what string, err error) time.Duration {
	u.log.WarnContext(ctx, what, "error", err)
	return retryEvery
}

// stagger is how long the node waits for the one before it to have been down
// long enough ago. That is told by the slots' lock counts and this node's own
// clock: from when it saw a slot taken, whatever other nodes take the time for.
func (u *unit) stagger(slots []consul.Entry, least time.Duration, begun bool) time.Duration {
	if least <= 0 || !begun {
		return 0
	}
	var takes uint64
	for _, e := range slots {
		takes += e.Locks
	}
	if takes != u.takes {
		u.takes, u.takesAt = takes, time.Now()
	}
	if takes == 0 {
		return 0
	}
	return least - time.Since(u.takesAt)
}

// passing tells whether the node's own instance passes.
func (a *Agent) passing(ctx context.Context, service, pool string) (bool, error) {
	now, err := pools.ReadNode(ctx, a.Consul, service, a.Node)
	return now[pool].Passing, err
}
