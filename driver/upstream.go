package driver

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"sync"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/upstream"
)

// Upstream is how the environment before this one is read, and how its releases
// come here. Nothing is ever written there.
type Upstream struct {
	// Open reaches that environment, as the spec names it.
	Open func(spec.Upstream) (*upstream.Source, error)
	// Keys are those that a release must be signed by to be taken over.
	Keys artifact.TrustedKeys
	// Take brings a release's archive from one of the sources into this
	// environment's stores.
	Take func(ctx context.Context, m artifact.Manifest, sources artifact.Source) error
}

// parallelRollouts is how many rollouts of versions from the environment before
// this one may be under way if the spec doesn't say.
const parallelRollouts = 4

// reopenAfter is how long nothing is tried when the environment before this one
// can't even be asked.
const reopenAfter = 10 * time.Second

// KeepUpstream has this environment know what the one before it has proven, until
// ctx ends: it reads there what is live and since when, takes the releases over,
// keeps what was found in this environment's own KV, and, where the spec asks for
// it, begins the rollouts that lead to the same versions here. That the other
// environment can't be reached is shown, and does no harm.
func (w *World) KeepUpstream(ctx context.Context) {
	if w.Upstream == nil {
		return
	}
	var working sync.WaitGroup
	defer working.Wait()
	environments := make(chan spec.Environment)
	working.Go(func() { w.watchEnvironment(ctx, environments) })
	var now spec.Environment
	end := func() {}
	for first := true; ; first = false {
		var env spec.Environment
		select {
		case <-ctx.Done():
			end()
			return
		case env = <-environments:
		}
		if !first && reflect.DeepEqual(env.After, now.After) && env.Parallel == now.Parallel {
			continue
		}
		now = env
		end()
		end = begin(ctx, func(ctx context.Context) { w.follow(ctx, env) })
	}
}

// watchEnvironment sends this environment's desired state whenever it changes.
func (w *World) watchEnvironment(ctx context.Context, environments chan<- spec.Environment) {
	w.Consul.WatchKey(ctx, w.Keys.Environment(), func(seen consul.Seen[consul.Entry]) {
		if seen.Err != nil || !seen.Changed {
			return
		}
		var env spec.Environment
		if seen.Value.Index != 0 {
			if err := json.Unmarshal(seen.Value.Value, &env); err != nil {
				w.Log.ErrorContext(ctx, "environment can't be read", "key", seen.Value.Key, "error", err)
				return
			}
		}
		send(ctx, environments, env)
	})
}

// follow follows the environment that the spec names, until ctx ends.
func (w *World) follow(ctx context.Context, env spec.Environment) {
	if env.After == nil {
		w.forgetUpstream(ctx)
		return
	}
	for ctx.Err() == nil {
		source, err := w.Upstream.Open(*env.After)
		if err == nil {
			newFollower(w, env, source).run(ctx)
			return
		}
		w.unopened(ctx, env.After.Environment, err)
		select {
		case <-ctx.Done():
		case <-time.After(reopenAfter):
		}
	}
}

// unopened says that the environment before this one can't even be asked.
func (w *World) unopened(ctx context.Context, env string, cause error) {
	w.Metrics.reached(env, false, time.Time{})
	contact, err := w.Contact(ctx)
	if err != nil {
		return // Active says that Consul is away
	}
	if contact.Upstream != env {
		contact = rollout.Contact{Upstream: env}
	}
	if contact.Error == clip(cause.Error()) {
		return
	}
	w.Log.WarnContext(ctx, "the environment before this one can't be read", "environment", env, "error", cause)
	if contact.Error == "" {
		contact.Since = time.Now().UTC()
	}
	contact.Error = clip(cause.Error())
	if err := w.KeepContact(ctx, w.Fence, contact); err != nil {
		w.Log.DebugContext(ctx, "how the other environment is read is not written", "error", err)
	}
}

