package rolling

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
	"switchd/runner"
)

// quorumError says that this node may not go down now.
type quorumError struct{ why string }

func (e *quorumError) Error() string { return e.why }

// carryOn goes on with the replacement in the journal, from its step, until it
// is done or undone. An error leaves it to be carried on later.
func (u *unit) carryOn(ctx context.Context) error {
	if u.state.Move.Step == Stopping && u.order == nil {
		// An agent that was just started knows neither whether users are on the
		// node nor whether it is to go at all, and the old version is what runs
		// meanwhile. Its turn comes again.
		u.state.Move = nil
		u.save()
		return nil
	}
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
	old := move.To
	service := move.Service
	if u.state.Running != nil {
		old, service = *u.state.Running, u.state.Service
	}
	inst := u.instance(service, old)
	rt, err := u.agent.runtime(service.Runtime.Kind)
	if err != nil {
		u.abandon(ctx, err)
		return &quorumError{err.Error()}
	}
	running, err := u.runningNow(ctx, rt, inst)
	if err != nil {
		if ctx.Err() == nil {
			u.abandon(ctx, err) // nothing was stopped; others need not wait for it
		}
		return err
	}
	if len(running) == 0 {
		u.step(Starting)
		return nil
	}
	leave, err := u.mayStop(ctx, move, false)
	if err != nil {
		u.abandon(ctx, err)
		return err
	}
	u.say(ctx, leave.session, u.want, rollout.Replacing, "")
	u.maintain(ctx, true, "switchd: "+move.why())
	if leave.users {
		u.drain(ctx, service)
		// The wait was long enough for other nodes to have gone down.
		if leave, err = u.mayStop(ctx, move, true); err != nil {
			u.abandon(ctx, err)
			return err
		}
	}
	if err := leave.session.Err(); err != nil { // the calls above may have taken long
		u.abandon(ctx, err)
		return err
	}
	for _, h := range running {
		u.log.InfoContext(ctx, "stopping", "version", inst.Version, "handle", h, "why", move.why())
		if err := rt.Stop(ctx, h, inst); err != nil {
			u.say(ctx, leave.session, u.want, rollout.Replacing, err.Error())
			return fmt.Errorf("stop the old version: %w", err)
		}
	}
	u.step(Starting)
	return nil
}

// runningNow is all that runs under the unit's name. A journal that was lost,
// or is behind, knows of no process or of another one.
func (u *unit) runningNow(ctx context.Context, rt runner.Runtime, inst runner.Instance) ([]runner.Handle, error) {
	running, err := rt.Find(ctx, inst)
	if err != nil {
		return nil, fmt.Errorf("look for the old process: %w", err)
	}
	if old := u.state.Running; old != nil && old.Handle != "" && !slices.Contains(running, old.Handle) {
		status, err := rt.Status(ctx, old.Handle)
		if err != nil {
			return nil, fmt.Errorf("look after the old process: %w", err)
		}
		if status.Running {
			running = append(running, old.Handle)
		}
	}
	return running, nil
}

// permit is what a node is taken down under.
type permit struct {
	session *consul.Session
	users   bool // whether users may be on the node, so that it has to be drained
}

// mayStop tells whether the node may be taken down now. drained tells that it
// was taken out of the catalog for that already.
func (u *unit) mayStop(ctx context.Context, move *Move, drained bool) (permit, error) {
	session := u.agent.current()
	if session == nil {
		return permit{}, &quorumError{"there is no Consul session"}
	}
	var (
		want    Want
		deploy  rollout.Order
		members int
		now     pools.Pool
		slots   []consul.Entry
	)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		want, deploy, err = u.wantsNow(groupCtx)
		return err
	})
	group.Go(func() (err error) {
		members, err = u.agent.members(groupCtx, move.Service, u.pool)
		return err
	})
	group.Go(func() (err error) {
		now, slots, err = u.agent.lookAround(groupCtx, move.Service, u.pool)
		return err
	})
	if err := group.Wait(); err != nil {
		return permit{}, err
	}
	if !slices.ContainsFunc(slots, func(e consul.Entry) bool { return e.Key == move.Slot && e.Session == session.ID() }) {
		return permit{}, &quorumError{"the slot was lost"}
	}
	// What was watched may be old news: a halt or a rollback since then must
	// not be followed by a node that goes down for nothing.
	if !want.Roll || want.Reason != move.Reason {
		return permit{}, &quorumError{move.wish() + " any more"}
	}
	if err := mayGoDown(now, u.agent.Node, holdersOf(slots), move.Service.Roll.Quorum.AtLeast(members), drained); err != nil {
		return permit{}, &quorumError{err.Error()}
	}
	// Who doesn't pass has no users that a drain could wait for, and may be what
	// the quorum lacks.
	in, _ := now.On(u.agent.Node)
	return permit{session: session, users: deploy.HasUsers(u.pool) && in.Passing}, nil
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

// startNew starts the new version; where the node leaves the pool, there is
// none.
func (u *unit) startNew(ctx context.Context) error {
	move := *u.state.Move
	if move.Leave {
		return u.left(ctx)
	}
	rt, err := u.agent.runtime(move.Service.Runtime.Kind)
	if err != nil {
		return u.refuse(ctx, err.Error())
	}
	inst := u.instance(move.Service, move.To)
	// A former agent may have started it and died before it was noted.
	if err := stopFound(ctx, rt, inst); err != nil {
		return err
	}
	// It is in memory already, unless the machine was started anew since.
	if err := u.preload(ctx, move.Service, move.To); err != nil {
		return u.refuse(ctx, err.Error())
	}
	if session := u.agent.current(); session != nil {
		u.say(ctx, session, u.want, rollout.Replacing, "")
	}
	handle, err := rt.Start(ctx, inst)
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

// left ends a node's part in the pool, once what ran there is stopped.
func (u *unit) left(ctx context.Context) error {
	move := u.state.Move
	if err := u.deregister(ctx); err != nil {
		return err
	}
	u.log.InfoContext(ctx, "left the pool")
	u.forget()
	u.releaseSlot(ctx, move.Slot)
	return nil
}

func stopFound(ctx context.Context, rt runner.Runtime, inst runner.Instance) error {
	found, err := rt.Find(ctx, inst)
	if err != nil {
		return fmt.Errorf("look for %s: %w", inst.ID, err)
	}
	for _, h := range found {
		if err := rt.Stop(ctx, h, inst); err != nil {
			return fmt.Errorf("stop what was left over of %s: %w", inst.ID, err)
		}
	}
	return nil
}

// finish tells the engine how the replacement ended and gives the slot back,
// in one write: the next node waits for it.
func (u *unit) finish(ctx context.Context, slot string, state rollout.ReportState, why string) {
	session := u.agent.current()
	if session == nil {
		return // the lost session's locks go with it
	}
	if report, waited, err := u.reportOp(session, u.want, state, why); err == nil && waited && slot != "" {
		if err := u.agent.Consul.Txn(ctx, "give the slot back", session.Unlock(slot, nil), report); err == nil {
			u.slotless = true
			u.told(session, u.want, state, why)
			return
		}
	}
	u.say(ctx, session, u.want, state, why)
	u.releaseSlot(ctx, slot)
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
