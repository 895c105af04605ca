package analysis

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// maxHistory bounds the steps of a history, the newest ones: six hours of fifteen
// seconds. historyPoints is the number of them that are asked for in one go.
const (
	maxHistory    = 1440
	historyPoints = 360
)

// History returns the samples of the live pool in a time before a moment, as the
// experiment, for [judge.SelfTest]. It covers 1,440 steps at most. Counters are
// added up by node before they are asked for, as so long a time has many samples;
// a step in which a node's sum fell is a gap of that node.
func (s *Sampler) History(ctx context.Context, m spec.Metric, before time.Time, lasts time.Duration) ([]judge.Sample, error) {
	until := floor(before, s.interval)
	after := ceil(before.Add(-lasts), s.interval)
	if limit := until.Add(-maxHistory * s.interval); after.Before(limit) {
		after = limit
	}
	var samples []judge.Sample
	for after.Before(until) {
		end := after.Add(historyPoints * s.interval)
		if end.After(until) {
			end = until
		}
		part, err := s.past(ctx, m, after, end)
		if err != nil {
			return nil, fmt.Errorf("read the history: %w", err)
		}
		samples = append(samples, part...)
		after = end
	}
	return samples, nil
}

// past returns one part of the history.
func (s *Sampler) past(ctx context.Context, m spec.Metric, after, until time.Time) ([]judge.Sample, error) {
	steps := s.steps(after, until)
	samples := make([]judge.Sample, len(steps))
	for i, at := range steps {
		samples[i].At = at
	}
	if !counts(m) {
		readings, err := s.values(ctx, m, s.live, steps, 0)
		for i := range readings {
			samples[i].Experiment = readings[i]
		}
		return samples, err
	}
	sums, err := s.sums(ctx, m, after, until)
	if err != nil {
		return nil, err
	}
	for i := range steps {
		nodes := make(map[string]judge.Counts)
		for node, row := range sums {
			if c, ok := row.counts(i); ok {
				nodes[node] = c
			}
		}
		if len(nodes) == 0 {
			samples[i].Experiment.Missing = ErrNoData.Error()
			continue
		}
		samples[i].Experiment.Nodes = nodes
	}
	return samples, nil
}

// row are the sums of one node's counters, NaN where there is none: the total's
// and the bad ones', or the histogram's edges, each at a step's beginning.
type row struct {
	total []float64
	parts [][]float64
	bad   bool // the parts are the bad events, and not those below an edge
}

// counts returns what the node counted in a step.
func (r row) counts(step int) (judge.Counts, bool) {
	grew := func(sums []float64) float64 { return sums[step+1] - sums[step] }
	c := judge.Counts{Total: grew(r.total), Bad: make([]float64, len(r.parts))}
	for i, part := range r.parts {
		if c.Bad[i] = grew(part); !r.bad {
			c.Bad[i] = c.Total - c.Bad[i]
		}
		if r.bad && math.IsNaN(part[step]) && !math.IsNaN(part[step+1]) {
			c.Bad[i] = part[step+1] // the first ones
		}
		if r.bad && math.IsNaN(part[step+1]) {
			c.Bad[i] = 0
		}
	}
	ok := c.Total >= 0 && c.Total < absurd // false for NaN
	for _, bad := range c.Bad {
		ok = ok && bad >= 0 && bad < absurd
	}
	return c, ok
}

// sums asks for the sums of counters by node.
func (s *Sampler) sums(ctx context.Context, m spec.Metric, after, until time.Time) (map[string]row, error) {
	width := int(until.Sub(after)/s.interval) + 1
	rows := make(map[string]row)
	parts, selector := 1, m.Total
	if m.Buckets != "" {
		parts, selector = len(m.Edges), m.Buckets
	}
	add := func(query string, pick func(row, Series) []float64) error {
		series, err := s.src.Range(ctx, query, after, until, s.interval)
		if err != nil {
			return err
		}
		for _, one := range series {
			node := one.Labels[m.Node]
			r, ok := rows[node]
			if !ok {
				r = newRow(parts, width, m.Buckets == "")
				rows[node] = r
			}
			sums := pick(r, one)
			for _, p := range one.Points {
				if i := int(p.At.Sub(after).Round(time.Millisecond) / s.interval); sums != nil && i >= 0 && i < width {
					sums[i] = p.Value
				}
			}
		}
		return nil
	}
	if m.Buckets != "" {
		return rows, add(sumBy(s.live.Expand(selector), m.Node, "le"), func(r row, one Series) []float64 {
			le, _ := edgeOf(one)
			if le == infinite {
				return r.total
			}
			if i := slices.Index(m.Edges, le); i >= 0 {
				return r.parts[i]
			}
			return nil
		})
	}
	if err := add(sumBy(s.live.Expand(m.Total), m.Node), func(r row, _ Series) []float64 { return r.total }); err != nil {
		return nil, err
	}
	return rows, add(sumBy(s.live.Expand(m.Bad), m.Node), func(r row, _ Series) []float64 { return r.parts[0] })
}

func newRow(parts, width int, bad bool) row {
	nothing := func() []float64 { return slices.Repeat([]float64{math.NaN()}, width) }
	r := row{total: nothing(), bad: bad}
	for range parts {
		r.parts = append(r.parts, nothing())
	}
	return r
}

// plainLabel matches the label names that need no quotes in PromQL.
var plainLabel = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// sumBy adds up a selector by the labels that are not empty.
func sumBy(selector string, labels ...string) string {
	var by string
	for _, l := range labels {
		if l == "" {
			continue
		}
		if !plainLabel.MatchString(l) {
			l = strconv.Quote(l)
		}
		if by != "" {
			by += ", "
		}
		by += l
	}
	return fmt.Sprintf("sum by (%s) (%s\n)", by, selector)
}

// maxEdges bounds the edges that are chosen from: some more than an exporter has.
const maxEdges = 64

// Edges returns the edges of a histogram that both pools have at a moment, or
// those of the only one that has any. They are nil if neither has.
func (s *Sampler) Edges(ctx context.Context, m spec.Metric, at time.Time) ([]float64, error) {
	var edges []float64
	for _, vars := range []spec.Vars{s.live, s.version} {
		series, err := s.src.Range(ctx, sumBy(vars.Expand(m.Buckets), "le"), at, at, s.interval)
		if err != nil {
			return nil, err
		}
		found := bucketEdges(series)
		if len(edges) == 0 {
			edges = found
		} else if len(found) > 0 {
			edges = slices.DeleteFunc(edges, func(e float64) bool { return !slices.Contains(found, e) })
			if len(edges) == 0 {
				return nil, &SpecError{Query: m.Buckets, Fleeting: true, Reason: fmt.Sprintf(
					"the histograms of %s and %s have no bucket in common", s.live.Pool, s.version.Pool)}
			}
		}
	}
	for len(edges) > maxEdges { // every other one
		for i := range edges[:len(edges)/2] {
			edges[i] = edges[2*i+1]
		}
		edges = edges[:len(edges)/2]
	}
	return edges, nil
}
