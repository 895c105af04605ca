package ledger

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/pools"
)

// readsAtOnce is how many services are looked at together.
const readsAtOnce = 8

// DeriveAnswering brings the records of the nodes that DNS answers with up to
// what health says now, those of several services under one new serial. It
// tells whether it had to write any.
func (l *Ledger) DeriveAnswering(ctx context.Context, services ...string) (bool, error) {
	writes := make([]*answeringWrite, len(services))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(readsAtOnce)
	for i, service := range services {
		group.Go(func() (err error) {
			writes[i], err = l.answeringWrite(groupCtx, service)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	writes = slices.DeleteFunc(writes, func(w *answeringWrite) bool { return w == nil })
	for rest := writes; len(rest) > 0; {
		var ops []consul.Op
		for size := 0; len(rest) > 0 && len(ops) < consul.MaxOps-1; rest = rest[1:] {
			if size += len(rest[0].value); size > maxDerived {
				break
			}
			ops = append(ops, consul.CAS(rest[0].key, rest[0].value, rest[0].index))
		}
		if err := l.moveSerial(ctx, "write the nodes that DNS answers with", ops...); err != nil {
			return false, err
		}
	}
	return len(writes) > 0, nil
}

// answeringWrite is a record to be written.
type answeringWrite struct {
	key   string
	value []byte
	index uint64
}

// answeringWrite is what has to be written for one service, nil if nothing.
// The record is read before health, so that it can't be written over by what
// health said before it.
func (l *Ledger) answeringWrite(ctx context.Context, service string) (*answeringWrite, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.Answering(service))
	if err != nil {
		return nil, err
	}
	have, err := pools.ParseAnswering(entry.Value, entry.Index)
	if err != nil {
		have = nil // edited by hand, perhaps; it is derived anew
	}
	now, err := pools.Read(ctx, l.Consul, service)
	if err != nil {
		return nil, err
	}
	next := have.Next(now)
	if next.Same(have) {
		return nil, nil //nolint:nilnil // nothing to write is an ordinary state
	}
	value, err := marshalBounded(entry.Key, next)
	if err != nil {
		return nil, err
	}
	return &answeringWrite{entry.Key, value, entry.Index}, nil
}