// forgetUpstream removes what was known of an environment that counts no more.
func (w *World) forgetUpstream(ctx context.Context) {
	entries, err := w.Consul.List(ctx, w.Keys.Eligibles())
	if err != nil {
		return // it says nothing to anybody, and goes the next time
	}
	gone := make([]rollout.Eligibility, 0, len(entries))
	for _, e := range entries {
		gone = append(gone, rollout.Eligibility{Service: consul.Base(e.Key), Index: e.Index})
	}
	if err := w.KeepEligible(ctx, w.Fence, gone...); err != nil && ctx.Err() == nil {
		w.Log.DebugContext(ctx, "not removed", "error", err)
	}
}

// follower follows the environment before this one. Its fields belong to run's
// goroutine; others send it what they have found as a function.
type follower struct {
	*World

	after    spec.Upstream
	parallel int
	source   *upstream.Source
	events   chan func()

	seen  map[string]bool // folders of this environment that were read
	specs map[string]spec.Service
	here  map[string]upstream.Side
	kept  map[string]rollout.Eligibility // as they are in Consul
	wrote map[string]bool                // what was written and is not seen there yet

	stale map[string]bool                // services to be read there
	there map[string]rollout.Eligibility // what was read
	older map[string]string

	taking map[string]string    // versions on their way, by service
	taken  map[string]takenOver // by service
	holds  map[string]hold      // rollouts that could not be begun
	failed map[string]error     // what can't be read there, by what it is
	again  map[string]time.Time // services of which the release is tried again
	pause  time.Time            // nothing is read there before that
	told   rollout.Contact      // as it was written
	reach  rollout.Contact
	log    map[string]string // the last words on a service
}

// hold is why a rollout could not be begun, and until when it isn't tried again.
type hold struct {
	why   string
	until time.Time
}

func newFollower(w *World, env spec.Environment, source *upstream.Source) *follower {
	return &follower{
		World: w, after: *env.After, parallel: cmp.Or(env.Parallel, parallelRollouts), source: source, events: make(chan func()),
		seen: make(map[string]bool), specs: make(map[string]spec.Service), here: make(map[string]upstream.Side),
		kept: make(map[string]rollout.Eligibility), wrote: make(map[string]bool), stale: make(map[string]bool),
		there: make(map[string]rollout.Eligibility), older: make(map[string]string), taking: make(map[string]string),
		taken: make(map[string]takenOver), holds: make(map[string]hold), failed: make(map[string]error), again: make(map[string]time.Time),
		reach: rollout.Contact{Upstream: env.After.Environment}, log: make(map[string]string),
	}
}

// post has run's goroutine do something.
func (f *follower) post(ctx context.Context, event func()) { send(ctx, f.events, event) }

// run follows until ctx ends.
func (f *follower) run(ctx context.Context) {
	var working sync.WaitGroup
	defer working.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if contact, err := f.Contact(ctx); err == nil && contact.Upstream == f.after.Environment {
		f.told, f.reach = contact, contact
	}
	for folder, each := range map[string]func(string, consul.Entry){
		f.Keys.Specs(): f.sawSpec, f.Keys.Lives(): f.sawLive, f.Keys.Rollouts(): f.sawRecord, f.Keys.Eligibles(): f.sawKept,
	} {
		working.Go(func() { f.watch(ctx, folder, each) })
	}
	working.Go(func() { f.watchContact(ctx) })
	working.Go(func() {
		f.source.Watch(ctx,
			func(service string) { f.post(ctx, func() { f.stale[service] = true }) },
			func(folder string, err error) { f.post(ctx, func() { f.note(ctx, folder, err) }) })
	})
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case event := <-f.events:
			event()
			f.more()
		case <-timer.C:
		}
		timer.Reset(max(time.Until(f.turn(ctx, &working)), 0))
	}
}

// gather is how long what happens is gathered, so that the first look at a
// thousand services is one.
const gather = 20 * time.Millisecond

// more takes what comes right after an event.
func (f *follower) more() {
	quiet := time.NewTimer(gather)
	defer quiet.Stop()
	for {
		select {
		case event := <-f.events:
			event()
		case <-quiet.C:
			return
		}
	}
}

