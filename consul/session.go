package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

// MinSessionTTL is the shortest TTL of a session that Consul takes by default.
// Source: https://developer.hashicorp.com/consul/api-docs/session
const MinSessionTTL = 10 * time.Second

// SessionOptions say what a session is to be.
type SessionOptions struct {
	Name string
	// TTL is how long it lives without a renewal. Consul may take twice as
	// long to notice.
	TTL time.Duration
	// LockDelay is how long a key stays locked after its session died; it
	// does not apply to what is released by its holder.
	LockDelay time.Duration
	// Delete removes the keys that the session holds when it ends; otherwise
	// they are released only.
	Delete bool
	// ID is a session of a former process to go on with, if it still lives.
	ID  string
	Log *slog.Logger
}

// Session is a Consul session that renews itself and knows by its own clock
// when it can no longer be relied on.
//
// It binds no health checks: a session bound to serfHealth is lost to a false
// positive of the failure detector, and one bound to the check of the service
// that is being restarted would be lost to the restart itself. What remains is
// the TTL, and a deadline of our own: from the moment at which the last
// successful renewal was *sent* plus the TTL less a margin, nothing may be
// done under the session, whatever Consul will later say.
type Session struct {
	client *Client
	id     string
	log    *slog.Logger

	mu       sync.Mutex
	deadline time.Time
	cause    error

	lost   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}
}

// NewSession creates a session, or goes on with opts.ID. It renews itself
// until Close or until it is lost.
func (c *Client) NewSession(ctx context.Context, opts SessionOptions) (*Session, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	s := &Session{client: c, log: opts.Log, lost: make(chan struct{}), done: make(chan struct{})}
	ttl := opts.TTL
	if opts.ID != "" {
		sent := time.Now()
		entry, err := s.renewOnce(ctx, opts.ID)
		switch {
		case err == nil:
			s.id, ttl = opts.ID, ttlOf(entry, opts.TTL)
			s.extend(sent, ttl)
		case !errors.Is(err, errSessionGone):
			return nil, err // it may well live, and hold what the caller needs
		}
	}
	if s.id == "" {
		behavior := api.SessionBehaviorRelease
		if opts.Delete {
			behavior = api.SessionBehaviorDelete
		}
		sent := time.Now()
		callCtx, cancel := context.WithTimeout(ctx, CallTimeout)
		id, _, err := c.api.Session().CreateNoChecks(&api.SessionEntry{
			Name:      opts.Name,
			TTL:       opts.TTL.String(),
			LockDelay: max(opts.LockDelay, time.Nanosecond), // zero would mean Consul's default of 15 s
			Behavior:  behavior,
		}, (&api.WriteOptions{}).WithContext(callCtx))
		cancel()
		if err != nil {
			return nil, wrap("create a Consul session", err)
		}
		s.id = id
		s.extend(sent, ttl)
	}
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = stop
	go s.renew(renewing, ttl)
	return s, nil
}

// ID is Consul's name of the session.
func (s *Session) ID() string { return s.id }

// Lost is closed when the session can no longer be relied on.
func (s *Session) Lost() <-chan struct{} { return s.lost }

// Err tells why the session was lost, nil while it holds. It looks at the
// clock, so that a process which was stopped for a while learns at once.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause != nil {
		return s.cause
	}
	if late := time.Since(s.deadline); late >= 0 {
		return fmt.Errorf("%w: session %s was not renewed in time, %s too late", ErrFenced, s.id, late.Round(time.Millisecond))
	}
	return nil
}

func (s *Session) left() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Until(s.deadline)
}

// Close ends the session and destroys it in Consul. What it holds with the
// delete behaviour goes with it; locks should be released before, since a
// destroyed session's locks are subject to the lock-delay.
func (s *Session) Close(ctx context.Context) error {
	s.Abandon()
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	_, err := s.client.api.Session().Destroy(s.id, (&api.WriteOptions{}).WithContext(ctx))
	return wrap("destroy the Consul session", err)
}

// Abandon stops the renewals and leaves the session to its TTL, for a process
// that will be started again and goes on with it.
func (s *Session) Abandon() {
	s.lose(errors.New("the session was closed"))
	s.cancel()
	<-s.done
}

