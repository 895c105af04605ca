package driver

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"switchd/consul"
	"switchd/notify"
	"switchd/rollout"
)

// Notices is what a replica tells people with.
type Notices struct {
	Post *notify.Post
	// Page is the URL of the replica's status page, "" if it has none for people.
	Page string
}

const (
	// noticesAgain is when something is tried again that could not be read or
	// written.
	noticesAgain = 5 * time.Second
	// unknownAgain is when the file of addresses is looked at again for a name that
	// it didn't have, or an address that had no room.
	unknownAgain = 30 * time.Second
)

// KeepNotices counts what becomes of rollouts, and tells it to those whom their
// specs name, until ctx ends. What was told is written down when it was delivered:
// a replica that dies in between has it told twice, and never not at all.
//
// Nothing waits for it: it watches the records as they are written.
func (w *World) KeepNotices(ctx context.Context) {
	t := &teller{World: w, services: make(map[string]*told), unknown: make(map[string]bool), changed: make(chan change), closed: make(chan delivery)}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer t.Metrics.unanswered()
	defer watching.Wait()
	defer cancel()
	for _, folder := range []string{w.Keys.Specs(), w.Keys.Lives(), w.Keys.Rollouts()} {
		watching.Go(func() { t.watch(ctx, folder) })
	}
	if w.Notices != nil {
		t.desk = w.Notices.Post.Open(ctx)
		// Before it closes, nobody may wait for what was delivered to be read.
		defer t.desk.Close()
		defer cancel()
	}
	t.run(ctx)
}

// teller is the loop that tells.
type teller struct {
	*World

	desk     *notify.Desk // nil: nobody is told
	services map[string]*told
	unknown  map[string]bool // names that were logged
	changed  chan change
	closed   chan delivery
}

// change is a key that was seen to change.
type change struct {
	folder string
	entry  consul.Entry // without a value if it is gone
	first  bool         // it was there when the watch began
}

// delivery is what became of a notice.
type delivery struct {
	service string
	key     notify.Key
	outcome notify.Outcome
}

// watch sends what changes in a folder.
func (t *teller) watch(ctx context.Context, folder string) {
	known := make(map[string]uint64)
	first := true
	t.Consul.WatchPrefix(ctx, folder, func(seen consul.Seen[[]consul.Entry]) {
		if seen.Err != nil {
			return // Active says so
		}
		if folder == t.Keys.Rollouts() {
			t.Metrics.answered(seen.At)
		}
		for _, e := range consul.Differ(known, seen.Value) {
			send(ctx, t.changed, change{folder, e, first})
		}
		first = false
	})
}

func (t *teller) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-t.changed:
			t.take(ctx, c)
		case d := <-t.closed:
			t.note(ctx, d)
		case <-timer.C:
			t.again(ctx)
		}
		timer.Reset(t.next())
	}
}

// next is how long nothing is to be done, if nothing changes.
func (t *teller) next() time.Duration {
	var first time.Time
	for _, s := range t.services {
		first = rollout.Earlier(first, s.wake)
	}
	if first.IsZero() {
		return time.Hour
	}
	return max(time.Until(first), 0)
}

// again looks after the services whose time has come.
func (t *teller) again(ctx context.Context) {
	now := time.Now()
	for name, s := range t.services {
		if !s.wake.IsZero() && !s.wake.After(now) {
			t.look(ctx, name, s)
		}
	}
}

// take takes in a key that has changed.
func (t *teller) take(ctx context.Context, c change) {
	name := strings.TrimPrefix(c.entry.Key, c.folder)
	s := t.services[name]
	if s == nil {
		s = &told{facts: notify.Facts{Environment: t.Keys.Env}, open: make(map[string]bool)}
		if t.Notices != nil {
			s.facts.Page = t.Notices.Page
		}
		t.services[name] = s
		t.Metrics.know(name)
	}
	before := s.facts
	if err := s.parse(c, t.Keys); err != nil {
		t.Log.ErrorContext(ctx, "what becomes of rollouts can't be told", "service", name, "error", err)
		return
	}
	if !c.first && c.folder != t.Keys.Specs() {
		t.Metrics.happened(before, s.facts)
	}
	if was, is := before.Record, s.facts.Record; was != nil && is != nil && was.ID != is.ID && !was.Phase.Ended() {
		// The next rollout came before the end of the last one was seen.
		t.past(ctx, name, s, was.ID)
	}
	t.look(ctx, name, s)
}

// look has told what is due of a service, and writes down what was told.
func (t *teller) look(ctx context.Context, name string, s *told) {
	s.wake = time.Time{}
	if t.desk == nil {
		return
	}
	now := time.Now()
	if !s.read {
		// Of a service at rest, nothing needs to be known.
		if due, wake := notify.Due(s.facts, notify.Memory{}, now); len(due) == 0 && !s.unsaved {
			s.wake = wake
			return
		}
		if !t.remember(ctx, name, s) {
			s.wake = now.Add(noticesAgain)
			return
		}
		if last := s.memory.Rollout(); last != "" && s.facts.Record != nil && last != s.facts.Record.ID {
			t.past(ctx, name, s, last)
		}
	}
	t.tell(ctx, name, s, s.facts, now)
	if s.unsaved {
		t.save(ctx, name, s)
	}
}

// past tells how a rollout ended that the record is no more about.
func (t *teller) past(ctx context.Context, name string, s *told, id string) {
	if t.desk == nil || !s.read && !t.remember(ctx, name, s) {
		return
	}
	record, err := t.Ended(ctx, name, id)
	if err != nil {
		t.Log.WarnContext(ctx, "the end of a rollout is not told", "service", name, "rollout", id, "error", err)
		return
	}
	if record == nil {
		return // the history keeps some of them only
	}
	facts := s.facts
	facts.Record, facts.Live = record, nil
	t.tell(ctx, name, s, facts, time.Now())
}

// tell gives away what is due.
func (t *teller) tell(ctx context.Context, name string, s *told, facts notify.Facts, now time.Time) {
	due, wake := notify.Due(facts, s.memory, now)
	for _, n := range due {
		if s.open[n.String()] {
			continue
		}
		err := t.desk.Take(n, func(o notify.Outcome) {
			select {
			case t.closed <- delivery{name, n.Key, o}:
			case <-ctx.Done():
			}
		})
		t.known(ctx, n.To, !errors.Is(err, notify.ErrUnknownName))
		if err != nil {
			// The file of addresses may be mended, or an address get room.
			wake = rollout.Earlier(wake, now.Add(unknownAgain))
			continue
		}
		s.open[n.String()] = true
	}
	s.wake = rollout.Earlier(s.wake, wake)
}

// known says once of a name that there are no addresses for it.
func (t *teller) known(ctx context.Context, to string, known bool) {
	if known == !t.unknown[to] {
		return
	}
	t.unknown[to] = !known
	t.Notices.Post.Metrics.Unknown(to, !known)
	if !known {
		t.Log.WarnContext(ctx, "somebody is to be told whom the file of addresses doesn't have", "name", to)
	}
}
