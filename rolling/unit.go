package rolling

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"time"

	"switchd/pools"
	"switchd/rollout"
	"switchd/runner"
	"switchd/spec"
)

// unit is one service in one pool on this node. All its work is done by one
// goroutine, but for the fetch of a version, which can take long.
type unit struct {
	agent   *Agent
	id      string // service-pool
	service string
	pool    string
	log     *slog.Logger

	orders chan order // holds the newest one
	wake   chan struct{}
	// watches are the goroutines that wake the unit.
	watches sync.WaitGroup

	// What follows belongs to the unit's goroutine.
	order        *order
	want         Want // what the order comes down to, as of the last turn
	state        Unit
	conform      Want      // what the rest of the pool runs
	conformAt    time.Time // when that is looked at again
	fetch        *fetch
	staged       *Run // fetched, verified and unpacked
	stagedFor    string
	stagedWith   spec.Service // as which it was staged
	unfit        *Refusal     // by this node as it is
	unfitUntil   time.Time
	unstarted    bool               // what is to run could not be started: it is staged anew
	watching     context.CancelFunc // of what is waited for
	watchedFor   string
	behind       string // the report of the node whose turn comes before
	refused      bool   // by the quorum, the last time
	takes        uint64
	takesAt      time.Time     // when takes was seen to change
	watched      runner.Handle // what waits for its end
	registered   *pools.Registration
	registeredAt time.Time
	slotless     bool // known to hold no slot
	adopted      bool // or nothing was there to be adopted
	crashes      int
	lastStart    time.Time
	nextStart    time.Time
	reported     string // the key of the last report, to be taken back
	said         string // its text
	saidAt       time.Time
}

// The pace of a unit.
const (
	retryEvery   = 2 * time.Second  // after something failed
	recheckEvery = 5 * time.Second  // while waiting, besides what is watched
	restEvery    = 30 * time.Second // when nothing is to be done
	crashBackoff = time.Second      // doubled with each crash in a row
	maxBackoff   = 30 * time.Second
	// steady is how long a process must run for its crashes to be forgotten.
	steady = time.Minute
)

// tell replaces the unit's order by a newer one.
func (u *unit) tell(o order) {
	for {
		select {
		case u.orders <- o:
			return
		default:
		}
		select {
		case <-u.orders:
		default:
		}
	}
}

// poke makes the unit look again.
func (u *unit) poke() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

