package consul

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hashicorp/consul/api"
)

// Lease is the right to write, held by one process at a time: a key locked by
// a session. A writer puts Guard into each of its transactions.
//
// It stands beside api.Lock, which does not notice for minutes that its
// packets are dropped (hashicorp/consul#18271), renews without jitter (#9469)
// and knows no deadline of its own.
type Lease struct {
	session *Session
	key     string
}

// LeaseOptions say what lease is asked for.
type LeaseOptions struct {
	Key string
	// Holder is written into the key, for people.
	Holder    string
	TTL       time.Duration
	LockDelay time.Duration
	Log       *slog.Logger
}

// Acquire waits until this process holds the lease, or until ctx ends.
func (c *Client) Acquire(ctx context.Context, opts LeaseOptions) (*Lease, error) {
	for {
		session, err := c.NewSession(ctx, SessionOptions{
			Name: opts.Key, TTL: opts.TTL, LockDelay: opts.LockDelay, Log: opts.Log,
		})
		if err == nil {
			if err = session.await(ctx, opts.Key, []byte(opts.Holder)); err == nil {
				return &Lease{session: session, key: opts.Key}, nil
			}
			// It may hold the lease all the same, if only the answer was lost.
			_ = session.Close(context.WithoutCancel(ctx)) // Consul reaps it otherwise
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if opts.Log != nil {
			opts.Log.WarnContext(ctx, "lease not acquired, trying again", "lease", opts.Key, "error", err)
		}
		pause(ctx, time.Second)
	}
}

// await locks the key as soon as it is free. A free key can still be refused
// for the length of a lock-delay, which no blocking query announces.
func (s *Session) await(ctx context.Context, key string, value []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.Lost():
			cancel()
		case <-ctx.Done():
		}
	}()
	var index uint64
	for {
		pair, meta, err := s.client.api.KV().Get(key, (&api.QueryOptions{WaitIndex: index, WaitTime: waitTime}).WithContext(ctx))
		if err != nil {
			return wrap("watch "+key, err)
		}
		index = nextIndex(index, meta.LastIndex)
		if pair != nil && pair.Session != "" && pair.Session != s.id {
			continue
		}
		held, err := s.Acquire(ctx, key, value)
		if err != nil {
			return err
		}
		if held {
			return nil
		}
		index = 0 // the next look must not wait for a change
		pause(ctx, 250*time.Millisecond)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Guard holds a transaction to the lease. It refuses by itself where this
// process's own clock says that the lease can't be relied on.
func (l *Lease) Guard() (Op, error) {
	if err := l.session.Err(); err != nil {
		return Op{}, err
	}
	return l.session.Check(l.key), nil
}

// Lost is closed when the lease can no longer be relied on.
func (l *Lease) Lost() <-chan struct{} { return l.session.Lost() }

// Err tells why the lease was lost, nil while it holds.
func (l *Lease) Err() error { return l.session.Err() }

// Left is how long the lease can still be relied on without a renewal; negative
// if it can't any more.
func (l *Lease) Left() time.Duration { return l.session.left() }

// Release gives the lease to whoever waits for it, without a lock-delay.
func (l *Lease) Release(ctx context.Context) error {
	if err := l.session.Release(ctx, l.key); err != nil {
		l.session.Abandon()
		return err
	}
	return l.session.Close(ctx)
}

// pause waits for about d, between half of it and the whole.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d/2 + time.Duration(rand.Int64N(int64(d)/2))):
	}
}
