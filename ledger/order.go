package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
)

// derived is a service's order as it is, and as its records say.
type derived struct {
	consul.Entry // as it is

	value  []byte // as it should be
	record *rollout.Record
	live   *pools.Live
}

// right tells whether the order says what it should.
func (d derived) right() bool { return d.Index != 0 && bytes.Equal(d.Value, d.value) }

// derive derives a service's order. It is read before the records, of which
// those that are nil are read, too: a transaction that is held to the order as
// it was is held to both, since none of them is written without it.
func (l *Ledger) derive(ctx context.Context, name string, record *rollout.Record, live *pools.Live) (derived, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.Order(name))
	if err != nil {
		return derived{}, err
	}
	if record == nil {
		if record, err = l.Record(ctx, name); err != nil {
			return derived{}, err
		}
	}
	if live == nil {
		if live, err = l.Live(ctx, name); err != nil {
			return derived{}, err
		}
	}
	value, err := json.Marshal(rollout.OrderOf(record, live))
	if err != nil {
		return derived{}, fmt.Errorf("write the order: %w", err)
	}
	return derived{Entry: entry, value: value, record: record, live: live}, nil
}

// orderOp writes the agents' order that follows from a change. One that says
// what it said before is not written again: a thousand agents watch it.
func (l *Ledger) orderOp(ctx context.Context, change *rollout.Change) (consul.Op, error) {
	d, err := l.derive(ctx, service(change), change.Record, change.Live)
	if err != nil {
		return consul.Op{}, err
	}
	if d.right() {
		return consul.Unchanged(d.Key, d.Index), nil
	}
	return consul.CAS(d.Key, d.value, d.Index), nil
}

// Derive puts a service's order right where it isn't what its records say:
// somebody has edited it, or the records are older than it is. It tells whether
// it had to.
func (l *Ledger) Derive(ctx context.Context, fence Fence, name string) (bool, error) {
	d, err := l.derive(ctx, name, nil, nil)
	if err != nil || d.right() {
		return false, err
	}
	if d.record == nil && d.live == nil && d.Index == 0 {
		return false, nil // there is nothing to say yet
	}
	ops := []consul.Op{consul.CAS(d.Key, d.value, d.Index), consul.Unchanged(l.Keys.Live(name), d.live.Read())}
	if d.record != nil {
		ops = append(ops, consul.Unchanged(l.Keys.Rollout(name), d.record.Index))
	}
	return true, l.fenced(ctx, fence, "put the order of "+name+" right", ops...)
}
