package analysis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// counted takes samples from counters. A step for which one side has not been
// scraped yet is waited for: its events are counted with the next one's, so that
// both sides of a sample always cover the same time.
func (s *Sampler) counted(ctx context.Context, m spec.Metric, after, until time.Time) ([]judge.Sample, time.Time, error) {
	experiment, err := s.side(ctx, m, s.version, after, until, 0)
	if err != nil {
		return nil, after, err
	}
	controls, err := s.controls(ctx, m, after, until)
	if err != nil {
		return nil, after, err
	}
	var samples []judge.Sample
	for _, at := range s.steps(after, until) {
		reading, waits := experiment.reading(after, at)
		sample := judge.Sample{At: at, Experiment: reading}
		if controlled(m) {
			var late bool
			sample.Control, late = together(controls, after, at)
			waits = waits || late
		}
		if waits {
			continue
		}
		samples = append(samples, sample)
		after = at
	}
	return samples, after, nil
}

// controls are the sides that the new version is compared with: the live pool, or
// both pools on each of the former days, as either may have been live then, and
// the one that was not had next to no traffic.
func (s *Sampler) controls(ctx context.Context, m spec.Metric, after, until time.Time) ([]side, error) {
	if !controlled(m) {
		return nil, nil
	}
	if s.days == 0 {
		live, err := s.side(ctx, m, s.live, after, until, 0)
		return []side{live}, err
	}
	var all []side
	for d := range s.days {
		for _, vars := range s.pools(m.Bad, m.Total, m.Buckets) {
			former, err := s.side(ctx, m, vars, after, until, time.Duration(d+1)*day)
			if mistake, wrong := errors.AsType[*SpecError](err); wrong && mistake.Fleeting {
				continue // that day had other buckets, for example; another one may do
			}
			if err != nil {
				return nil, err
			}
			all = append(all, former)
		}
	}
	return all, nil
}

// side are the counters of one side of a metric.
type side struct {
	total counter
	bad   *counter // nil: the total's marks have the edges' counts
	fresh time.Duration
	past  bool // of a former day, for which nothing more can come
}

// side asks for the counters of one side, as far back before the present as ago.
func (s *Sampler) side(ctx context.Context, m spec.Metric, vars spec.Vars, after, until time.Time, ago time.Duration) (side, error) {
	raw := func(selector string) ([]Series, error) {
		return s.src.Raw(ctx, selector, after.Add(-s.fresh-ago), until.Add(-ago))
	}
	read := side{fresh: s.fresh, past: ago > 0}
	if m.Buckets != "" {
		selector := vars.Expand(m.Buckets)
		series, err := raw(selector)
		if err != nil {
			return side{}, err
		}
		read.total, err = newHistogram(series, selector, m.Node, m.Edges, s.fresh)
		read.total.shift(ago)
		return read, err
	}
	total, err := raw(vars.Expand(m.Total))
	if err != nil {
		return side{}, err
	}
	bad, err := raw(vars.Expand(m.Bad))
	if err != nil {
		return side{}, err
	}
	read.total, read.bad = newCounter(total, m.Node, s.fresh), new(newCounter(bad, m.Node, s.fresh))
	read.total.shift(ago)
	read.bad.shift(ago)
	return read, nil
}

// reading returns what the side counted after a until b, or true if it has not
// been scraped in that time but may still be.
func (s side) reading(a, b time.Time) (judge.Reading, bool) {
	nodes := make(map[string]judge.Counts)
	totals, news := s.total.between(a, b), false
	var bads map[string]*increment
	if s.bad != nil {
		bads = s.bad.between(a, b)
	}
	for node, total := range totals {
		news = news || total.news
		if !total.news || !total.known {
			continue // it says nothing yet of this time
		}
		c := judge.Counts{Total: total.values[0], Bad: make([]float64, max(1, len(total.values)-1))}
		for i, below := range total.values[1:] {
			c.Bad[i] = max(0, c.Total-below)
		}
		if bad := bads[node]; bad != nil {
			c.Bad[0] = bad.values[0]
		}
		for _, n := range append([]float64{c.Total}, c.Bad...) {
			if n >= absurd || math.IsNaN(n) {
				return judge.Reading{Missing: fmt.Sprintf("the counters of node %q grew by %g within %s, which isn't believed", node, n, b.Sub(a))}, false
			}
		}
		nodes[node] = c
	}
	if len(nodes) > 0 {
		return judge.Reading{Nodes: nodes}, false
	}
	// Not further back, for the same answer in whatever portions it is asked.
	newest := s.total.newest(a.Add(-s.fresh), b)
	switch age := b.Sub(newest); {
	case newest.IsZero():
		return judge.Reading{Missing: ErrNoData.Error()}, false
	case age > s.fresh:
		return judge.Reading{Missing: fmt.Sprintf("stale: the newest sample is %s old", age.Round(time.Second))}, false
	case news:
		return judge.Reading{Missing: "only just begun: there is no earlier sample to count from"}, false
	case s.past:
		return judge.Reading{Missing: "no sample in this step"}, false
	}
	return judge.Reading{}, true
}

// together sums up the sides that a new version is compared with. What one of them
// lacks, the others make up for.
func together(sides []side, a, b time.Time) (judge.Reading, bool) {
	sum := make(map[string]judge.Counts)
	missing := judge.Reading{Missing: ErrNoData.Error()}
	for _, s := range sides {
		reading, waits := s.reading(a, b)
		if waits {
			return judge.Reading{}, true
		}
		if reading.Missing != "" && missing.Missing == ErrNoData.Error() {
			missing = reading
		}
		for node, c := range reading.Nodes {
			before := sum[node]
			sum[node] = judge.Counts{Total: before.Total + c.Total, Bad: plus(before.Bad, c.Bad)}
		}
	}
	if len(sum) == 0 {
		return missing, false
	}
	return judge.Reading{Nodes: sum}, false
}
