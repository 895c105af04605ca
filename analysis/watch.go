// Package analysis has a new version judged on Prometheus while it has its share
// of the traffic. It asks at aligned times, turns what it gets into samples of both
// pools, and hands them to the judges (package judge); evidence goes on after a
// restart and an outage. What Prometheus can't tell counts neither for nor against
// the version.
package analysis

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/gate"
	"switchd/judge"
	"switchd/spec"
)

// lookTimeout bounds one look at all metrics. What it cuts off is asked for again
// at the next one.
const lookTimeout = 30 * time.Second

// concurrentMetrics bounds the metrics that are asked for at the same time.
const concurrentMetrics = 8

// Watch looks at the metrics at each multiple of the interval, until they are
// judged or ctx ends; then the verdict is unknown and says what is missing. It
// looks half an interval late, ten seconds at most, for the last scrapes to come
// in. It fails at once for a query that is written wrongly, since waiting can't
// help that; a mistake that shows only in the data is a gap once the query was
// answered.
//
// Each verdict, those that go to report and the one that is returned, has the
// State to go on with later. After a restart, or when Prometheus could not be
// reached, the steps that were missed are asked for first, so that the evidence is
// the same as if nothing had happened; what Prometheus itself didn't scrape stays
// a gap. report is called from one goroutine, after each look, and may be nil.
func Watch(ctx context.Context, t Task, src Source, report func(gate.Verdict)) gate.Verdict {
	if report == nil {
		report = func(gate.Verdict) {}
	}
	if t.Since.IsZero() {
		t.Since = time.Now()
	}
	if t.Began.IsZero() {
		t.Began = t.Since
	}
	if t.Config.Interval < spec.Duration(time.Millisecond) {
		return gate.Failed("analysis: interval must be at least 1ms, got %s", t.Config.Interval)
	}
	w := &watch{task: t, sampler: NewSampler(t, src), interval: t.Config.Interval.Std()}
	if err := w.restore(); err != nil {
		return w.dress(gate.Failed("%v", err))
	}
	w.at = ceil(t.Since, w.interval) // after a restart, the first look is at once
	for {
		timer := time.NewTimer(time.Until(w.at.Add(w.interval + lag(w.interval))))
		select {
		case <-ctx.Done():
			timer.Stop()
			return w.ended(ctx)
		case <-timer.C:
		}
		at := floor(time.Now().Add(-lag(w.interval)), w.interval)
		if !at.After(w.at) {
			continue
		}
		v := w.look(ctx, at)
		if v.Outcome != gate.Unknown {
			return v
		}
		if ctx.Err() == nil {
			report(v)
		}
	}
}

// watch is one analysis under way.
type watch struct {
	task     Task
	sampler  *Sampler
	interval time.Duration
	panel    *judge.Panel
	state    state
	at       time.Time      // the newest look
	lost     string         // why the newest look could not be had, "" if it could
	found    *judge.Verdict // the panel's, nil if it is to be asked
}

// look asks for what is new until a moment and returns the verdict so far. What
// ctx cut off changes nothing.
func (w *watch) look(ctx context.Context, at time.Time) gate.Verdict {
	if !w.state.Prepared {
		if err := w.prepare(ctx, at); err != nil {
			return w.mistaken(ctx, err)
		}
		if !w.state.Prepared {
			w.at = at
			return w.standing()
		}
	}
	limited, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	parts := make([]part, len(w.task.Config.Metrics))
	var group errgroup.Group
	group.SetLimit(concurrentMetrics)
	for i, m := range w.task.Config.Metrics {
		group.Go(func() (err error) {
			parts[i], err = w.fetch(limited, m, at)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return w.mistaken(ctx, err)
	}
	if ctx.Err() != nil {
		return gate.Verdict{}
	}
	w.at, w.lost = at, ""
	looks := make(map[time.Time]map[string]judge.Sample)
	found := false
	for i, m := range w.task.Config.Metrics {
		p := parts[i]
		w.lost = cmp.Or(w.lost, p.lost)
		found = found || (w.state.Metrics[m.Name].Guessed && !p.cursor.Guessed)
		w.state.Metrics[m.Name] = p.cursor
		for _, s := range p.samples {
			if looks[s.At] == nil {
				looks[s.At] = make(map[string]judge.Sample)
			}
			looks[s.At][m.Name] = s
		}
	}
	w.missed(at)
	if found {
		if err := w.rebuild(); err != nil {
			return w.dress(gate.Failed("%v", err))
		}
	}
	return w.show(looks)
}

// show gives the panel the looks one by one, so that several at once come to
// the verdict that they would have come to each in its time.
func (w *watch) show(looks map[time.Time]map[string]judge.Sample) gate.Verdict {
	for _, at := range slices.SortedFunc(maps.Keys(looks), time.Time.Compare) {
		w.panel.Observe(looks[at])
		w.found = nil
		v := w.finding()
		switch v.Outcome {
		case judge.Regressed:
			return w.dress(gate.Failed("%s", v.Why))
		case judge.NoWorse:
			return w.dress(gate.Passed("%s", v.Why))
		case judge.Undecided:
		}
	}
	return w.standing()
}

// finding is what the panel found by now.
func (w *watch) finding() judge.Verdict {
	if w.found == nil {
		w.found = new(w.panel.Verdict())
	}
	return *w.found
}

// missed notes since when Prometheus doesn't answer.
func (w *watch) missed(at time.Time) {
	switch {
	case w.lost == "":
		w.state.Lost = time.Time{}
	case w.state.Lost.IsZero():
		w.state.Lost = at
	}
}

// mistaken is the verdict on a mistake in the spec.
func (w *watch) mistaken(ctx context.Context, err error) gate.Verdict {
	if ctx.Err() != nil {
		return gate.Verdict{}
	}
	return w.dress(gate.Failed("%v", err))
}
