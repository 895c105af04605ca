package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"switchd/consul"
	"switchd/notify"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// told is one service.
type told struct {
	facts notify.Facts
	// memory is what Consul has, once it was read; index is its key's.
	memory  notify.Memory
	index   uint64
	read    bool
	unsaved bool
	// open are the keys of the notices on their way.
	open map[string]bool
	// wake is when to look again though nothing changes; zero: not.
	wake time.Time
}

func (s *told) parse(c change, keys consul.Keys) (err error) {
	switch c.folder {
	case keys.Specs():
		s.facts.Spec = spec.Service{}
		if c.entry.Index > 0 {
			err = json.Unmarshal(c.entry.Value, &s.facts.Spec)
		}
	case keys.Lives():
		s.facts.Live, err = pools.ParseLive(c.entry.Value, c.entry.Index)
	case keys.Rollouts():
		s.facts.Record, err = rollout.ParseRecord(c.entry.Value, c.entry.Index)
	}
	if err != nil {
		return fmt.Errorf("parse %s in Consul: %w", c.entry.Key, err)
	}
	return nil
}

// note takes note of what became of a notice.
func (t *teller) note(ctx context.Context, d delivery) {
	s := t.services[d.service]
	delete(s.open, d.key.String())
	if d.outcome == notify.Returned {
		s.wake = rollout.Earlier(s.wake, time.Now().Add(noticesAgain))
		return
	}
	s.memory = s.memory.Note(notify.Told{Key: d.key, At: time.Now().UTC(), Missed: d.outcome == notify.Missed})
	s.unsaved = true
	t.look(ctx, d.service, s)
}

// remember reads what was told of a service, and adds what was told since.
func (t *teller) remember(ctx context.Context, name string, s *told) bool {
	entry, err := t.Consul.Get(ctx, t.Keys.Notice(name))
	if err != nil {
		return false // Active says that Consul is away
	}
	memory, err := notify.ParseMemory(entry.Value)
	if err != nil {
		t.Log.ErrorContext(ctx, "what was told begins anew", "key", entry.Key, "error", err)
	}
	for _, since := range s.memory.Told {
		memory = memory.Note(since)
	}
	s.memory, s.index, s.read = memory, entry.Index, true
	return true
}

// save writes down what was told, under the lease.
func (t *teller) save(ctx context.Context, name string, s *told) {
	err := t.write(ctx, name, s)
	if errors.Is(err, consul.ErrConflict) && t.remember(ctx, name, s) {
		err = t.write(ctx, name, s)
	}
	if err != nil {
		t.Log.DebugContext(ctx, "what was told is not written down yet", "service", name, "error", err)
		s.wake = rollout.Earlier(s.wake, time.Now().Add(noticesAgain))
	}
}

func (t *teller) write(ctx context.Context, name string, s *told) error {
	value, err := json.Marshal(s.memory)
	if err != nil {
		return fmt.Errorf("write down what was told: %w", err)
	}
	guard, err := t.Fence.Guard()
	if err != nil {
		return err
	}
	key := t.Keys.Notice(name)
	if err := t.Consul.Txn(ctx, "write down what was told", guard, consul.CAS(key, value, s.index)); err != nil {
		return err
	}
	entry, err := t.Consul.Get(ctx, key)
	if err != nil {
		s.read = false // the next look reads its index
		return nil
	}
	s.index, s.unsaved = entry.Index, false
	return nil
}
