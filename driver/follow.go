package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/spec"
	"switchd/upstream"
)

const (
	// readTimeout bounds the reading of all that has changed there.
	readTimeout = 30 * time.Second
	// readAgain follows a reading that has failed.
	readAgain = 5 * time.Second
	// beginAgain follows a rollout that could not be begun.
	beginAgain = 10 * time.Second
	// tellEvery bounds how old the time is at which the other environment is said
	// to have been read.
	tellEvery = time.Minute
	// turnAtLeast is how long the follower trusts what wakes it.
	turnAtLeast = time.Minute
)

// turn reads what has changed there, decides, writes what was found, and begins
// what is due. It tells when to do so again.
func (f *follower) turn(ctx context.Context, working *sync.WaitGroup) time.Time {
	now := time.Now()
	if len(f.seen) < 4 {
		return now.Add(turnAtLeast) // this environment's own state isn't known yet
	}
	d := f.plan(now)
	for _, service := range d.Look {
		f.stale[service] = true
	}
	f.read(ctx)
	d = f.plan(time.Now())
	f.takeOver(ctx, working)
	for _, service := range d.Begin {
		f.begin(ctx, service)
	}
	if len(d.Begin) > 0 {
		d = f.plan(time.Now())
	}
	f.tell(ctx, d)
	wake := now.Add(turnAtLeast)
	if len(d.Look) > 0 { // their time has come meanwhile
		wake = time.Now().Add(gather)
		if wake.Before(f.pause) {
			wake = f.pause
		}
	}
	for _, at := range []time.Time{d.Wake, f.nextHold(), f.nextTake(), f.nextRead()} {
		if !at.IsZero() && at.Before(wake) {
			wake = at
		}
	}
	return wake
}

func (f *follower) plan(now time.Time) upstream.Decision {
	services := make([]upstream.Service, 0, len(f.specs))
	for name, s := range f.specs {
		e, read := f.there[name]
		if !read {
			e = rollout.Eligibility{Upstream: f.after.Environment, Service: name}
		}
		service := upstream.Service{Name: name, DependsOn: s.DependsOn, Here: f.here[name], Eligible: e, Older: f.older[name]}
		if h := f.holds[name]; now.Before(h.until) {
			service.Held = h.why
		}
		if f.reach.Error != "" {
			service.Held = fmt.Sprintf("%s can't be read", f.after.Environment)
		}
		services = append(services, service)
	}
	return upstream.Plan(services, f.after.Promote, f.parallel, now)
}

