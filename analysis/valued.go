package analysis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// valued takes samples from queries of one value each.
func (s *Sampler) valued(ctx context.Context, m spec.Metric, after, until time.Time) ([]judge.Sample, time.Time, error) {
	steps := s.steps(after, until)
	experiment, err := s.values(ctx, m, s.version, steps, 0)
	if err != nil {
		return nil, after, err
	}
	samples := make([]judge.Sample, len(steps))
	for i, at := range steps {
		samples[i] = judge.Sample{At: at, Experiment: experiment[i]}
	}
	if !controlled(m) {
		return samples, until, nil
	}
	control, err := s.controlValues(ctx, m, steps)
	if err != nil {
		return nil, after, err
	}
	for i := range samples {
		samples[i].Control = control[i]
	}
	return samples, until, nil
}

// controlValues are the live pool's values, or the mean of those of former days.
func (s *Sampler) controlValues(ctx context.Context, m spec.Metric, steps []time.Time) ([]judge.Reading, error) {
	if s.days == 0 {
		return s.values(ctx, m, s.live, steps, 0)
	}
	days := make([][]judge.Reading, len(steps)) // by step
	pools := s.pools(append(slices.Collect(maps.Values(m.Queries)), m.Query)...)
	for d := range s.days {
		former := make([][]judge.Reading, len(pools))
		for i, vars := range pools {
			var err error
			former[i], err = s.values(ctx, m, vars, steps, time.Duration(d+1)*day)
			if mistake, wrong := errors.AsType[*SpecError](err); wrong && mistake.Fleeting {
				former[i] = slices.Repeat([]judge.Reading{{Missing: mistake.Reason}}, len(steps)) // another day may do
				err = nil
			}
			if err != nil {
				return nil, err
			}
		}
		for i := range steps {
			r := former[0][i]
			if len(pools) > 1 {
				r = wasLive(r, former[1][i])
			}
			days[i] = append(days[i], r)
		}
	}
	readings := make([]judge.Reading, len(steps))
	for i := range steps {
		readings[i] = mean(days[i])
	}
	return readings, nil
}

// wasLive picks the reading of the pool that was live on a former day: the only
// one that there is, or else the one with more traffic.
func wasLive(a, b judge.Reading) judge.Reading {
	switch x, y := a.Named[trafficName], b.Named[trafficName]; {
	case a.Missing != "":
		return b
	case b.Missing != "", x > y:
		return a
	case y > x:
		return b
	}
	return judge.Reading{Missing: "both pools answered for former days, and nothing tells which one was live: give the metric a traffic query"}
}

// mean returns the mean of the days that have a reading.
func mean(days []judge.Reading) judge.Reading {
	sum, n, nan, why := judge.Reading{}, 0.0, false, ErrNoData.Error()
	for _, d := range days {
		switch {
		case d.Missing != "":
			why = d.Missing
			continue
		case math.IsNaN(d.Value):
			nan = true
			continue
		}
		n++
		sum.Value += d.Value
		for name, v := range d.Named {
			if sum.Named == nil {
				sum.Named = make(map[string]float64)
			}
			sum.Named[name] += v
		}
	}
	switch {
	case n == 0 && nan:
		return judge.Reading{Value: math.NaN()}
	case n == 0:
		return judge.Reading{Missing: why}
	}
	sum.Value /= n
	for name := range sum.Named {
		sum.Named[name] /= n
	}
	return sum
}

// trafficName is what the traffic behind a value is called in a reading.
const trafficName = "traffic"

// values reads one side of a metric at each step.
func (s *Sampler) values(ctx context.Context, m spec.Metric, vars spec.Vars, steps []time.Time, ago time.Duration) ([]judge.Reading, error) {
	readings := make([]judge.Reading, len(steps))
	take := func(query, prefix string, set func(*judge.Reading, float64)) error {
		cells, err := s.column(ctx, vars.Expand(query), steps, ago)
		if err != nil {
			return err
		}
		for i, c := range cells {
			switch nan := errors.Is(c.err, errNaN); {
			case readings[i].Missing != "":
			case nan && m.Judge == spec.JudgeMannWhitney: // its strategy decides
				set(&readings[i], math.NaN())
			case c.err != nil:
				readings[i] = judge.Reading{Missing: prefix + c.err.Error()}
			default:
				set(&readings[i], c.value)
			}
		}
		return nil
	}
	named := func(name string) func(*judge.Reading, float64) {
		return func(r *judge.Reading, v float64) {
			if r.Named == nil {
				r.Named = make(map[string]float64)
			}
			r.Named[name] = v
		}
	}
	if m.Traffic != "" {
		if err := take(m.Traffic, "traffic unknown: ", named(trafficName)); err != nil {
			return nil, inQuery(err, "traffic")
		}
	}
	if m.Query != "" {
		if err := take(m.Query, "", func(r *judge.Reading, v float64) { r.Value = v }); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Queries)) {
		if err := take(m.Queries[name], name+": ", named(name)); err != nil {
			return nil, inQuery(err, name)
		}
	}
	return readings, nil
}

// inQuery says which of a metric's queries is meant.
func inQuery(err error, name string) error { return fmt.Errorf("%s: %w", name, err) }

// cell is the one value of a query at a step, or why there is none.
type cell struct {
	value float64
	err   error
}

// column asks for the value of a query at each step. If it gave several series
// wherever it gave any, that is a mistake.
func (s *Sampler) column(ctx context.Context, promql string, steps []time.Time, ago time.Duration) ([]cell, error) {
	series, err := s.src.Range(ctx, promql, steps[0].Add(-ago), steps[len(steps)-1].Add(-ago), s.interval)
	if err != nil {
		return nil, err
	}
	cells := make([]cell, len(steps))
	found := make([]int, len(steps))
	for _, one := range series {
		for _, p := range one.Points {
			i := int(p.At.Add(ago).Sub(steps[0]).Round(time.Millisecond) / s.interval)
			if i < 0 || i >= len(steps) {
				continue
			}
			if found[i]++; math.IsNaN(p.Value) {
				cells[i].err = errNaN
			} else {
				cells[i] = cell{value: p.Value, err: finite(p.Value)}
			}
		}
	}
	var several *SpecError
	single := false
	for i, n := range found {
		switch n {
		case 0:
			cells[i].err = ErrNoData
		case 1:
			single = true
		default:
			several = &SpecError{Query: promql, Fleeting: true, Reason: fmt.Sprintf(
				"%d series where one is expected, such as %s and %s: aggregate them, with sum() for example",
				n, labelText(series[0].Labels), labelText(series[1].Labels))}
			cells[i].err = errors.New(several.Reason)
		}
	}
	if several != nil && !single {
		return nil, several
	}
	return cells, nil
}
