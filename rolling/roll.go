package rolling

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"switchd/consul"
	"switchd/rollout"
)

// roll replaces what runs by the staged version, when it is this node's turn.
func (u *unit) roll(ctx context.Context, session *consul.Session, want Want) time.Duration {
	s := u.order.service
	passes, refusal, err := u.agent.foresee(ctx, s, u.pool)
	if err != nil {
		u.log.WarnContext(ctx, "look at the pool", "error", err)
		return retryEvery
	}
	// Who does not pass needs no turn: its stop takes nothing away, and it may
	// be what the quorum of the head of the queue waits for.
	if want.Report && passes {
		entries, err := u.agent.Consul.List(ctx, u.agent.Keys.Stagings(u.service, want.Version))
		if err != nil {
			u.log.WarnContext(ctx, "read the queue", "error", err)
			return retryEvery
		}
		if ahead := u.ahead(entries, want); ahead != "" {
			u.watchQueue(ctx, want)
			u.say(ctx, session, want, rollout.Waiting, "for its turn after "+ahead)
			return recheckEvery
		}
	}
	if refusal != nil {
		u.watchQueue(ctx, want)
		u.say(ctx, session, want, rollout.Waiting, refusal.Error())
		return recheckEvery
	}
	u.slotless = false
	slot, why, err := u.agent.takeSlot(ctx, session, s, u.pool)
	if err != nil {
		u.log.WarnContext(ctx, "take a slot", "error", err)
		return retryEvery
	}
	if slot == "" {
		u.watchQueue(ctx, want)
		u.say(ctx, session, want, rollout.Waiting, why)
		return recheckEvery
	}
	u.state.Move = &Move{Reason: want.Reason, Service: s, To: *u.staged, Slot: slot, Step: Stopping}
	u.save()
	err = u.carryOn(ctx)
	var refused *quorumError
	switch {
	case errors.As(err, &refused):
		u.watchQueue(ctx, want)
		u.say(ctx, session, want, rollout.Waiting, refused.why)
		return time.Second
	case err != nil:
		u.log.WarnContext(ctx, "replacement interrupted, going on", "error", err)
		return retryEvery
	}
	return 0
}

// ahead names the node whose turn it is before this one's, "" if it is this
// one's.
func (u *unit) ahead(entries []consul.Entry, want Want) string {
	states := make(map[string]rollout.Report, len(entries))
	for _, e := range entries {
		var r rollout.Report
		if json.Unmarshal(e.Value, &r) == nil {
			states[consul.Base(e.Key)] = r
		}
	}
	waiting := queue(entries, states, want.Reason)
	for i, node := range waiting {
		if node == u.agent.Node && i >= u.order.service.Roll.MaxUnavailable {
			return waiting[i-1]
		}
	}
	return ""
}

// watchQueue wakes the unit when the slots, the queue or the pool's health
// change.
func (u *unit) watchQueue(ctx context.Context, want Want) {
	if u.watching != nil && u.watchedFor == want.Reason {
		return
	}
	u.unwatchQueue()
	ctx, u.watching = context.WithCancel(ctx)
	u.watchedFor = want.Reason
	for _, prefix := range []string{u.agent.Keys.Slots(u.service, u.pool), u.agent.Keys.Stagings(u.service, want.Version)} {
		go u.agent.Consul.WatchPrefix(ctx, prefix, func(consul.Seen[[]consul.Entry]) { u.poke() })
	}
	go u.agent.Consul.WatchServiceChanges(ctx, u.service, u.poke)
}

func (u *unit) unwatchQueue() {
	if u.watching != nil {
		u.watching()
		u.watching = nil
	}
}
