package analysis

import (
	"context"
	"fmt"
	"strings"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// Sampler takes the samples of an analysis from a source. It is safe for
// concurrent use, and keeps nothing between two calls: what it says of a time that
// is over is always the same.
type Sampler struct {
	src      Source
	interval time.Duration
	fresh    time.Duration
	days     int // of former ones that are compared with, 0: the live pool is
	version  spec.Vars
	live     spec.Vars
}

// NewSampler returns a Sampler of a task. Its State is not looked at.
func NewSampler(t Task, src Source) *Sampler {
	s := &Sampler{
		src:      src,
		interval: t.Config.Interval.Std(),
		fresh:    fresh(t.Config.Interval.Std()),
		version:  t.Vars,
	}
	s.version.Window = promDuration(s.interval)
	s.version.RateInterval = promDuration(max(s.interval, time.Minute))
	s.live = s.version
	s.live.Pool, s.live.Other, s.live.Version = t.Vars.Other, t.Vars.Pool, t.LiveVersion
	if t.Compares() == spec.CompareFormer {
		s.days = max(1, t.Config.Days)
	}
	return s
}

// maxSteps is the number of steps that are asked for in one go.
const maxSteps = 10

// Samples returns those of a metric after one moment until another, both multiples
// of the interval, and the moment from which on to ask for the next ones. That is
// before the end if there is more than can be asked for in one go, or if the
// newest steps have not been scraped yet: these may still come, and a sample then
// covers several steps.
//
// A [*SpecError] is a mistake in one of the metric's queries; if it is Fleeting,
// then none of the steps could be read because of it. Any other error says that
// the source couldn't be asked: the same may be asked again.
func (s *Sampler) Samples(ctx context.Context, m spec.Metric, after, until time.Time) ([]judge.Sample, time.Time, error) {
	// As long as this, it ends with a sample: what isn't scraped gets stale.
	longest := max(maxSteps*s.interval, s.fresh+2*s.interval)
	if until.Sub(after) > longest {
		until = floor(after.Add(longest), s.interval)
	}
	if !until.After(after) {
		return nil, after, nil
	}
	if m.Buckets != "" && len(m.Edges) == 0 {
		return nil, after, fmt.Errorf("metric %q has no edges to count requests above", m.Name)
	}
	if counts(m) {
		return s.counted(ctx, m, after, until)
	}
	return s.valued(ctx, m, after, until)
}

// counts tells whether a metric has counters instead of values.
func counts(m spec.Metric) bool { return m.Total != "" || m.Buckets != "" }

// controlled tells whether a metric is compared with anything.
func controlled(m spec.Metric) bool {
	switch m.Judge {
	case spec.JudgeSequential, spec.JudgeMannWhitney:
		return true
	case spec.JudgeExpr:
		return strings.Contains(m.Expr, "live")
	default:
		return false
	}
}

// pools are the two that a service may have run on in former days, one of them if
// the queries don't tell pools apart.
func (s *Sampler) pools(queries ...string) []spec.Vars {
	for _, q := range queries {
		if s.version.Expand(q) != s.live.Expand(q) {
			return []spec.Vars{s.version, s.live}
		}
	}
	return []spec.Vars{s.live}
}

// day is the time between the same moment of two days; former days are those of
// UTC.
const day = 24 * time.Hour

// steps are the ends of the steps in a time.
func (s *Sampler) steps(after, until time.Time) []time.Time {
	var steps []time.Time
	for at := after.Add(s.interval); !at.After(until); at = at.Add(s.interval) {
		steps = append(steps, at)
	}
	return steps
}

// missing are samples of a time that could not be read.
func (s *Sampler) missing(m spec.Metric, after, until time.Time, why string) []judge.Sample {
	var samples []judge.Sample
	for _, at := range s.steps(after, until) {
		sample := judge.Sample{At: at, Experiment: judge.Reading{Missing: why}}
		if controlled(m) {
			sample.Control.Missing = why
		}
		samples = append(samples, sample)
	}
	return samples
}
