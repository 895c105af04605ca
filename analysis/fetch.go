package analysis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// part is what one look brought of one metric.
type part struct {
	cursor  cursor
	samples []judge.Sample
	lost    string // why there is not all of it
}

// maxBehind is the number of steps that are made up for after an absence.
const maxBehind = 720

// fetch asks for the samples of a metric until a moment. An error is a mistake in
// the spec.
func (w *watch) fetch(ctx context.Context, m spec.Metric, until time.Time) (part, error) {
	p := part{cursor: w.state.Metrics[m.Name]}
	if earliest := until.Add(-maxBehind * w.interval); p.cursor.Seen.Before(earliest) {
		p.samples = w.sampler.missing(m, earliest.Add(-w.interval), earliest, "too long ago to ask for it")
		p.cursor.Seen = earliest
	}
	m = p.cursor.edged(m)
	if p.cursor.Guessed {
		return w.find(ctx, p, m, until)
	}
	for p.cursor.Seen.Before(until) {
		samples, next, err := w.ask(ctx, m, p.cursor.Seen, until)
		mistake, wrong := errors.AsType[*SpecError](err)
		switch {
		case wrong && (!mistake.Fleeting || !p.cursor.Answered):
			return p, fmt.Errorf("query of metric %q is wrong: %w", m.Name, err)
		case wrong:
			samples, next = w.sampler.missing(m, p.cursor.Seen, until, mistake.Reason), until
		case err != nil && countsErrors(m):
			samples, next = w.sampler.missing(m, p.cursor.Seen, until, err.Error()), until
			p.lost = err.Error()
		case err != nil:
			p.lost = err.Error()
			return p, nil
		}
		p.cursor.Answered = p.cursor.Answered || slices.ContainsFunc(samples, answered)
		p.samples = append(p.samples, samples...)
		if !next.After(p.cursor.Seen) {
			break // the rest may still come
		}
		p.cursor.Seen = next
	}
	return p, nil
}

// asks is the number of times that a source is asked in one look.
const asks = 3

// ask asks for the next samples, more than once if the source can't be asked: a
// metric takes several queries, and on a bad way one of them often fails.
func (w *watch) ask(ctx context.Context, m spec.Metric, after, until time.Time) (samples []judge.Sample, next time.Time, err error) {
	for range asks {
		samples, next, err = w.sampler.Samples(ctx, m, after, until)
		if _, wrong := errors.AsType[*SpecError](err); err == nil || wrong || ctx.Err() != nil {
			break
		}
	}
	return samples, next, err
}

// find looks for the edges of a histogram that had no data at first.
func (w *watch) find(ctx context.Context, p part, m spec.Metric, until time.Time) (part, error) {
	edges, err := w.sampler.Edges(ctx, m, until)
	if mistake, wrong := errors.AsType[*SpecError](err); wrong {
		return p, fmt.Errorf("query of metric %q is wrong: %w", m.Name, mistake)
	}
	switch {
	case err != nil:
		p.lost = err.Error()
	case len(edges) > 0: // the samples come with the next look
		p.cursor.Edges, p.cursor.Guessed = edges, false
	default:
		p.samples = append(p.samples, w.sampler.missing(m, p.cursor.Seen, until, ErrNoData.Error())...)
		p.cursor.Seen = until
	}
	return p, nil
}

// answered tells whether a query of the sample's metric gave what it should.
func answered(s judge.Sample) bool {
	c := s.Control // zero if there is none
	return s.Experiment.Missing == "" || c.Missing == "" && (c.Nodes != nil || c.Named != nil || c.Value != 0)
}

// countsErrors tells whether the spec has a look without an answer count. It can't
// be made up for then.
func countsErrors(m spec.Metric) bool { return m.MissingFails || m.ErrorLimit != nil }