// watch tells of each key under a folder of this environment that has changed;
// of one that is gone with an Entry without an index.
func (f *follower) watch(ctx context.Context, folder string, each func(service string, e consul.Entry)) {
	known := make(map[string]uint64) // index by key
	f.Consul.WatchPrefix(ctx, folder, func(seen consul.Seen[[]consul.Entry]) {
		if seen.Err != nil {
			return // Active says so
		}
		changed := consul.Differ(known, seen.Value)
		f.post(ctx, func() {
			f.seen[folder] = true
			for _, e := range changed {
				each(e.Key[len(folder):], e)
			}
		})
	})
}

// watchContact has what is told of reading the other environment written again
// when it is gone, or was written over by what nobody can read.
func (f *follower) watchContact(ctx context.Context) {
	f.Consul.WatchKey(ctx, f.Keys.Upstream(), func(seen consul.Seen[consul.Entry]) {
		if seen.Err == nil && seen.Changed && ledger.ContactFrom(seen.Value).Upstream != f.after.Environment {
			f.post(ctx, func() { f.told = rollout.Contact{} })
		}
	})
}

func (f *follower) sawSpec(service string, e consul.Entry) {
	delete(f.specs, service)
	var s spec.Service
	if e.Index == 0 || json.Unmarshal(e.Value, &s) != nil || s.Name != service {
		return
	}
	f.specs[service], f.stale[service] = s, true
}

func (f *follower) sawLive(service string, e consul.Entry) {
	side := f.here[service]
	was := side.Live.Side()
	if live, err := pools.ParseLive(e.Value, e.Index); err == nil {
		side.Live = live
	}
	f.here[service] = side
	f.stale[service] = f.stale[service] || side.Live.Side() != was
}

func (f *follower) sawRecord(service string, e consul.Entry) {
	side := f.here[service]
	record, err := rollout.ParseRecord(e.Value, e.Index)
	if err != nil {
		return
	}
	// The history is read when one rollout takes the place of another.
	f.stale[service] = f.stale[service] || standsAs(side.Record) != standsAs(record)
	side.Record = slim(record)
	f.here[service] = side
}

// standsAs is what of a record decides whether another rollout may begin.
func standsAs(r *rollout.Record) string {
	if r == nil || !r.Phase.Ended() {
		return ""
	}
	return r.ID + string(r.Phase)
}

func (f *follower) sawKept(service string, e consul.Entry) {
	delete(f.wrote, service)
	delete(f.kept, service)
	if e.Index == 0 {
		return
	}
	kept, err := rollout.ParseEligibility(e.Value, e.Index)
	if err != nil {
		kept = &rollout.Eligibility{Index: e.Index} // to be written over
	}
	kept.Service = service
	f.kept[service] = *kept
	if _, known := f.there[service]; !known && kept.Upstream == f.after.Environment {
		kept.For = f.after.For
		f.there[service] = *kept
	}
}

// slim is a record without what takes most of its room.
func slim(r *rollout.Record) *rollout.Record {
	if r == nil {
		return nil
	}
	s := *r
	s.Timeline, s.Evidence, s.Gates, s.Members = nil, nil, nil, nil
	return &s
}

// note takes in how reading the other environment goes.
func (f *follower) note(ctx context.Context, what string, err error) {
	if err != nil && (errors.Is(err, context.Canceled) || ctx.Err() != nil) {
		return
	}
	f.failed[what] = err
	now := time.Now().UTC()
	var trouble string
	for _, failure := range f.failed {
		if failure != nil && (trouble == "" || failure.Error() < trouble) {
			trouble = clip(failure.Error())
		}
	}
	switch {
	case trouble == "" && f.reach.Error != "":
		f.Log.InfoContext(ctx, "the environment before this one can be read again", "environment", f.after.Environment)
		f.reach.Since = time.Time{}
	case trouble != "" && f.reach.Error == "":
		f.Log.WarnContext(ctx, "the environment before this one can't be read; nothing becomes eligible meanwhile", "environment", f.after.Environment, "error", err)
		f.reach.Since = now
	}
	if f.reach.Error = trouble; trouble == "" {
		f.reach.At = now
	}
	f.Metrics.reached(f.after.Environment, trouble == "", f.reach.At)
}

// clip bounds what others say, in bytes.
func clip(text string) string { return rollout.Clip(text, 400) }
