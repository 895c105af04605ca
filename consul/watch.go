package consul

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"github.com/hashicorp/consul/api"
)

// waitTime is how long Consul holds a blocking query without a change. Consul
// adds up to a sixteenth of it as jitter.
// Source: https://developer.hashicorp.com/consul/api-docs/features/blocking
const waitTime = time.Minute

// Seen is what a watch saw.
type Seen[T any] struct {
	Value T
	// Changed tells a change from a confirmation that nothing has changed,
	// which is what a blocking query gives that ran out of time.
	Changed bool
	// Err is set while Consul can't be read; Value is then the last one seen.
	Err error
	At  time.Time
}

// Query is a read that can block, as Consul's client has them.
type Query[T any] func(*api.QueryOptions) (T, *api.QueryMeta, error)

// Watch calls each with what query gives: first at once, then for every change
// and about once a minute without one, and once when reading begins to fail.
// It returns when ctx ends.
//
// A blocking query can return without a change, its index can fall (a restored
// snapshot, a new leader) and it must never be zero, or the query would not
// block; both are handled as Consul's documentation asks. A token bucket keeps
// a key that changes all the time from becoming a busy loop.
func Watch[T any](ctx context.Context, query Query[T], each func(Seen[T])) {
	watch(ctx, rate.NewLimiter(rate.Every(20*time.Millisecond), 5), query, each)
}

// calm is the pace of watches whose answers can be large and of which only the
// last one counts.
func calm() *rate.Limiter { return rate.NewLimiter(rate.Every(200*time.Millisecond), 3) }

func watch[T any](ctx context.Context, limit *rate.Limiter, query Query[T], each func(Seen[T])) {
	var (
		index   uint64
		last    T
		failing bool
		backoff = 100 * time.Millisecond
	)
	for ctx.Err() == nil {
		if limit.Wait(ctx) != nil {
			return
		}
		callCtx, cancel := context.WithTimeout(ctx, waitTime+waitTime/16+CallTimeout)
		value, meta, err := query((&api.QueryOptions{WaitIndex: index, WaitTime: waitTime}).WithContext(callCtx))
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if !failing {
				failing = true
				each(Seen[T]{Value: last, Err: wrap("watch", err), At: time.Now()})
			}
			index = 0 // after an outage, look at once instead of waiting for a change
			pause(ctx, backoff)
			backoff = min(2*backoff, 5*time.Second)
			continue
		}
		backoff = 100 * time.Millisecond
		changed := failing || index == 0 || meta.LastIndex != index
		index = nextIndex(index, meta.LastIndex)
		failing = false
		last = value
		each(Seen[T]{Value: value, Changed: changed, At: time.Now()})
	}
}

func nextIndex(old, seen uint64) uint64 {
	if seen < old {
		return 0
	}
	return max(seen, 1)
}

// WatchPrefix watches all keys under a prefix.
func (c *Client) WatchPrefix(ctx context.Context, prefix string, each func(Seen[[]Entry])) {
	Watch(ctx, func(q *api.QueryOptions) ([]Entry, *api.QueryMeta, error) {
		pairs, meta, err := c.api.KV().List(prefix, q)
		return entriesOf(pairs), meta, err
	}, each)
}

// WatchKey watches one key; a missing key is seen as an Entry with Index 0.
func (c *Client) WatchKey(ctx context.Context, key string, each func(Seen[Entry])) {
	Watch(ctx, func(q *api.QueryOptions) (Entry, *api.QueryMeta, error) {
		pair, meta, err := c.api.KV().Get(key, q)
		if err != nil || pair == nil {
			return Entry{Key: key}, meta, err
		}
		return entryOf(pair), meta, nil
	}, each)
}

// WatchService watches the instances of a service with their checks.
func (c *Client) WatchService(ctx context.Context, name string, each func(Seen[[]*api.ServiceEntry])) {
	Watch(ctx, func(q *api.QueryOptions) ([]*api.ServiceEntry, *api.QueryMeta, error) {
		return c.api.Health().Service(name, "", false, q)
	}, each)
}

// WatchServiceChanges tells that something of a service's instances or their
// checks has changed, several changes in a short time as one.
func (c *Client) WatchServiceChanges(ctx context.Context, name string, changed func()) {
	watch(ctx, calm(), func(q *api.QueryOptions) ([]*api.ServiceEntry, *api.QueryMeta, error) {
		return c.api.Health().Service(name, "", false, q)
	}, whenChanged[[]*api.ServiceEntry](changed))
}

// WatchKeyChanges tells that something under a prefix has changed, several
// changes in a short time as one.
func (c *Client) WatchKeyChanges(ctx context.Context, prefix string, changed func()) {
	watch(ctx, calm(), func(q *api.QueryOptions) ([]string, *api.QueryMeta, error) {
		return c.api.KV().Keys(prefix, "", q)
	}, whenChanged[[]string](changed))
}

func whenChanged[T any](changed func()) func(Seen[T]) {
	return func(seen Seen[T]) {
		if seen.Err == nil && seen.Changed {
			changed()
		}
	}
}
