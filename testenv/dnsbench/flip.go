//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/sys/unix"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/spec"
)

const (
	// flipTimeout bounds all flips.
	flipTimeout = 2 * time.Minute
	// flipPause is the time from when a flip was seen to the next one, or up
	// to twice that: they must not keep step with anything.
	flipPause = 50 * time.Millisecond
)

// flipCmd asks for the flip name as fast as it is answered, while it flips to
// and fro, and tells how long after Consul's word each flip was answered.
type flipCmd struct {
	Server netip.AddrPort `required:""`
	Consul string         `required:""`
	CPU    int            `required:""`
	Flips  int            `required:""`
}

// flipsSeen is what flipCmd prints.
type flipsSeen struct {
	Flips         int
	P50, P99, Max time.Duration // from the event in Consul to the first new answer
	QPS           float64
	Lost          int
	Stale         int // old answers to what was asked after a new one had come
}

// Run implements a command.
func (c *flipCmd) Run(ctx context.Context) error {
	client, err := consul.NewClient(consul.Flags{HTTPAddr: c.Consul})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := newFlipWatch()
	events := make(chan sight)
	var took []time.Duration
	var work sync.WaitGroup
	work.Go(func() { cancel(watch(ctx, client, events)) })
	work.Go(func() {
		defer w.enough.Store(true)
		var err error
		took, err = c.flipAll(ctx, client, w, events)
		cancel(err)
	})
	// This thread alone keeps to the core; what watches Consul may use any.
	var cpus unix.CPUSet
	cpus.Set(c.CPU)
	err = unix.SchedSetaffinity(0, &cpus)
	var out outcome
	if err == nil {
		out, err = (&sender{
			server: c.Server, questions: []question{chained(spec.Green)}, window: 128, sockets: 8,
			duration: flipTimeout, answered: w.answer, enough: w.enough.Load,
		}).run()
	}
	if err != nil {
		cancel(err)
	}
	work.Wait()
	if len(took) < c.Flips {
		return fmt.Errorf("%d of %d flips: %w", len(took), c.Flips, errors.Join(err, context.Cause(ctx)))
	}
	slices.Sort(took)
	return json.NewEncoder(os.Stdout).Encode(flipsSeen{
		Flips: len(took), P50: percentile(took, 50), P99: percentile(took, 99), Max: percentile(took, 100),
		QPS: out.QPS, Lost: out.Lost, Stale: w.stale,
	})
}

// flipAll flips, and waits each time until it is seen in Consul and in the
// answers. It returns the time between the two: none where the answer was
// first.
func (c *flipCmd) flipAll(ctx context.Context, client *consul.Client, w *flipWatch, events <-chan sight) ([]time.Duration, error) {
	l := &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: flipEnv}}
	var took []time.Duration
	pool := spec.Green
	for len(took) < c.Flips {
		select {
		case <-ctx.Done():
			return took, context.Cause(ctx)
		case <-time.After(flipPause + rand.N(flipPause)):
		}
		pool = spec.Other(pool)
		w.target.Store(&pool)
		if err := flip(ctx, l, pool); err != nil {
			return took, err
		}
		event, err := next(ctx, events, pool)
		if err != nil {
			return took, fmt.Errorf("in Consul: %w", err)
		}
		answer, err := next(ctx, w.seen, pool)
		if err != nil {
			return took, fmt.Errorf("in the answers: %w", err)
		}
		took = append(took, max(0, answer.at.Sub(event.at)))
	}
	return took, nil
}

// sight is a flip that was seen.
type sight struct {
	at   time.Time
	pool string
}

// next waits for the sight of a flip.
func next(ctx context.Context, sights <-chan sight, pool string) (sight, error) {
	const patience = 10 * time.Second
	select {
	case s := <-sights:
		if s.pool != pool {
			return s, fmt.Errorf("a flip to %s was seen, and none to %s", s.pool, pool)
		}
		return s, nil
	case <-time.After(patience):
		return sight{}, fmt.Errorf("no flip to %s was seen within %s", pool, patience)
	case <-ctx.Done():
		return sight{}, context.Cause(ctx)
	}
}

// watch tells when Consul told of each change of the live record. It is a
// blocking query of its own, beside the replica's.
func watch(ctx context.Context, client *consul.Client, events chan<- sight) error {
	key := consul.Keys{Env: flipEnv}.Live(flipName)
	var index uint64
	for {
		pair, meta, err := client.API().KV().Get(key, (&api.QueryOptions{WaitIndex: index, WaitTime: time.Minute}).WithContext(ctx))
		now := time.Now()
		if err != nil {
			return fmt.Errorf("watch the live record: %w", err)
		}
		if pair == nil {
			return errors.New("watch the live record: it is gone")
		}
		if index > 0 && pair.ModifyIndex > index {
			live, err := pools.ParseLive(pair.Value, pair.ModifyIndex)
			if err != nil {
				return fmt.Errorf("watch the live record: %w", err)
			}
			select {
			case events <- sight{now, live.Pool}:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		index = meta.LastIndex
	}
}

// flipWatch finds the flips in the answers.
type flipWatch struct {
	target atomic.Pointer[string] // the pool that was flipped to last
	seen   chan sight
	enough atomic.Bool

	// The sender's:
	shown string            // the pool that answers have led to last
	since time.Time         // when they began to
	known map[string][]byte // a right answer by pool, without its identifier
	stale int
}

func newFlipWatch() *flipWatch {
	first := spec.Green
	w := &flipWatch{seen: make(chan sight, 1), shown: first, known: map[string][]byte{}}
	w.target.Store(&first)
	return w
}

// answer takes an answer in.
func (w *flipWatch) answer(packet []byte, sent, now time.Time) error {
	pool, err := w.poolOf(packet)
	if err != nil || pool == w.shown {
		return err
	}
	if pool == *w.target.Load() {
		w.shown, w.since = pool, now
		w.seen <- sight{now, pool}
		return nil
	}
	// What was asked before the first new answer came may be an old one: it
	// may also have waited in another socket here.
	if sent.After(w.since) {
		w.stale++
	}
	return nil
}

// poolOf returns the pool that a right answer leads to.
func (w *flipWatch) poolOf(packet []byte) (string, error) {
	for pool, known := range w.known {
		if bytes.Equal(packet[2:], known) {
			return pool, nil
		}
	}
	var errs []error
	for _, pool := range []string{spec.Blue, spec.Green} {
		err := chained(pool).check(packet)
		if err == nil {
			w.known[pool] = bytes.Clone(packet[2:])
			return pool, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}