// Check holds a transaction to the session still holding the key.
func (s *Session) Check(key string) Op {
	return Op{kv: api.KVTxnOp{Verb: api.KVCheckSession, Key: key, Session: s.id}, fences: true}
}

// Lock acquires the key within a transaction, which fails with ErrFenced if
// another session holds it or this one is gone.
func (s *Session) Lock(key string, value []byte) Op {
	return Op{kv: api.KVTxnOp{Verb: api.KVLock, Key: key, Value: value, Session: s.id}, fences: true}
}

// Unlock gives the key's lock back within a transaction, with a new value.
func (s *Session) Unlock(key string, value []byte) Op {
	return Op{kv: api.KVTxnOp{Verb: api.KVUnlock, Key: key, Value: value, Session: s.id}, fences: true}
}

// Acquire tries to lock the key once. False: somebody else holds it, or a
// lock-delay has not passed yet.
func (s *Session) Acquire(ctx context.Context, key string, value []byte) (bool, error) {
	if err := s.Err(); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	ok, _, err := s.client.api.KV().Acquire(&api.KVPair{Key: key, Value: value, Session: s.id}, (&api.WriteOptions{}).WithContext(ctx))
	return ok, wrap("lock "+key, err)
}

// Release gives the key's lock back and empties its value; no lock-delay
// follows.
func (s *Session) Release(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	_, _, err := s.client.api.KV().Release(&api.KVPair{Key: key, Session: s.id}, (&api.WriteOptions{}).WithContext(ctx))
	return wrap("release "+key, err)
}

// extend moves the deadline: a fifth of the TTL is kept as a margin for what
// is still under way when the deadline comes.
func (s *Session) extend(sent time.Time, ttl time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = sent.Add(ttl - ttl/5)
}

func (s *Session) lose(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.cause = cause
		close(s.lost)
	}
}

var errSessionGone = errors.New("the session is not known to Consul any more")

func (s *Session) renewOnce(ctx context.Context, id string) (*api.SessionEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, CallTimeout)
	defer cancel()
	entry, _, err := s.client.api.Session().Renew(id, (&api.WriteOptions{}).WithContext(ctx))
	if err != nil {
		return nil, wrap("renew the Consul session", err)
	}
	if entry == nil {
		return nil, errSessionGone
	}
	return entry, nil
}

// renew goes on until the session is closed or lost. Renewals come at about a
// quarter of the TTL, jittered, so that many agents which started together do
// not renew together; after an error they come faster.
func (s *Session) renew(ctx context.Context, ttl time.Duration) {
	defer close(s.done)
	failing := false
	for {
		pause := ttl / 4
		if failing {
			pause = ttl / 16
		}
		pause += time.Duration(rand.Int64N(int64(pause)/4 + 1))
		left := s.left()
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(pause, max(left, 0))):
		}
		if err := s.Err(); err != nil {
			s.log.WarnContext(ctx, "consul session lost", "session", s.id, "error", err)
			s.lose(err)
			return
		}
		sent := time.Now()
		callCtx, cancel := context.WithTimeout(ctx, max(ttl/5, time.Second))
		entry, err := s.renewOnce(callCtx, s.id)
		cancel()
		switch {
		case errors.Is(err, errSessionGone):
			s.log.WarnContext(ctx, "consul session lost", "session", s.id, "error", err)
			s.lose(fmt.Errorf("%w: %w", ErrFenced, err))
			return
		case ctx.Err() != nil:
			return
		case err != nil:
			failing = true
			s.log.WarnContext(ctx, "consul session not renewed", "session", s.id, "error", err)
		default:
			failing = false
			ttl = ttlOf(entry, ttl)
			s.extend(sent, ttl)
		}
	}
}

// ttlOf is the TTL that Consul answered, which may be longer than asked for.
func ttlOf(entry *api.SessionEntry, asked time.Duration) time.Duration {
	if ttl, err := time.ParseDuration(entry.TTL); err == nil && ttl > 0 {
		return ttl
	}
	return asked
}
