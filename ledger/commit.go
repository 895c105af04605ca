package ledger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"switchd/consul"
	"switchd/pools"
	"switchd/rollout"
)

// Fence is what holds a transaction to its writer's lease.
type Fence interface {
	Guard() (consul.Op, error)
}

const (
	// keptRollouts is how many ended rollouts of a service its history keeps.
	keptRollouts = 30
	// maxRecords bounds an ended record and its copy in the history, in bytes:
	// Consul takes 512 KiB a transaction, in which they stand in base64.
	// Source: https://developer.hashicorp.com/consul/docs/agent/config/config-files#txn_max_req_len
	maxRecords = 360 << 10
)

// Also gives further operations for a change's transaction, such as the keys of
// a bypass. It is asked at each try, when the change is decided; an error of it
// is that of the whole write.
type Also func(ctx context.Context, change *rollout.Change) ([]consul.Op, error)

// Commit writes a change in one transaction: the fence, the rollout record,
// the live record, the zone's serial and the agents' order, each by
// compare-and-set, and what is also to be written. An ended rollout goes into
// the history along with it. A live record that is not written must be the one
// that was seen.
func (l *Ledger) Commit(ctx context.Context, fence Fence, change *rollout.Change, also ...Also) error {
	if change.Ready != nil {
		now, err := pools.Read(ctx, l.Consul, service(change))
		if err != nil {
			return err
		}
		if err := change.Ready(now); err != nil {
			return err
		}
	}
	var ops []consul.Op
	if change.Record != nil {
		written, err := l.recordOps(ctx, change.Record)
		if err != nil {
			return err
		}
		ops = append(ops, written...)
	}
	if change.Live == nil {
		// What was decided on one live record must not be written beside
		// another: a rollback that came in between wins.
		ops = append(ops, consul.Unchanged(l.Keys.Live(service(change)), change.Saw))
	} else {
		live, err := l.liveOps(ctx, change.Live)
		if err != nil {
			return err
		}
		ops = append(ops, live...)
	}
	order, err := l.orderOp(ctx, change)
	if err != nil {
		return err
	}
	ops = append(ops, order)
	for _, more := range append([]Also{l.bypassOps}, also...) {
		written, err := more(ctx, change)
		if err != nil {
			return err
		}
		ops = append(ops, written...)
	}
	return l.fenced(ctx, fence, change.What, ops...)
}

// fenced does operations in one transaction with a fence. It is asked last, so
// that everything that led to them is covered by it.
func (l *Ledger) fenced(ctx context.Context, fence Fence, action string, ops ...consul.Op) error {
	guard, err := fence.Guard()
	if err != nil {
		return err
	}
	return l.Consul.Txn(ctx, action, append([]consul.Op{guard}, ops...)...)
}

func service(change *rollout.Change) string {
	if change.Record != nil {
		return change.Record.Service
	}
	return change.Live.Service
}

// liveOps writes a live record and moves the zone's serial with it, so that
// all replicas have the same serial for the same answers.
func (l *Ledger) liveOps(ctx context.Context, live *pools.Live) ([]consul.Op, error) {
	if err := live.Validate(); err != nil {
		return nil, err
	}
	value, err := json.Marshal(live)
	if err != nil {
		return nil, fmt.Errorf("write the live record: %w", err)
	}
	serial, err := l.serialOp(ctx)
	if err != nil {
		return nil, err
	}
	return []consul.Op{consul.CAS(l.Keys.Live(live.Service), value, live.Index), serial}, nil
}

// recordOps writes a rollout record. One that has ended goes into the history
// too, in the place of the oldest ones.
func (l *Ledger) recordOps(ctx context.Context, r *rollout.Record) ([]consul.Op, error) {
	kept := *r
	if r.Phase.Ended() {
		kept.Evidence = nil // only the history has it
	}
	value, err := json.Marshal(&kept)
	if err != nil {
		return nil, fmt.Errorf("write the rollout record: %w", err)
	}
	ops := []consul.Op{consul.CAS(l.Keys.Rollout(r.Service), value, r.Index)}
	if !r.Phase.Ended() {
		return ops, nil
	}
	past, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("write the rollout record: %w", err)
	}
	if len(value)+len(past) > maxRecords {
		past = value // the names of thousands of nodes leave no room for it
	}
	forget, err := l.forget(ctx, r.Service)
	if err != nil {
		return nil, err
	}
	return append(append(ops, consul.CAS(l.Keys.History(r.Service, r.ID), past, 0)), forget...), nil
}

