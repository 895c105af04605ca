package rolling

import (
	"context"
	"errors"
	"fmt"
	"time"

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

	if behind, err := u.stillBehind(ctx, want); err != nil {
		return u.later(ctx, "look at the node before", err)
	} else if behind {
		return restEvery
	}
	held, err := u.agent.Consul.List(ctx, slots)
	if err != nil {
		return u.later(ctx, "read the slots", err)
	}
	if why := full(held, session.ID(), limit); why != "" {
		return u.awaitSlot(ctx, session, want, why)
	}
	begun := true
	if want.Report {
		reports, err := u.agent.Consul.List(ctx, u.agent.Keys.Stagings(u.service))
		if err != nil {
			return u.later(ctx, "read the queue", err)
		}
		t := lookAt(reportsOf(u.agent.Keys, u.service, reports, want), u.agent.Node, u.pool, s.Roll, limit)
		limit, begun = t.limit, t.begun
		if t.hold != "" {
			u.await(ctx, u.agent.Keys.Stagings(u.service))
			u.say(ctx, session, want, rollout.Waiting, t.hold)
			return recheckEvery
		}
		if t.after != "" && u.passesHere(ctx) {
			u.behind = u.agent.Keys.Staging(u.service, want.Version, t.after)
			u.await(ctx, u.behind)
			u.say(ctx, session, want, rollout.Staged, "")
			return restEvery
		}
	}
	if wait := u.stagger(held, s.Roll.Stagger.Std(), begun); wait > 0 {
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
	slot, why, err := u.takeSlot(ctx, session, want, held, limit)
	if err != nil {
		return u.later(ctx, "take a slot", err)
	}
	if slot == "" {
		u.slotless = true
		return u.awaitSlot(ctx, session, want, why)
	}
	u.unwatch()
	u.state.Move = &Move{Reason: want.Reason, Service: s, Slot: slot, Step: Stopping, Leave: want.Leave}
	if !want.Leave {
		u.state.Move.To = *u.staged
	}
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
		return u.later(ctx, "end the replacement, which goes on", err)
	}
	return 0
}

// stillBehind tells whether the node that goes before this one still waits, so
// that the whole queue need not be read. Who does not pass needs no turn: its
// stop takes nothing away, and it may be what the quorum of the head of the
// queue waits for.
func (u *unit) stillBehind(ctx context.Context, want Want) (bool, error) {
	if u.behind == "" || !want.Report {
		return false, nil
	}
	entry, err := u.agent.Consul.Get(ctx, u.behind)
	if err != nil {
		return false, err
	}
	if waits(entry, want) && u.passesHere(ctx) {
		u.await(ctx, u.behind)
		return true, nil
	}
	u.behind = ""
	return false, nil
}

func (u *unit) awaitSlot(ctx context.Context, session *consul.Session, want Want, why string) time.Duration {
	u.await(ctx, u.agent.Keys.Slots(u.service, u.pool))
	u.say(ctx, session, want, rollout.Waiting, why)
	return recheckEvery
}

// quorumEvery is how soon a node looks again that the quorum does not let go.
const quorumEvery = time.Second

func (u *unit) later(ctx context.Context, what string, err error) time.Duration {
	u.log.WarnContext(ctx, "not rolled yet", "could_not", what, "error", err)
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

// passesHere tells whether the node's own instance passes, by the word of its own
// Consul agent. That is a hint only: before anything is stopped, the catalog is
// asked.
func (u *unit) passesHere(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	passes, err := pools.PassesHere(ctx, u.agent.Consul, u.service, u.pool)
	if err != nil {
		u.log.WarnContext(ctx, "ask the local Consul agent", "error", err)
	}
	return passes || err != nil
}
