// Package rolling is the node's side of a release: each agent decides for
// itself, under Consul's session locks, when its node may be taken down, and
// replaces what runs there. It knows nothing of the switch.
package rolling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/rollout"
	"switchd/runner"
)

// Agent runs what one node should run in one environment.
type Agent struct {
	Consul *consul.Client
	Keys   consul.Keys
	Node   string
	// Address is what services listen on and are registered with.
	Address string
	Meta    map[string]string // of the node, to find its pools by
	// Root is the data directory, as an absolute path: journal, releases, logs.
	Root string
	// Runtimes are those that the node has, by the kind that a spec names.
	Runtimes map[string]runner.Runtime
	Stager   Stager
	// Preloader brings files of a release into memory; nil: nothing can be
	// preloaded here.
	Preloader Preloader
	Releases  Releases
	// Progress is what else is known of a fetch, by its archive's digest; nil:
	// nothing is.
	Progress func(digest string) (rollout.Progress, bool)
	TTL      time.Duration // of the agent's session
	// LockDelay is how long a slot stays taken after its holder's session was
	// lost: at least what a stop that is under way can take.
	LockDelay time.Duration
	// Reassert is how often it is looked whether the local Consul agent still
	// has the registrations; zero: every 25 seconds.
	Reassert time.Duration
	// Presence is what is written beside the node's name in Consul, for other
	// agents; nil: the address.
	Presence []byte
	Log      *slog.Logger

	journal *Journal

	mu      sync.Mutex
	session *consul.Session
	units   map[string]*unit
}

// Stager brings a release onto this node: fetched, verified and unpacked. Dir
// tells where it is, or would be.
type Stager interface {
	Stage(ctx context.Context, m artifact.Manifest, progress func(done, total int64)) (dir string, err error)
	Dir(m artifact.Manifest) string
}

// Releases reads manifests.
type Releases interface {
	Release(ctx context.Context, service, version string) (artifact.Manifest, error)
}

// Run runs until ctx ends. What it started goes on running then: that is for
// the next agent to take over.
func (a *Agent) Run(ctx context.Context) error {
	journal, err := OpenJournal(a.Root, a.Node)
	if journal == nil {
		return err
	}
	if err != nil {
		a.Log.ErrorContext(ctx, "journal", "error", err)
	}
	a.mu.Lock()
	a.journal = journal
	a.units = make(map[string]*unit)
	a.mu.Unlock()

	var work sync.WaitGroup
	defer work.Wait()
	// What ran before runs again at once, with or without Consul.
	for id, u := range journal.Units() {
		a.unit(ctx, &work, id, u.Name, u.Pool)
	}
	for id, held := range journal.AllHeld() {
		a.unit(ctx, &work, id, held.Service.Name, held.Pool)
	}
	work.Go(func() { a.keepSession(ctx) })

	view := newView(a.Node, a.Meta)
	changed := make(chan struct{}, 1)
	work.Go(func() { a.keepMeta(ctx, view, changed) })
	for _, prefix := range []string{a.Keys.Specs(), a.Keys.Orders()} {
		work.Go(func() {
			a.Consul.WatchPrefix(ctx, prefix, func(seen consul.Seen[[]consul.Entry]) {
				if seen.Err != nil {
					a.Log.WarnContext(ctx, "consul is away; services run on", "watch", prefix, "error", seen.Err)
					return
				}
				view.update(prefix, seen.Value, a.Log)
				select {
				case changed <- struct{}{}:
				default:
				}
			})
		})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		for _, o := range view.orders(a.Keys) {
			if !o.member && !a.has(o.id) {
				continue // somebody else's
			}
			a.unit(ctx, &work, o.id, o.service.Name, o.pool).tell(o)
		}
	}
}

