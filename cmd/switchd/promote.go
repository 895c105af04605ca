package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/status"
)

type promoteCmd struct {
	Service string `arg:"" optional:"" help:"Service to release, or SERVICE=VERSION for one of several."`
	Release string `arg:"" optional:"" name:"version" help:"Published version."`
	Detach  bool   `help:"Begin the rollout and return at once."`

	bypassFlags `embed:""`
	trainFlags  `embed:""`
}

func (c *promoteCmd) Help() string {
	return `Follows the rollout to its end. The exit status tells the outcome: 0 done, 10 failed, 11 halted, 12 rolled back.
Interrupting this command leaves the rollout running; replicas of "switchd serve" drive it.
Several releases, SERVICE=VERSION each or a line of --train FILE, go as a train: each after those that it depends on.`
}

// Validate is called by kong when the command line was read.
func (c *promoteCmd) Validate() error {
	if c.RollbackTrain {
		return nil // whose reason --why is
	}
	return c.validate()
}

func (c *promoteCmd) Run(a *app) error {
	if mine, err := c.train(a); mine || err != nil {
		return err
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	if _, err := l.Service(a.ctx, c.Service); err != nil {
		return err
	}
	released, err := l.Released(a.ctx, c.Service, c.Release)
	if err != nil {
		return err
	}
	bypasses, err := c.bypasses(a, l)
	if err != nil {
		return err
	}
	record, err := a.goAround(l, c.Service, c.Release, bypasses)
	if err != nil {
		return err
	}
	if record != nil {
		return c.end(a, l, record)
	}
	change, err := a.operateOn(l, c.Service, func(by string, s rollout.Situation) (*rollout.Change, error) {
		s.Released = released
		now := time.Now()
		return rollout.Promote(s, ledger.NewID(c.Service, c.Release, now), c.Release, by, now, bypasses...)
	})
	if err != nil {
		return err
	}
	record = change.Record
	a.printf("%s: %s goes to %s (rollout %s)\n", c.Service, record.Version, record.Pool, record.ID)
	return c.end(a, l, record)
}

// end follows the rollout, unless that isn't wanted.
func (c *promoteCmd) end(a *app, l *ledger.Ledger, record *rollout.Record) error {
	a.noteUndriven(l, "the rollout")
	if c.Detach {
		a.printf("follow it with: switchd status %s --watch\n", c.Service)
		return nil
	}
	return a.follow(l, record)
}

// follow prints what happens to a rollout until it ends or is halted.
func (a *app) follow(l *ledger.Ledger, record *rollout.Record) error {
	ctx, cancel := context.WithCancel(a.ctx)
	defer cancel()
	f := follower{app: a, start: record.At}
	if n := len(record.Timeline); n > 0 {
		f.last = record.Timeline[n-1] // that it was promoted has been told
	}
	f.show(record)
	l.Consul.WatchKey(ctx, l.Keys.Rollout(record.Service), func(seen consul.Seen[consul.Entry]) {
		if seen.Err != nil {
			a.notef("switchd: Consul is away, the rollout's state is not known: %v\n", seen.Err)
			return
		}
		now, err := rollout.ParseRecord(seen.Value.Value, seen.Value.Index)
		switch {
		case err != nil:
			f.err = err
		case now == nil || now.ID != record.ID:
			// It has ended, and the next one came before that was seen.
			if now, f.err = ended(ctx, l, record); f.err == nil {
				f.show(now)
			}
		default:
			f.show(now)
		}
		if f.err != nil || f.ended {
			cancel()
		}
	})
	switch {
	case f.err != nil:
		return f.err
	case !f.ended:
		return &outcomeError{statusInterrupted, fmt.Sprintf("interrupted; the rollout goes on without this command, `switchd status %s --watch` follows it", record.Service)}
	}
	return f.outcome()
}

// ended reads a rollout from the history.
func ended(ctx context.Context, l *ledger.Ledger, record *rollout.Record) (*rollout.Record, error) {
	records, err := l.History(ctx, record.Service)
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		if r.ID == record.ID {
			return r, nil
		}
	}
	return nil, fmt.Errorf("rollout %s was removed from Consul; its outcome is not known", record.ID)
}

// follower prints each event once.
type follower struct {
	*app

	start time.Time
	last  rollout.Event // the last one that was printed
	wait  string
	now   *rollout.Record
	ended bool
	err   error
}

func (f *follower) show(r *rollout.Record) {
	f.now = r
	// Events of one decision have the same time, so that it can't tell the new
	// ones from those that were printed.
	told := slices.IndexFunc(r.Timeline, func(e rollout.Event) bool {
		return e.At.Equal(f.last.At) && e.Phase == f.last.Phase && e.What == f.last.What
	})
	for _, e := range r.Timeline[told+1:] {
		f.last = e
		f.line(e.At, e.Phase, e.What)
	}
	if r.Wait != nil && r.Wait.For != f.wait {
		f.wait = r.Wait.For
		f.line(time.Now(), r.Phase, "waits "+r.Wait.For)
	}
	f.ended = r.Phase.Ended() || r.Phase == rollout.Halted
}

func (f *follower) line(at time.Time, phase rollout.Phase, what string) {
	f.printf("%7.1fs  %-10s  %s\n", at.Sub(f.start).Seconds(), phase, status.Printable(what))
}

func (f *follower) outcome() error {
	r := f.now
	switch r.Phase {
	case rollout.Done:
		return nil
	case rollout.Halted:
		return &outcomeError{statusHalted, fmt.Sprintf("%s %s is halted: %s; go on with `switchd resume %s`, or end it with `switchd rollback %s`", r.Service, r.Version, r.Halt.Why, r.Service, r.Service)}
	case rollout.RolledBack:
		return &outcomeError{statusRolledBack, fmt.Sprintf("%s %s was rolled back: %s", r.Service, r.Version, r.Outcome)}
	default:
		return &outcomeError{statusFailed, fmt.Sprintf("%s %s failed: %s", r.Service, r.Version, r.Outcome)}
	}
}
