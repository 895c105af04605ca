package rolling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
	"switchd/runner"
	"switchd/spec"
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

// stopOld takes the node down. This is the only place in which an agent stops
// a service that passes, and it does so only while its session holds the slot
// by its own clock and by Consul's word, and a consistent read shows that the
// quorum holds without this node.
func (u *unit) stopOld(ctx context.Context) error {
	move := u.state.Move
	if u.state.Running != nil {
		alive, err := u.agent.Runtime.Running(ctx, u.state.Running.Handle)
		if err != nil {
			return fmt.Errorf("look after the old process: %w", err)
		}
		if alive {
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
			u.log.InfoContext(ctx, "stopping", "version", u.state.Running.Version, "for", move.To.Version)
			if err := u.agent.Runtime.Stop(ctx, u.state.Running.Handle, u.instance(u.state.Service, *u.state.Running)); err != nil {
				return fmt.Errorf("stop the old version: %w", err)
			}
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
		return u.refuse(err.Error())
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

// prove waits until the new version is healthy for long enough, here and in
// the catalog.
func (u *unit) prove(ctx context.Context) error {
	move := *u.state.Move
	u.registerOrWarn(ctx, move.Service, move.To)
	// An agent that was away past the deadline must not take a healthy version
	// for a failed one: it gets at least the time to look.
	health := move.Service.Health
	look := move.Service.Roll.MinHealthyTime.Std() + 3*(health.Interval.Std()+health.Timeout.Std())
	deadline := time.Now().Add(look)
	if deadline.Before(move.Deadline) {
		deadline = move.Deadline
	}
	looking, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := u.healthy(looking, move.Service, move.To, move.Service.Roll.MinHealthyTime.Std())
	if err == nil {
		u.registerOrWarn(looking, move.Service, move.To)
		u.maintain(looking, false, "")
		err = u.passes(looking, move)
	}
	_, unread := errors.AsType[*consul.Error](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // the agent ends; the next one goes on
	case unread:
		return err // it says nothing about the version
	case err != nil:
		return u.refuse(err.Error())
	}
	u.state.Service, u.state.Running, u.state.Move, u.state.Refused = move.Service, &move.To, nil, nil
	u.save()
	u.crashes = 0
	u.log.InfoContext(ctx, "replaced", "version", move.To.Version)
	u.watchEnd(ctx, move.To.Handle)
	if session := u.agent.current(); session != nil {
		u.say(ctx, session, u.want(), rollout.Running, "")
	}
	u.releaseSlot(ctx, move.Slot)
	return nil
}

// refuse notes that the version failed on this node and puts the old one back.
func (u *unit) refuse(why string) error {
	u.log.Error("version failed on this node", "version", u.state.Move.To.Version, "why", why)
	u.state.Refused = &Refusal{Reason: u.state.Move.Reason, Why: why}
	u.step(Restoring)
	return nil
}

// restore puts the former version back, reports and gives the slot back.
func (u *unit) restore(ctx context.Context) error {
	move := u.state.Move
	inst := u.instance(move.Service, move.To)
	if err := u.stopFound(ctx, inst); err != nil {
		return err
	}
	if old := u.state.Running; old == nil {
		u.deregister(ctx)
	} else {
		handle, err := u.agent.Runtime.Start(ctx, u.instance(u.state.Service, *old))
		if err != nil {
			return fmt.Errorf("start the former version again: %w", err)
		}
		back := *old
		back.Handle = handle
		u.state.Running = &back
		u.save()
		u.log.InfoContext(ctx, "restored", "version", back.Version, "handle", handle)
		u.watchEnd(ctx, handle)
		u.registerOrWarn(ctx, u.state.Service, back)
		waitCtx, cancel := context.WithTimeout(ctx, u.state.Service.Roll.HealthyDeadline.Std())
		err = u.healthy(waitCtx, u.state.Service, back, 0)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			u.log.ErrorContext(ctx, "the former version is not healthy either", "version", back.Version, "error", err)
		}
		u.maintain(ctx, false, "")
	}
	u.state.Move = nil
	u.save()
	if session := u.agent.current(); session != nil {
		u.say(ctx, session, u.want(), rollout.Broken, u.state.Refused.Why)
	}
	u.releaseSlot(ctx, move.Slot)
	return nil
}

// want is what the unit is wanted to do; nothing where no order came yet.
func (u *unit) want() Want {
	if u.order == nil {
		return Want{}
	}
	return u.order.want
}

// healthy waits until the version answers its health check for an unbroken
// time, and fails when its process ends or ctx does.
func (u *unit) healthy(ctx context.Context, s spec.Service, run Run, unbroken time.Duration) error {
	const every = 200 * time.Millisecond
	client := &http.Client{
		Timeout:       s.Health.Timeout.Std(),
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	url := "http://" + net.JoinHostPort(u.agent.Address, strconv.Itoa(s.Port)) + s.Health.Path
	var since time.Time
	last := errors.New("no answer yet")
	for {
		alive, err := u.agent.Runtime.Running(ctx, run.Handle)
		if err == nil && !alive {
			return fmt.Errorf("version %s ended by itself before it was healthy (last health check: %w); its output is in %s",
				run.Version, last, u.instance(s, run).LogFile)
		}
		if last = probe(ctx, client, url); last != nil {
			since = time.Time{}
		} else if since.IsZero() {
			since = time.Now()
		}
		if !since.IsZero() && time.Since(since) >= unbroken {
			return nil
		}
		sleep(ctx, every)
		if ctx.Err() != nil {
			if last == nil {
				last = fmt.Errorf("it was healthy for %s only", time.Since(since).Round(time.Millisecond))
			}
			return fmt.Errorf("version %s was not healthy for %s within its deadline of %s: %w",
				run.Version, unbroken, s.Roll.HealthyDeadline, last)
		}
	}
}

func probe(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("health check: %w", err)
	}
	_ = response.Body.Close() // nothing of it is read
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return fmt.Errorf("health check: GET %s answered %s", url, response.Status)
	}
	return nil
}

// passes waits until the catalog shows this node passing with the version, so
// that the slot is given back only when the next node may count on this one.
func (u *unit) passes(ctx context.Context, move Move) error {
	for {
		now, err := pools.Read(ctx, u.agent.Consul, u.service)
		if err == nil {
			in, found := now[u.pool].On(u.agent.Node)
			switch {
			case !found:
				err = fmt.Errorf("version %s answers on the node, but Consul's catalog does not have it", move.To.Version)
			case in.Version != move.To.Version:
				err = fmt.Errorf("version %s answers on the node, but Consul's catalog still says %s", move.To.Version, in.Version)
			case !in.Passing:
				err = fmt.Errorf("version %s answers on the node, but Consul does not hold it for passing: %s", move.To.Version, in.Why)
			default:
				return nil
			}
		}
		sleep(ctx, 100*time.Millisecond)
		if ctx.Err() != nil {
			return err
		}
	}
}

func (u *unit) registerOrWarn(ctx context.Context, s spec.Service, run Run) {
	if err := u.announce(ctx, s, run); err != nil {
		u.log.WarnContext(ctx, "register", "error", err)
	}
}

func (u *unit) deregister(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	u.registered = nil
	if err := pools.Deregister(ctx, u.agent.Consul, u.service, u.pool); err != nil {
		u.log.WarnContext(ctx, "deregister", "error", err)
	}
}

// maintain switches Consul's maintenance mode of the instance. That is a
// courtesy to whoever is sent here; the health check tells the same.
func (u *unit) maintain(ctx context.Context, on bool, why string) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := pools.Maintain(ctx, u.agent.Consul, u.service, u.pool, why, on); err != nil {
		u.log.DebugContext(ctx, "maintenance", "on", on, "error", err)
	}
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
