// Package replay judges what was recorded: it reads samples from files, or from
// the past of a Prometheus, and gives them to a judge.Panel as if they came in
// now, look by look, so that another configuration can be tried on them.
package replay

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// MaxLooks bounds the looks of one replay: more than a month, one every three
// seconds.
const MaxLooks = 1_000_000

// Look is one step of a recording: the samples of the metrics that have one.
type Look struct {
	At      time.Time
	Samples map[string]judge.Sample
}

// Looks are those of a recording, in the order of time. The first error ends
// them.
type Looks = iter.Seq2[Look, error]

// Decision is the first look at which the panel came to an outcome.
type Decision struct {
	Outcome judge.Outcome `json:"outcome"`
	At      time.Time     `json:"at"`
	// After is the time since the first step began.
	After spec.Duration `json:"after"`
	// Requests are those of the experiment until then, as far as they are
	// counted: the most that any metric saw.
	Requests float64 `json:"requests,omitempty"`
	Why      string  `json:"why"`
}

// Result is what a replay came to.
type Result struct {
	// Verdict is that of the look which decided: the first one that found a
	// regression, else the first one that found the version no worse, else the
	// last one.
	Verdict judge.Verdict
	// Decisions are the outcomes that the panel came to, each at its first
	// look. A rollout would have ended, or gone on to its next step, at the
	// first of them.
	Decisions []Decision
	Looks     int
	// From is the begin of the first step, To the end of the last one.
	From, To time.Time
}

// Run gives every look to the panel and returns what it found. The step is the
// time between two looks; progress, if not nil, is called after each of them.
func Run(ctx context.Context, panel *judge.Panel, looks Looks, step time.Duration, progress func(at time.Time)) (Result, error) {
	r := Result{Verdict: panel.Verdict()}
	for look, err := range looks {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return r, err
		}
		if r.Looks == 0 {
			r.From = look.At.Add(-step)
		}
		if r.Looks++; r.Looks > MaxLooks {
			return r, fmt.Errorf("there are more than %d looks; choose a part of them with --from and --to, or a longer interval", MaxLooks)
		}
		r.To = look.At
		panel.Observe(look.Samples)
		r.take(panel.Verdict())
		if progress != nil {
			progress(look.At)
		}
	}
	return r, nil
}

// take takes in the verdict of a look.
func (r *Result) take(v judge.Verdict) {
	known := func(o judge.Outcome) bool {
		return slices.ContainsFunc(r.Decisions, func(d Decision) bool { return d.Outcome == o })
	}
	if v.Outcome == judge.Undecided {
		if len(r.Decisions) == 0 {
			r.Verdict = v
		}
		return
	}
	if known(v.Outcome) {
		return
	}
	if v.Outcome == judge.Regressed || len(r.Decisions) == 0 {
		r.Verdict = v
	}
	r.Decisions = append(r.Decisions, r.Decision(v))
}

// Decision is what was decided at the last look.
func (r Result) Decision(v judge.Verdict) Decision {
	d := Decision{Outcome: v.Outcome, At: r.To, After: spec.Duration(r.To.Sub(r.From)), Why: v.Why}
	for _, f := range v.Findings {
		d.Requests = max(d.Requests, f.Requests[0])
	}
	return d
}

// Between leaves out the looks that are not after from and up to to; a zero time
// is no end.
func Between(looks Looks, from, to time.Time) Looks {
	return func(yield func(Look, error) bool) {
		for look, err := range looks {
			switch {
			case err == nil && !from.IsZero() && !look.At.After(from):
				continue
			case err == nil && !to.IsZero() && look.At.After(to):
				return
			}
			if !yield(look, err) {
				return
			}
		}
	}
}

// MaxHistory bounds the steps of a history, as it does where a Prometheus is
// asked for it.
const MaxHistory = 1440

// History is what the looks show of the control, metric by metric, as the
// experiment: the live pool before a release, for its self-test.
func History(ctx context.Context, looks Looks) (map[string][]judge.Sample, error) {
	history := make(map[string][]judge.Sample)
	for look, err := range looks {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		for name, s := range look.Samples {
			series := history[name]
			if len(series) == 2*MaxHistory {
				series = append(series[:0], series[MaxHistory:]...)
			}
			history[name] = append(series, judge.Sample{At: s.At, Experiment: s.Control})
		}
	}
	for name, series := range history {
		history[name] = series[max(0, len(series)-MaxHistory):]
	}
	return history, nil
}

// Whole fills the steps between two looks that the recording left out with
// gaps of all metrics, so that nobody takes the looks around them for
// neighbours. It refuses looks that go back in time.
func Whole(looks Looks, metrics []spec.Metric, step time.Duration) Looks {
	return func(yield func(Look, error) bool) {
		var last time.Time
		for look, err := range looks {
			if err != nil {
				yield(Look{}, err)
				return
			}
			if !last.IsZero() && !look.At.After(last) {
				yield(Look{}, fmt.Errorf("the look at %s is not after the one before it, at %s", stamp(look.At), stamp(last)))
				return
			}
			for n := 0; !last.IsZero() && look.At.Sub(last) > step*3/2; n++ {
				last = last.Add(step)
				if n > MaxLooks || !yield(gap(last, metrics), nil) {
					return
				}
			}
			last = look.At
			if !yield(look, nil) {
				return
			}
		}
	}
}

// gap is a look that saw nothing.
func gap(at time.Time, metrics []spec.Metric) Look {
	const why = "nothing was recorded"
	g := Look{At: at, Samples: make(map[string]judge.Sample, len(metrics))}
	for _, m := range metrics {
		g.Samples[m.Name] = judge.Sample{At: at, Experiment: judge.Reading{Missing: why}, Control: judge.Reading{Missing: why}}
	}
	return g
}

// stamp writes a time as the files have it.
func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }
