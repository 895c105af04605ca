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

// orderOp writes the agents' order that follows from a change. One that says
// what it said before is not written again: a thousand agents watch it. Either
// way the transaction is held to the order that was read first, and so to both
// records that it was derived from: none of them is written without it.
func (l *Ledger) orderOp(ctx context.Context, change *rollout.Change) (consul.Op, error) {
	name := service(change)
	entry, err := l.Consul.Get(ctx, l.Keys.Order(name))
	if err != nil {
		return consul.Op{}, err
	}
	record, live := change.Record, change.Live
	if record == nil {
		if record, err = l.Record(ctx, name); err != nil {
			return consul.Op{}, err
		}
	}
	if live == nil {
		if live, err = l.Live(ctx, name); err != nil {
			return consul.Op{}, err
		}
	}
	value, err := orderValue(record, live)
	if err != nil {
		return consul.Op{}, err
	}
	if entry.Index != 0 && bytes.Equal(entry.Value, value) {
		return consul.Unchanged(entry.Key, entry.Index), nil
	}
	return consul.CAS(entry.Key, value, entry.Index), nil
}

func orderValue(record *rollout.Record, live *pools.Live) ([]byte, error) {
	value, err := json.Marshal(rollout.OrderOf(record, live))
	if err != nil {
		return nil, fmt.Errorf("write the order: %w", err)
	}
	return value, nil
}

// Derive puts a service's order right where it isn't what its records say:
// somebody has edited it, or the records are older than it is. It tells whether
// it had to.
func (l *Ledger) Derive(ctx context.Context, fence Fence, name string) (bool, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.Order(name))
	if err != nil {
		return false, err
	}
	record, err := l.Record(ctx, name)
	if err != nil {
		return false, err
	}
	live, err := l.Live(ctx, name)
	if err != nil {
		return false, err
	}
	value, err := orderValue(record, live)
	if err != nil || entry.Index != 0 && bytes.Equal(entry.Value, value) {
		return false, err
	}
	if record == nil && live == nil && entry.Index == 0 {
		return false, nil // there is nothing to say yet
	}
	ops := []consul.Op{consul.CAS(entry.Key, value, entry.Index), consul.Unchanged(l.Keys.Live(name), live.Read())}
	if record != nil {
		ops = append(ops, consul.Unchanged(l.Keys.Rollout(name), record.Index))
	}
	guard, err := fence.Guard()
	if err != nil {
		return false, err
	}
	return true, l.Consul.Txn(ctx, "put the order of "+name+" right", append([]consul.Op{guard}, ops...)...)
}