// read reads the services that have changed there.
func (f *follower) read(ctx context.Context) {
	if time.Now().Before(f.pause) {
		return
	}
	var names []string
	for name := range f.stale {
		if _, ours := f.specs[name]; ours {
			names = append(names, name)
		} else {
			delete(f.stale, name)
			delete(f.there, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	found := make([]*finding, len(names))
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	group, groupCtx := errgroup.WithContext(bounded)
	group.SetLimit(8)
	for i, name := range names {
		here := f.here[name]
		group.Go(func() (err error) {
			found[i], err = f.look(groupCtx, name, here)
			return err
		})
	}
	err := group.Wait()
	for i, name := range names {
		if found[i] != nil {
			f.learn(name, *found[i])
			delete(f.stale, name)
		}
	}
	f.note(ctx, "services", err)
	if err != nil {
		f.pause = time.Now().Add(readAgain)
	}
}

// finding is what was read of a service, there and of its past here.
type finding struct {
	eligible rollout.Eligibility
	older    string
	past     []*rollout.Record
}

// look reads one service; its error is one that all services would have. It is
// safe for concurrent use.
func (f *follower) look(ctx context.Context, name string, here upstream.Side) (*finding, error) {
	live := here.Live.Side().Version
	there, err := f.source.Read(ctx, name, live)
	switch {
	case ctx.Err() != nil, errors.Is(err, consul.ErrUnreachable), errors.Is(err, consul.ErrDenied):
		return nil, cmp.Or(err, ctx.Err())
	case err != nil: // it may be of a later version of switchd
		return &finding{eligible: rollout.Eligibility{
			Upstream: f.after.Environment, Service: name, Missing: clip(err.Error()), Seen: time.Now().UTC(), For: f.after.For,
		}}, nil
	}
	s := upstream.Stand(there)
	found := &finding{eligible: rollout.Eligibility{
		Upstream: f.after.Environment, Service: name, Version: s.Version, Rollout: s.Rollout, Done: f.source.Here(s.Done), Missing: clip(s.Missing),
		Seen: time.Now().UTC(), For: f.after.For,
	}}
	if s.Version == "" || s.Version == live {
		return found, nil
	}
	past, err := f.History(ctx, name)
	if err != nil {
		found.older = clip("its history here can't be read: " + err.Error())
		return found, nil
	}
	for _, r := range past {
		found.past = append(found.past, slim(r))
	}
	here.Past = found.past
	found.older = upstream.Older(there, s, here, found.eligible.Done)
	return found, nil
}

// learn takes in what was read.
func (f *follower) learn(name string, found finding) {
	e := found.eligible
	if was, ok := f.there[name]; ok && was.Version == e.Version {
		e.Release, e.Trouble = was.Release, was.Trouble
		if was.Rollout == e.Rollout && was.Done.Sub(e.Done).Abs() < 2*time.Second {
			e.Done = was.Done // the other clock is known to the second
		}
	}
	f.there[name], f.older[name] = e, found.older
	side := f.here[name]
	side.Past = found.past
	f.here[name] = side
}

// tell writes what was found into this environment's KV, where it says something
// new.
func (f *follower) tell(ctx context.Context, d upstream.Decision) {
	f.tellContact(ctx)
	var news []rollout.Eligibility
	for name, e := range f.there {
		if _, ours := f.specs[name]; !ours || e.Seen.IsZero() || f.wrote[name] {
			continue
		}
		e.Waits = clip(d.Waits[name])
		f.say(ctx, e)
		kept := f.kept[name]
		kept.For = f.after.For
		if !same(e, kept) {
			e.Index = kept.Index
			news = append(news, e)
		}
	}
	for name, kept := range f.kept {
		if _, ours := f.specs[name]; !ours && !f.wrote[name] {
			news = append(news, rollout.Eligibility{Service: name, Index: kept.Index})
		}
	}
	if len(news) == 0 {
		return
	}
	for _, e := range news {
		f.wrote[e.Service] = true // until the watch shows it
	}
	if err := f.KeepEligible(ctx, f.Fence, news...); err != nil {
		for _, e := range news {
			delete(f.wrote, e.Service)
		}
		level := slog.LevelDebug // another writer was faster, or Consul is away
		if errors.Is(err, consul.ErrDenied) {
			level = slog.LevelWarn
		}
		f.Log.Log(ctx, level, "what is eligible is not written", "error", err)
	}
}

// same tells whether two findings say the same. When they were made makes no
// difference, unless the version has become eligible in between.
func same(a, b rollout.Eligibility) bool {
	if a.Proven() != b.Proven() || !a.Done.Equal(b.Done) {
		return false
	}
	for _, e := range []*rollout.Eligibility{&a, &b} {
		e.Done, e.Seen, e.For, e.Contact, e.Index = time.Time{}, time.Time{}, 0, rollout.Contact{}, 0
	}
	return a == b
}

// say logs what is new of a service.
func (f *follower) say(ctx context.Context, e rollout.Eligibility) {
	words := e.Version + e.Waits + e.Trouble + fmt.Sprint(e.Proven())
	if f.log[e.Service] == words {
		return
	}
	f.log[e.Service] = words
	switch {
	case e.Trouble != "":
		f.Log.WarnContext(ctx, "release can't be taken over", "service", e.Service, "version", e.Version, "environment", e.Upstream, "error", e.Trouble)
	case e.Waits != "":
		f.Log.InfoContext(ctx, "eligible, but not promoted yet", "service", e.Service, "version", e.Version, "waits", e.Waits)
	case e.Proven():
		f.Log.InfoContext(ctx, "eligible", "service", e.Service, "version", e.Version, "environment", e.Upstream, "done", e.Done)
	}
}

func (f *follower) tellContact(ctx context.Context) {
	if f.reach.Error == f.told.Error && f.reach.At.Sub(f.told.At) < tellEvery {
		return
	}
	if err := f.KeepContact(ctx, f.Fence, f.reach); err != nil {
		f.Log.DebugContext(ctx, "how the other environment is read is not written", "error", err)
		return
	}
	f.told = f.reach
}

// begin begins a rollout. What stands against it is kept for a while.
func (f *follower) begin(ctx context.Context, name string) {
	delete(f.holds, name)
	err := f.promote(ctx, name)
	if err == nil {
		return
	}
	h := hold{why: clip(err.Error()), until: time.Now().Add(beginAgain)}
	if errors.Is(err, consul.ErrConflict) {
		h.until = time.Now().Add(keepAgain) // somebody else was faster
	}
	f.holds[name] = h
}

// promote begins a rollout if it still is to begin on a last look at both
// environments. This one is observed before its history is read: what is not in
// the history then is the record that the write is held to.
func (f *follower) promote(ctx context.Context, name string) error {
	bounded, cancel := context.WithTimeout(ctx, keepTimeout)
	defer cancel()
	s, err := f.Observe(bounded, name)
	if err != nil {
		return err
	}
	f.here[name] = upstream.Side{Live: s.Live, Record: slim(s.Record)}
	found, err := f.look(bounded, name, f.here[name])
	if err != nil {
		f.note(ctx, "services", err)
		f.stale[name] = true
		return fmt.Errorf("%s can't be read: %w", f.after.Environment, err)
	}
	f.learn(name, *found)
	if !slices.Contains(f.plan(time.Now()).Begin, name) {
		return nil // something has changed, and that is shown
	}
	if err := ready(s); err != nil {
		return err
	}
	e := f.there[name]
	if s.Released, err = f.Released(bounded, name, e.Version); err != nil {
		return err
	}
	s.Eligible = &e
	now := time.Now().UTC()
	by := fmt.Sprintf("%s (eligible since %s in %s)", rollout.Controller, e.From().Format("2006-01-02 15:04 MST"), e.Upstream)
	change, err := rollout.Promote(s, ledger.NewID(name, e.Version, now), e.Version, by, now)
	if err != nil {
		return err
	}
	if err := f.Commit(bounded, change); err != nil {
		return err
	}
	f.Log.InfoContext(ctx, "promoted", "service", name, "version", e.Version, "rollout", change.Record.ID, "from", e.Upstream)
	side := f.here[name]
	side.Record = slim(change.Record)
	f.here[name] = side
	return nil
}

// ready tells whether there is anything to roll a version out to. Nobody is told
// to promote by hand what failed for the lack of nodes, so it isn't begun
// without: a new environment comes to be piece by piece.
func ready(s rollout.Situation) error {
	pool := spec.Blue
	if s.Live != nil {
		pool = spec.Other(s.Live.Pool)
	}
	alive := 0
	for _, m := range s.Members[pool] {
		if m.Alive {
			alive++
		}
	}
	if need := max(s.Quorum(pool), 1); alive < need {
		return fmt.Errorf("the %s pool has %d nodes that live, its quorum is %d", pool, alive, need)
	}
	return nil
}

func (f *follower) nextHold() time.Time {
	now := time.Now()
	maps.DeleteFunc(f.holds, func(_ string, h hold) bool { return now.Sub(h.until) > time.Minute })
	var next time.Time
	for _, h := range f.holds {
		if h.until.After(now) {
			next = rollout.Earlier(next, h.until)
		}
	}
	return next
}

func (f *follower) nextRead() time.Time {
	if len(f.stale) == 0 {
		return time.Time{}
	}
	return cmp.Or(f.pause, time.Now().Add(readAgain))
}