// keepMeta asks now and then for the node's metadata, by which it comes into
// pools: it changes with a restart of the local Consul agent only.
func (a *Agent) keepMeta(ctx context.Context, view *view, changed chan<- struct{}) {
	const every = time.Minute
	for {
		sleep(ctx, every)
		if ctx.Err() != nil {
			return
		}
		self, err := a.Consul.Self(ctx)
		if err != nil || !view.setMeta(self.Meta) {
			continue
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}
}

// has tells whether there is a unit of that ID.
func (a *Agent) has(id string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.units[id] != nil
}

// unit finds or begins a unit.
func (a *Agent) unit(ctx context.Context, work *sync.WaitGroup, id, service, pool string) *unit {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u, found := a.units[id]; found {
		return u
	}
	u := &unit{agent: a, id: id, service: service, pool: pool, log: a.Log.With("unit", id), orders: make(chan order, 1), wake: make(chan struct{}, 1)}
	a.units[id] = u
	work.Go(func() { u.run(ctx) })
	return u
}

// Needs tells whether an unpacked release runs, or is about to, on this node.
func (a *Agent) Needs(dir string) bool {
	a.mu.Lock()
	journal := a.journal
	a.mu.Unlock()
	if journal == nil {
		return true // not known yet
	}
	if journal.Holds(dir) {
		return true
	}
	for _, u := range journal.Units() {
		if u.Running != nil && u.Running.Dir == dir || u.Move != nil && u.Move.To.Dir == dir {
			return true
		}
	}
	return false
}

// keepSession has a session at all times at which Consul allows it. Each one
// goes on with the former, which may be that of the former process, where
// Consul still knows it, and so with the slot that was held.
func (a *Agent) keepSession(ctx context.Context) {
	former := a.journal.Session()
	for ctx.Err() == nil {
		session, err := a.openSession(ctx, former)
		if err != nil {
			a.Log.WarnContext(ctx, "no Consul session yet", "error", err)
			sleep(ctx, time.Second)
			continue
		}
		a.mu.Lock()
		a.session = session
		units := make([]*unit, 0, len(a.units))
		for _, u := range a.units {
			units = append(units, u)
		}
		a.mu.Unlock()
		for _, u := range units {
			u.poke()
		}
		select {
		case <-ctx.Done(): // left to the next agent of this node
		case <-session.Lost():
		}
		session.Abandon()
		former = session.ID()
	}
}

// errTwin says that another agent runs under this node's name.
var errTwin = errors.New("another agent holds this node's name")

// openSession creates the session, notes it and takes the node's name with it,
// so that a second agent of the same name stays out.
func (a *Agent) openSession(ctx context.Context, former string) (*consul.Session, error) {
	session, err := a.Consul.NewSession(ctx, consul.SessionOptions{
		Name: "switchd agent " + a.Node, TTL: a.TTL, LockDelay: a.LockDelay, Delete: true, ID: former, Log: a.Log,
	})
	if err != nil {
		return nil, err
	}
	ok, err := session.Acquire(ctx, a.Keys.Presence()+a.Node, a.presence())
	if err == nil && ok {
		if err := a.journal.SetSession(session.ID()); err != nil {
			// The next agent of this node will wait for its end.
			a.Log.ErrorContext(ctx, "journal", "error", err)
		}
		return session, nil
	}
	if err == nil {
		err = fmt.Errorf("%w (%s%s); end it, or wait until its session has expired", errTwin, a.Keys.Presence(), a.Node)
	}
	if session.ID() == former {
		session.Abandon() // it may hold a slot that is still of use
	} else {
		_ = session.Close(context.WithoutCancel(ctx)) // its TTL ends it otherwise
	}
	return nil, err
}

func (a *Agent) presence() []byte {
	if a.Presence == nil {
		return []byte(a.Address)
	}
	return a.Presence
}

// errNoRuntime says that this agent can't run a kind of service.
var errNoRuntime = errors.New("this agent has no such runtime")

// runtime is the one that a service wants.
func (a *Agent) runtime(kind string) (runner.Runtime, error) {
	if rt := a.Runtimes[kind]; rt != nil {
		return rt, nil
	}
	return nil, fmt.Errorf("runtime %q: %w; it has %s", kind, errNoRuntime, strings.Join(slices.Sorted(maps.Keys(a.Runtimes)), ", "))
}

// current gives the session, or nil while there is none that can be relied on.
func (a *Agent) current() *consul.Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.session == nil || a.session.Err() != nil {
		return nil
	}
	return a.session
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
