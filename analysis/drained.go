package analysis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"switchd/gate"
	"switchd/judge"
	"switchd/spec"
)

// Bounds of the time between two looks at the traffic of a pool that drains.
const (
	minDrainLook = 200 * time.Millisecond
	maxDrainLook = 5 * time.Second
)

// Drained waits until the measured traffic of a pool has been at or below
// d.Below for d.For without a break. What isn't known breaks it: it is no proof
// that nobody came. The verdict fails only if the query is wrong; if ctx ends
// first it is unknown and tells the last value. vars are those of the pool that
// drains.
//
// progress, if not nil, gets one line per look.
func Drained(ctx context.Context, d spec.Drain, vars spec.Vars, q Querier, progress func(line string)) gate.Verdict {
	if d.Query == "" {
		return gate.Undecided("drain has no query to measure the traffic with")
	}
	w := &drain{
		pool:   cmp.Or(vars.Pool, "the pool"),
		query:  vars.Expand(d.Query),
		below:  d.Below,
		lasts:  d.For.Std(),
		newest: "not measured yet",
	}
	start := time.Now()
	v := w.wait(ctx, q, progress)
	v.Evidence = append(v.Evidence, "drain: query "+oneLine(w.query))
	v.Took = time.Since(start)
	return v
}

// drain is one wait for a pool's traffic to end.
type drain struct {
	pool   string
	query  string
	below  float64 // requests per second
	lasts  time.Duration
	calm   quiet
	newest string // what was measured last, in words
}

func (w *drain) wait(ctx context.Context, q Querier, progress func(string)) gate.Verdict {
	// A fifth of the time that it must stay quiet finds most of what breaks it.
	ticker := time.NewTicker(min(max(w.lasts/5, minDrainLook), maxDrainLook))
	defer ticker.Stop()
	for {
		if v := w.look(ctx, q); v.Outcome != gate.Unknown {
			return v
		}
		if progress != nil && ctx.Err() == nil {
			progress(fmt.Sprintf("traffic of %s is %s; %s", w.pool, w.newest, w.wanted()))
		}
		select {
		case <-ctx.Done():
			return gate.Undecided("waiting for %s to drain was ended (%v): traffic is %s; %s",
				w.pool, context.Cause(ctx), w.newest, w.wanted())
		case <-ticker.C:
		}
	}
}

// look measures once and returns the verdict so far.
func (w *drain) look(ctx context.Context, q Querier) gate.Verdict {
	at := time.Now()
	traffic, err := value(ctx, q, w.query, at)
	if ctx.Err() != nil {
		return gate.Verdict{} // what it says now is only that
	}
	if mistake, ok := errors.AsType[*SpecError](err); ok {
		return gate.Failed("the drain query is wrong: %v", mistake)
	}
	if err != nil {
		w.calm.broken()
		w.newest = fmt.Sprintf("unknown (%v)", err)
		return gate.Verdict{}
	}
	w.newest = judge.Short(traffic) + " requests/s"
	if traffic > w.below {
		w.calm.broken()
		return gate.Verdict{}
	}
	lasted := w.calm.at(at)
	w.newest += ", quiet for " + span(lasted)
	if lasted < w.lasts {
		return gate.Verdict{}
	}
	return gate.Passed("traffic of %s is %s requests/s, and was at most %s for %s",
		w.pool, judge.Short(traffic), judge.Short(w.below), span(lasted))
}

func (w *drain) wanted() string {
	return fmt.Sprintf("drained means at most %s for %s", judge.Short(w.below), span(w.lasts))
}

// quiet knows since when there has been no traffic to speak of.
type quiet struct{ since time.Time }

// at notes that it is quiet now and returns for how long it has been.
func (q *quiet) at(now time.Time) time.Duration {
	if q.since.IsZero() {
		q.since = now
	}
	return now.Sub(q.since)
}

// broken notes that it is not, or that nobody knows.
func (q *quiet) broken() { q.since = time.Time{} }
