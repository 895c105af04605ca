package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"switchd/analysis"
)

// Dump is a Source of samples: it knows selectors, and their sums by labels.
var _ analysis.Source = (*Dump)(nil)

// Query returns the value of a selector that one series matches.
func (d *Dump) Query(_ context.Context, promql string, at time.Time) (analysis.Point, error) {
	found, err := d.evaluate(promql, []time.Time{at})
	switch {
	case err != nil:
		return analysis.Point{}, err
	case len(found) == 0:
		return analysis.Point{}, analysis.ErrNoData
	case len(found) > 1:
		return analysis.Point{}, &analysis.SpecError{Query: promql, Fleeting: true, Reason: fmt.Sprintf("%d series where one is expected", len(found))}
	}
	return found[0].Points[0], nil
}

// Raw returns the points of the series that a selector matches.
func (d *Dump) Raw(_ context.Context, selector string, from, to time.Time) ([]analysis.Series, error) {
	parsed, err := ParseSelector(selector)
	if err != nil {
		return nil, &analysis.SpecError{Query: selector, Reason: err.Error()}
	}
	var found []analysis.Series
	for i := range d.series {
		s := &d.series[i]
		if !parsed.Selects(s.labels) {
			continue
		}
		one := analysis.Series{Labels: s.labels}
		for _, p := range s.points[s.after(from.UnixMilli()):s.after(to.UnixMilli())] {
			if !math.IsNaN(p.value) {
				one.Points = append(one.Points, analysis.Point{At: time.UnixMilli(p.at).UTC(), Value: p.value})
			}
		}
		if len(one.Points) > 0 {
			found = append(found, one)
		}
	}
	return found, nil
}

// after is the number of points up to a time.
func (s *series) after(at int64) int {
	i, exact := slices.BinarySearchFunc(s.points, at, func(p point, at int64) int { return cmp.Compare(p.at, at) })
	if exact {
		i++
	}
	return i
}

// Range evaluates a selector, or the sum of one by labels.
func (d *Dump) Range(_ context.Context, promql string, from, to time.Time, step time.Duration) ([]analysis.Series, error) {
	if step <= 0 || to.Sub(from)/step > MaxLooks {
		return nil, fmt.Errorf("from %s to %s there are more than %d steps of %s", stamp(from), stamp(to), MaxLooks, step)
	}
	var times []time.Time
	for at := from; !at.After(to); at = at.Add(step) {
		times = append(times, at)
	}
	return d.evaluate(promql, times)
}

// evaluate returns the series of a query at some times.
func (d *Dump) evaluate(promql string, times []time.Time) ([]analysis.Series, error) {
	q, err := parseQuery(promql)
	if err != nil {
		return nil, &analysis.SpecError{Query: promql, Reason: err.Error()}
	}
	groups := make(map[string]*analysis.Series)
	var order []string
	for i := range d.series {
		s := &d.series[i]
		if !q.selector.Selects(s.labels) {
			continue
		}
		labels := q.group(s.labels)
		key := signature(labels)
		if groups[key] == nil {
			groups[key] = &analysis.Series{Labels: labels}
			order = append(order, key)
		}
		groups[key].Points = merge(groups[key].Points, s, times)
	}
	var found []analysis.Series
	for _, key := range order {
		if len(groups[key].Points) > 0 {
			found = append(found, *groups[key])
		}
	}
	return found, nil
}

// merge adds the values that a series has at some times.
func merge(sums []analysis.Point, s *series, times []time.Time) []analysis.Point {
	merged := make([]analysis.Point, 0, len(times))
	for _, at := range times {
		sum, known := 0.0, false
		if len(sums) > 0 && sums[0].At.Equal(at) {
			sum, known = sums[0].Value, true
			sums = sums[1:]
		}
		if p, ok := s.last(at.UnixMilli()); ok {
			sum, known = sum+p.value, true
		}
		if known {
			merged = append(merged, analysis.Point{At: at, Value: sum})
		}
	}
	return merged
}

// query is what can be evaluated on a dump.
type query struct {
	selector Selector
	sum      bool
	by       []string // labels that are kept, if it is a sum
}

// parseQuery reads SELECTOR or sum by (LABEL, …) (SELECTOR).
func parseQuery(promql string) (query, error) {
	s := scanner{text: strings.TrimSpace(promql)}
	var q query
	if labels, ok := s.sumBy(); ok {
		q.sum, q.by = true, labels
		inner, ok := strings.CutSuffix(strings.TrimSpace(s.text), ")")
		if !ok {
			return q, errors.New("the sum has no end")
		}
		s.text = inner
	}
	selector, err := ParseSelector(s.text)
	q.selector = selector
	return q, err
}

// sumBy takes the beginning of a sum by labels, up to its inner parenthesis.
func (s *scanner) sumBy() ([]string, bool) {
	rest := *s
	var labels []string
	for _, word := range []string{"sum", "by", "("} {
		if !rest.take(word) {
			return nil, false
		}
		rest.space()
	}
	for !rest.take(")") {
		label := rest.name("")
		if label == "" {
			quoted, err := rest.quoted()
			if err != nil {
				return nil, false
			}
			label = quoted
		}
		labels = append(labels, label)
		rest.space()
		rest.take(",")
		rest.space()
	}
	rest.space()
	if !rest.take("(") {
		return nil, false
	}
	*s = rest
	return labels, true
}

// group are the labels that a series has in the answer.
func (q query) group(labels map[string]string) map[string]string {
	if !q.sum {
		return labels
	}
	kept := make(map[string]string, len(q.by))
	for _, name := range q.by {
		if v := labels[name]; v != "" {
			kept[name] = v
		}
	}
	return kept
}

// signature is the same for the same labels.
func signature(labels map[string]string) string {
	names := make([]string, 0, len(labels))
	for name, value := range labels {
		names = append(names, fmt.Sprintf("%q=%q", name, value))
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}
