package rolling

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"time"

	"switchd/artifact"
	"switchd/consul"
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

	// What follows belongs to the unit's goroutine.
	order        *order
	state        Unit
	fetch        *fetch
	staged       *Run // fetched, verified and unpacked
	stagedFor    string
	watching     context.CancelFunc // of the queue, while waiting for a slot
	watchedFor   string
	watched      runner.Handle // what waits for its end
	registered   *pools.Registration
	registeredAt time.Time
	slotless     bool // known to hold no slot
	crashes      int
	lastStart    time.Time
	nextStart    time.Time
	reported     string // the key of the last report, to be taken back
	said         string // its text
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
	defer func() {
		if u.fetch != nil {
			u.fetch.cancel()
			<-u.fetch.done
		}
		u.unwatchQueue()
	}()
	for ctx.Err() == nil {
		wait := min(u.turn(ctx), u.agent.reassertEvery())
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case o := <-u.orders:
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
	if err := u.supervise(ctx); err != nil {
		u.log.WarnContext(ctx, "supervise", "error", err)
		return retryEvery
	}
	if u.order == nil {
		return u.restart()
	}
	if err := u.register(ctx); err != nil {
		u.log.WarnContext(ctx, "register", "error", err)
		return retryEvery
	}
	return u.follow(ctx)
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
	want := u.order.want
	session := u.agent.current()
	if session == nil {
		return recheckEvery // keepSession pokes
	}
	u.dropOldFetch(want)
	if err := u.freeSlots(ctx, session); err != nil {
		u.log.WarnContext(ctx, "give back the slots", "error", err)
		return retryEvery
	}
	switch {
	case want.Version == "":
		u.unwatchQueue()
		u.retract(ctx)
		return u.restart()
	case u.state.Refused != nil && u.state.Refused.Reason == want.Reason:
		u.unwatchQueue()
		u.say(ctx, session, want, rollout.Broken, u.state.Refused.Why)
		return u.restart()
	case u.state.Running != nil && u.state.Running.Version == want.Version:
		u.unwatchQueue()
		u.say(ctx, session, want, rollout.Running, "")
		return u.restart()
	case u.staged == nil || u.stagedFor != want.Reason:
		return u.stage(ctx, session, want)
	case !want.Roll:
		u.say(ctx, session, want, rollout.Staged, "")
		return u.restart()
	default:
		return u.roll(ctx, session, want)
	}
}

// fetch is a version on its way to this node.
type fetch struct {
	reason string
	cancel context.CancelFunc
	done   chan struct{}
	run    Run
	err    error
}

func (u *unit) dropOldFetch(want Want) {
	if u.fetch != nil && u.fetch.reason != want.Reason {
		u.fetch.cancel()
		<-u.fetch.done
		u.fetch = nil
	}
}

// stage fetches, verifies and unpacks the wanted version.
func (u *unit) stage(ctx context.Context, session *consul.Session, want Want) time.Duration {
	if u.fetch == nil {
		u.say(ctx, session, want, rollout.Fetching, "")
		fetchCtx, cancel := context.WithCancel(ctx)
		f := &fetch{reason: want.Reason, cancel: cancel, done: make(chan struct{})}
		u.fetch = f
		go func() {
			defer u.poke()
			defer close(f.done)
			defer cancel()
			f.run, f.err = u.agent.stage(fetchCtx, u.service, want.Version)
		}()
		return restEvery
	}
	select {
	case <-u.fetch.done:
	default:
		return restEvery
	}
	f := u.fetch
	u.fetch = nil
	switch {
	case ctx.Err() != nil:
		return 0
	case f.err == nil:
		u.staged, u.stagedFor = &f.run, want.Reason
		u.log.InfoContext(ctx, "staged", "version", want.Version, "dir", f.run.Dir)
		u.say(ctx, session, want, rollout.Staged, "")
		return 0
	case final(f.err):
		u.log.ErrorContext(ctx, "version refused", "version", want.Version, "error", f.err)
		u.state.Refused = &Refusal{Reason: want.Reason, Why: f.err.Error()}
		u.save()
		u.say(ctx, session, want, rollout.Broken, f.err.Error())
		return restEvery
	default:
		u.log.WarnContext(ctx, "fetch", "version", want.Version, "error", f.err)
		u.say(ctx, session, want, rollout.Fetching, f.err.Error())
		return retryEvery
	}
}

// final tells whether trying again could not help.
func final(err error) bool {
	return errors.Is(err, artifact.ErrUnsigned) || errors.Is(err, artifact.ErrUntrusted) || errors.Is(err, artifact.ErrTooLarge)
}

func (a *Agent) stage(ctx context.Context, service, version string) (Run, error) {
	manifest, err := a.Releases.Release(ctx, service, version)
	if err != nil {
		return Run{}, err
	}
	dir, err := a.Stager.Stage(ctx, manifest, nil)
	if err != nil {
		return Run{}, err
	}
	return Run{Version: version, Release: manifest.SHA256, Dir: dir}, nil
}

// say reports to the engine, where it waits for that, when there is something
// new to say.
func (u *unit) say(ctx context.Context, session *consul.Session, want Want, state rollout.ReportState, why string) {
	if !want.Report {
		u.retract(ctx)
		return
	}
	key := u.agent.Keys.Staging(u.service, want.Version, u.agent.Node)
	text := session.ID() + " " + want.Reason + " " + string(state) + " " + why
	if u.reported == key && u.said == text {
		return
	}
	if u.reported != key {
		u.retract(ctx) // of a former rollout
	}
	if err := u.agent.report(ctx, session, u.service, want.Version, want.Reason, state, why); err != nil {
		u.log.WarnContext(ctx, "report", "error", err)
		return
	}
	u.reported, u.said = key, text
}

// retract takes the last report back when nobody waits for it any more.
func (u *unit) retract(ctx context.Context) {
	if u.reported == "" {
		return
	}
	if err := u.agent.Consul.Delete(ctx, u.reported); err != nil {
		u.log.WarnContext(ctx, "retract the report", "error", err)
		return
	}
	u.reported, u.said = "", ""
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
	command := make([]string, len(s.Runtime.Command))
	for i, arg := range s.Runtime.Command {
		command[i] = vars.Expand(arg)
	}
	env := make(map[string]string, len(s.Runtime.Env))
	for k, v := range s.Runtime.Env {
		env[k] = vars.Expand(v)
	}
	return runner.Instance{
		// Agents of several nodes and environments can share a machine. What
		// they never share is a data directory.
		ID: u.agent.Root + ":" + u.id, Version: run.Version, Dir: run.Dir,
		LogFile: filepath.Join(u.agent.Root, "logs", u.id+".log"),
		Command: command, Env: env, StopSignal: s.Runtime.StopSignal, StopGrace: s.Runtime.StopGrace.Std(),
	}
}
