package rolling

import (
	"context"
	"fmt"
	"slices"
	"time"

	"switchd/consul"
	"switchd/rollout"
	"switchd/runner"
)

// quorumError says that this node may not go down now.
type quorumError struct{ why string }

func (e *quorumError) Error() string { return e.why }

// carryOn goes on with the replacement in the journal, from its step, until it
// is done or undone. An error leaves it to be carried on later.
func (u *unit) carryOn(ctx context.Context) error {
	for u.state.Move != nil {
		var err error
		switch u.state.Move.Step {
		case Stopping:
			err = u.stopOld(ctx)
		case Starting:
			err = u.startNew(ctx)
		case Proving:
			err = u.prove(ctx)
		case Restoring:
			err = u.restore(ctx)
		default:
			err = fmt.Errorf("journal: step %q is not known", u.state.Move.Step)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// step writes the next step before it is done.
func (u *unit) step(next Step) {
	move := *u.state.Move
	move.Step = next
	u.state.Move = &move
	u.save()
}

// stopOld takes the node down: what its journal knows of, and whatever else
// runs under the unit's name. This is the only place in which an agent stops
// what users might be sent to, and it does so only while its session holds the
// slot by its own clock and by Consul's word, the version is still wanted, and
// a consistent read shows that the quorum holds without this node.
func (u *unit) stopOld(ctx context.Context) error {
	move := u.state.Move
	inst := u.instance(move.Service, move.To)
	if old := u.state.Running; old != nil {
		inst = u.instance(u.state.Service, *old)
	}
	// A journal that was lost, or is behind, knows of no process or of another
	// one.
	running, err := u.agent.Runtime.Find(ctx, inst.ID)
	if err != nil {
		return fmt.Errorf("look for the old process: %w", err)
	}
	if old := u.state.Running; old != nil && !slices.Contains(running, old.Handle) {
		alive, err := u.agent.Runtime.Running(ctx, old.Handle)
		if err != nil {
			return fmt.Errorf("look after the old process: %w", err)
		}
		if alive {
			running = append(running, old.Handle)
		}
	}
	if len(running) == 0 {
		u.step(Starting)
		return nil
	}
	session, err := u.mayStop(ctx, move)
	if err != nil {
		u.abandon(ctx, err)
		return err
	}
	u.say(ctx, session, u.want(), rollout.Replacing, "")
	u.maintain(ctx, true, "switchd: replaced by "+move.To.Version)
	if err := session.Err(); err != nil { // the calls above may have taken long
		u.abandon(ctx, err)
		return err
	}
	for _, h := range running {
		u.log.InfoContext(ctx, "stopping", "version", inst.Version, "handle", h, "for", move.To.Version)
		if err := u.agent.Runtime.Stop(ctx, h, inst); err != nil {
			return fmt.Errorf("stop the old version: %w", err)
		}
	}
	u.step(Starting)
	return nil
}

// mayStop returns the session under which the node may be taken down now.
func (u *unit) mayStop(ctx context.Context, move *Move) (*consul.Session, error) {
	session := u.agent.current()
	if session == nil {
		return nil, &quorumError{"there is no Consul session"}
	}
	slot, err := u.agent.Consul.Get(ctx, move.Slot)
	if err != nil {
		return nil, err
	}
	if slot.Session != session.ID() {
		return nil, &quorumError{"the slot was lost"}
	}
	// What was watched may be old news: a halt or a rollback since then must
	// not be followed by a node that goes down for nothing.
	want, err := u.agent.wants(ctx, u.service, u.pool)
	if err != nil {
		return nil, err
	}
	if !want.Roll || want.Reason != move.Reason {
		return nil, &quorumError{"version " + move.To.Version + " is not wanted any more"}
	}
	refusal, err := u.agent.checkQuorum(ctx, move.Service, u.pool)
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		return nil, &quorumError{refusal.Error()}
	}
	return session, nil
}

// abandon gives a replacement up before anything was stopped.
func (u *unit) abandon(ctx context.Context, cause error) {
	move := u.state.Move
	u.log.InfoContext(ctx, "not taken down", "why", cause)
	u.maintain(ctx, false, "")
	u.state.Move = nil
	u.save()
	u.releaseSlot(ctx, move.Slot)
}

// startNew starts the new version.
func (u *unit) startNew(ctx context.Context) error {
	move := *u.state.Move
	inst := u.instance(move.Service, move.To)
	// A former agent may have started it and died before it was noted.
	if err := u.stopFound(ctx, inst); err != nil {
		return err
	}
	if session := u.agent.current(); session != nil {
		u.say(ctx, session, u.want(), rollout.Replacing, "")
	}
	handle, err := u.agent.Runtime.Start(ctx, inst)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return u.refuse(ctx, err.Error())
	}
	u.log.InfoContext(ctx, "started", "version", move.To.Version, "handle", handle)
	move.To.Handle = handle
	move.Deadline = time.Now().Add(move.Service.Roll.HealthyDeadline.Std())
	move.Step = Proving
	u.state.Move = &move
	u.save()
	return nil
}

func (u *unit) stopFound(ctx context.Context, inst runner.Instance) error {
	found, err := u.agent.Runtime.Find(ctx, inst.ID)
	if err != nil {
		return fmt.Errorf("look for %s: %w", inst.ID, err)
	}
	for _, h := range found {
		if err := u.agent.Runtime.Stop(ctx, h, inst); err != nil {
			return fmt.Errorf("stop what was left over of %s: %w", inst.ID, err)
		}
	}
	return nil
}

// want is what the unit is wanted to do; nothing where no order came yet.
func (u *unit) want() Want {
	if u.order == nil {
		return Want{}
	}
	return u.order.want
}

func (u *unit) releaseSlot(ctx context.Context, slot string) {
	session := u.agent.current()
	if session == nil || slot == "" {
		return // the lost session's locks go with it
	}
	if err := session.Release(ctx, slot); err != nil {
		u.log.WarnContext(ctx, "release the slot", "error", err) // freeSlots tries again
		return
	}
	u.slotless = true
}