// forget makes room in the history for one more. It doesn't look into the
// records: one that can't be read must not keep a rollout from its end.
func (l *Ledger) forget(ctx context.Context, service string) ([]consul.Op, error) {
	entries, err := l.listByAge(ctx, l.Keys.Histories(service))
	if err != nil {
		return nil, err
	}
	surplus := max(len(entries)-keptRollouts+1, 0)
	var ops []consul.Op
	for _, entry := range entries[:min(surplus, consul.MaxOps/2)] {
		ops = append(ops, consul.DeleteCAS(entry.Key, entry.Index))
	}
	return ops, nil
}

// Operator is the short lease under which a command writes. Its session lives
// ten seconds without a renewal, so that a command which is suspended between
// its look at the pools and its write can't write on what it saw minutes ago.
type Operator struct {
	session *consul.Session
	key     string
	by      string
}

// Operate opens an operator's lease; Close ends it.
func (l *Ledger) Operate(ctx context.Context, by string) (*Operator, error) {
	session, err := l.Consul.NewSession(ctx, consul.SessionOptions{Name: "switchd operator " + by, TTL: consul.MinSessionTTL, Delete: true})
	if err != nil {
		return nil, err
	}
	return &Operator{session: session, key: l.Keys.Operators() + session.ID(), by: by}, nil
}

// Guard locks the operator's key within the transaction, which fails when the
// session is gone.
func (o *Operator) Guard() (consul.Op, error) {
	if err := o.session.Err(); err != nil {
		return consul.Op{}, err
	}
	return o.session.Lock(o.key, []byte(o.by)), nil
}

// hold takes a key that one operator at a time can have, and puts the lease
// under it. It doesn't wait for one that another has.
func (o *Operator) hold(ctx context.Context, key string) error {
	ok, err := o.session.Acquire(ctx, key, []byte(o.by))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: another one is under way (%s is locked); wait for its end and look at what it has changed", consul.ErrConflict, key)
	}
	o.key = key
	return nil
}

// Close ends the lease.
func (o *Operator) Close(ctx context.Context) error { return o.session.Close(ctx) }

// tries bounds how often a command looks and writes again after a conflict.
const tries = 20

// Do observes a service, asks what is to be changed and commits it under a
// short lease of its own. When another writer was faster it looks again, so
// that a rollback wins over a rollout in flight.
func (l *Ledger) Do(ctx context.Context, name, by string, operation func(rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error) {
	return l.doAlso(ctx, name, by, operation)
}

// doAlso is Do with further operations in the change's transaction.
func (l *Ledger) doAlso(ctx context.Context, name, by string, operation func(rollout.Situation) (*rollout.Change, error), also ...Also) (change *rollout.Change, err error) {
	err = l.operate(ctx, by, func(operator *Operator) error {
		s, err := l.look(ctx, name)
		if err != nil {
			return err
		}
		if change, err = operation(s); err != nil {
			return err
		}
		return l.Commit(ctx, operator, change, also...)
	})
	if err != nil {
		return nil, err
	}
	return change, nil
}

// operate has something written under a short lease of its own, until no other
// writer is faster.
func (l *Ledger) operate(ctx context.Context, by string, write func(*Operator) error) error {
	operator, err := l.Operate(ctx, by)
	if err != nil {
		return err
	}
	defer func() { _ = operator.Close(context.WithoutCancel(ctx)) }() // its TTL ends it otherwise
	return insist(func() error { return write(operator) })
}

// insist is again for a single write, and says what to do when others were always
// faster.
func insist(write func() error) error {
	err := again(write)
	if errors.Is(err, consul.ErrConflict) {
		return fmt.Errorf("%w; others were faster %d times in a row and nothing was written: try again", err, tries)
	}
	return err
}

// again looks and writes until no other writer is faster.
func again(write func() error) error {
	for try := 1; ; try++ {
		err := write()
		if !errors.Is(err, consul.ErrConflict) || try == tries {
			return err
		}
	}
}

// NewID names a rollout: sortable by time, unique.
func NewID(service, version string, now time.Time) string {
	return uniqueID(service+"-"+version, now)
}

func uniqueID(prefix string, now time.Time) string {
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%s-%s-%s", prefix, now.UTC().Format("20060102T150405"), hex.EncodeToString(b[:]))
}
