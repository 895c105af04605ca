package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/analysis"
	"switchd/judge"
	"switchd/spec"
)

// atOnce is the number of metrics that a source is asked for together.
const atOnce = 4

// Past is a time that is over, as a source has it: that of a Prometheus, or a
// Dump.
type Past struct {
	sampler *analysis.Sampler
	task    analysis.Task
}

// NewPast prepares to look back at what a task would have seen. A latency metric
// that has no edges gets those of its histogram as they were at a moment; an
// error is a mistake in a query, or a source that can't be asked.
func NewPast(ctx context.Context, task analysis.Task, src analysis.Source, at time.Time) (*Past, error) {
	p := &Past{sampler: analysis.NewSampler(task, src), task: task}
	metrics := make([]spec.Metric, len(task.Config.Metrics))
	for i, m := range task.Config.Metrics {
		if m.Buckets != "" && m.Edges == nil {
			edges, err := p.sampler.Edges(ctx, m, at)
			if err != nil {
				return nil, fmt.Errorf("metric %q: %w", m.Name, err)
			}
			if len(edges) == 0 {
				return nil, fmt.Errorf("metric %q: there is no bucket at %s to choose edges from; name them with edges, or choose another time", m.Name, stamp(at))
			}
			m.Edges = edges
		}
		metrics[i] = m
	}
	p.task.Config.Metrics = metrics
	return p, nil
}

// Config is the task's as it is judged, with the edges that were found.
func (p *Past) Config() spec.Analysis { return p.task.Judged() }

// History returns the live pool's samples of a metric before a moment, for its
// self-test.
func (p *Past) History(ctx context.Context, m spec.Metric, before time.Time) ([]judge.Sample, error) {
	if p.task.Config.History <= 0 {
		return nil, nil
	}
	return p.sampler.History(ctx, m, before, p.task.Config.History.Std())
}

// Looks returns the looks after one moment until another, which it widens to
// multiples of the interval. It asks for a few at a time. A mistake in a query
// ends them, as does a source that can't be asked; data that is not there is a
// gap.
func (p *Past) Looks(ctx context.Context, from, to time.Time) Looks {
	interval := p.task.Config.Interval.Std()
	return func(yield func(Look, error) bool) {
		from, to := from.Truncate(interval), to.Add(interval-1).Truncate(interval)
		if to.Sub(from)/interval > MaxLooks {
			yield(Look{}, fmt.Errorf("from %s to %s there are more than %d looks, one each %s", stamp(from), stamp(to), MaxLooks, interval))
			return
		}
		read := make([]reader, len(p.task.Config.Metrics))
		for i, m := range p.task.Config.Metrics {
			read[i] = reader{metric: m, next: from}
		}
		for at := from.Add(interval); !at.After(to); at = at.Add(interval) {
			if err := p.fill(ctx, read, at, to); err != nil {
				yield(Look{}, err)
				return
			}
			look := Look{At: at, Samples: make(map[string]judge.Sample, len(read))}
			for i := range read {
				if s, ok := read[i].take(at); ok {
					look.Samples[read[i].metric.Name] = s
				}
			}
			if len(look.Samples) > 0 && !yield(look, nil) {
				return
			}
		}
	}
}

// reader is how far one metric has been read.
type reader struct {
	metric  spec.Metric
	next    time.Time // up to here
	samples []judge.Sample
	// answered tells that a query was answered before, so that a mistake that
	// only shows in the data may pass.
	answered bool
}

// take returns the sample of a time.
func (r *reader) take(at time.Time) (judge.Sample, bool) {
	if len(r.samples) == 0 || r.samples[0].At.After(at) {
		return judge.Sample{}, false
	}
	s := r.samples[0]
	r.samples = r.samples[1:]
	return s, true
}

// fill reads on with the metrics that have nothing for a time.
func (p *Past) fill(ctx context.Context, read []reader, at, to time.Time) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range read {
		r := &read[i]
		if !r.next.Before(at) {
			continue
		}
		group.Go(func() error { return p.read(ctx, r, at, to) })
	}
	return group.Wait()
}

// read asks for more of a metric, until it knows about a time.
func (p *Past) read(ctx context.Context, r *reader, at, to time.Time) error {
	for r.next.Before(at) {
		samples, next, err := p.sampler.Samples(ctx, r.metric, r.next, to)
		if wrong, ok := errors.AsType[*analysis.SpecError](err); ok && wrong.Fleeting && r.answered {
			samples, next, err = p.unread(r, wrong)
		}
		if err != nil {
			return fmt.Errorf("metric %q, from %s: %w", r.metric.Name, stamp(r.next), err)
		}
		r.samples, r.answered = append(r.samples, samples...), true
		if !next.After(r.next) { // the source has nothing newer
			next = to
		}
		r.next = next
	}
	return nil
}

// unread is a step that could not be read.
func (p *Past) unread(r *reader, why error) ([]judge.Sample, time.Time, error) {
	next := r.next.Add(p.task.Config.Interval.Std())
	missing := judge.Reading{Missing: why.Error()}
	return []judge.Sample{{At: next, Experiment: missing, Control: missing}}, next, nil
}