func (u *unit) run(ctx context.Context) {
	u.state = u.agent.journal.Unit(u.id)
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		if u.fetch != nil {
			<-u.fetch.done
		}
		u.unwatch()
		u.watches.Wait()
	}()
	for ctx.Err() == nil {
		wait := min(u.turn(ctx), u.agent.reassertEvery())
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case o := <-u.orders:
			if u.order == nil || !reflect.DeepEqual(o.deploy, u.order.deploy) {
				// Not all nodes of a large pool at the same moment.
				u.conform, u.conformAt = Want{}, time.Now().Add(rand.N(time.Second))
			}
			u.order = &o
		case <-u.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// turn does what there is to do and tells when to look again.
func (u *unit) turn(ctx context.Context) time.Duration {
	if u.state.Move != nil {
		if err := u.carryOn(ctx); err != nil {
			u.log.WarnContext(ctx, "replacement interrupted, going on", "error", err)
			return retryEvery
		}
	}
	// That what runs can't be looked after must not keep another version from
	// taking its place.
	lookAgain := restEvery
	if err := u.supervise(ctx); err != nil {
		u.log.WarnContext(ctx, "supervise", "error", err)
		lookAgain = retryEvery
	}
	if u.order == nil {
		return min(u.restart(), lookAgain)
	}
	if err := u.adopt(ctx); err != nil {
		u.log.WarnContext(ctx, "look for what runs", "error", err)
		return retryEvery
	}
	if err := u.register(ctx); err != nil {
		u.log.WarnContext(ctx, "register", "error", err)
		return retryEvery
	}
	wait := u.follow(ctx)
	u.giveUp(ctx)
	return min(wait, lookAgain)
}

// restart is when a crashed process may be started again, at the latest when
// to look anyway.
func (u *unit) restart() time.Duration {
	if left := time.Until(u.nextStart); left > 0 {
		return min(left, restEvery)
	}
	return restEvery
}

// follow does what the order wants about versions.
func (u *unit) follow(ctx context.Context) time.Duration {
	session := u.agent.current()
	if session == nil {
		return recheckEvery // keepSession pokes
	}
	u.want = u.wanted(ctx)
	want := u.want
	u.dropOldFetch(want)
	if u.staged != nil && u.stagedFor != want.Reason {
		// Before anything else is made ready: there may not be room for three.
		u.staged = nil
		u.giveUp(ctx)
	}
	if err := u.freeSlots(ctx, session); err != nil {
		u.log.WarnContext(ctx, "give back the slots", "error", err)
		return retryEvery
	}
	switch {
	case want.Leave && u.state.Running == nil:
		u.unwatch()
		u.forget()
		return restEvery
	case want.Leave:
		return u.roll(ctx, session, want)
	case want.Version == "":
		u.unwatch()
		u.retract(ctx)
		if conforms(WantOf(u.pool, u.order.deploy), u.order.deploy) {
			return min(u.restart(), max(time.Until(u.conformAt), 100*time.Millisecond))
		}
		return u.restart()
	case u.state.Refused != nil && u.state.Refused.Reason == want.Reason:
		u.unwatch()
		u.say(ctx, session, want, rollout.Broken, u.state.Refused.Why)
		return u.restart()
	case u.unfit != nil && u.unfit.Reason == want.Reason && time.Now().Before(u.unfitUntil):
		u.say(ctx, session, want, rollout.Broken, u.unfit.Why)
		return min(time.Until(u.unfitUntil), restEvery)
	case u.state.Running != nil && u.state.Running.Version == want.Version && !u.unstarted:
		u.unwatch()
		u.say(ctx, session, want, rollout.Running, "")
		return u.restart()
	case u.staged == nil || u.stagedFor != want.Reason || !sameToRun(u.stagedWith, u.order.service):
		return u.stage(ctx, session, want)
	case u.state.Running != nil && u.state.Running.Version == want.Version:
		// It runs by its journal and could not be started; now that it is here
		// again, supervision tries once more.
		u.state.Running.Dir, u.state.Running.Release = u.staged.Dir, u.staged.Release
		u.save()
		u.unstarted, u.staged = false, nil
		return u.restart()
	case !want.Roll:
		u.say(ctx, session, want, rollout.Staged, "")
		return u.restart()
	default:
		return u.roll(ctx, session, want)
	}
}

// sameToRun tells whether two desired states run a release in the same way, so
// that what was staged for one can be started for the other.
func sameToRun(a, b spec.Service) bool {
	return reflect.DeepEqual(a.Runtime, b.Runtime) && reflect.DeepEqual(a.Preload, b.Preload) && a.Port == b.Port
}

// forget drops the unit's state once nothing of it runs here any more.
func (u *unit) forget() {
	if u.state.Name == "" {
		return
	}
	u.state = Unit{}
	if err := u.agent.journal.DropUnit(u.id); err != nil {
		u.log.Error("journal", "error", err)
	}
}

// save writes the unit's state to the journal.
func (u *unit) save() {
	u.state.Name, u.state.Pool = u.service, u.pool
	if err := u.agent.journal.SetUnit(u.id, u.state); err != nil {
		// The state on disk is older than reality; every step is safe to be
		// repeated, so going on is better than standing still.
		u.log.Error("journal", "error", err)
	}
}

// instance is a version as the runtime wants it.
func (u *unit) instance(s spec.Service, run Run) runner.Instance {
	vars := spec.Vars{
		Service: u.service, Pool: u.pool, Other: spec.Other(u.pool), Version: run.Version, Node: u.agent.Node,
		Address: u.agent.Address, Port: strconv.Itoa(s.Port), Dir: run.Dir,
	}
	r := s.Runtime
	hooks := make(map[string][]string, len(r.Hooks))
	for name, command := range r.Hooks {
		hooks[name] = expandAll(vars, command)
	}
	return runner.Instance{
		// Agents of several nodes and environments can share a machine. What
		// they never share is a data directory.
		ID: u.agent.Root + ":" + u.id, Version: run.Version, Dir: run.Dir,
		LogFile: filepath.Join(u.agent.Root, "logs", u.id+".log"),
		Command: expandAll(vars, r.Command), Env: expandMap(vars, r.Env), User: r.User, Limits: r.Limits,
		StopSignal: r.StopSignal, StopGrace: r.StopGrace.Std(),
		Settings: expandMap(vars, r.Settings), Hooks: hooks, HookTimeout: r.HookTimeout.Std(),
	}
}

func expandAll(vars spec.Vars, texts []string) []string {
	expanded := make([]string, len(texts))
	for i, text := range texts {
		expanded[i] = vars.Expand(text)
	}
	return expanded
}

func expandMap(vars spec.Vars, texts map[string]string) map[string]string {
	expanded := make(map[string]string, len(texts))
	for name, text := range texts {
		expanded[name] = vars.Expand(text)
	}
	return expanded
}
