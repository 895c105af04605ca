package judge

import (
	"fmt"

	"switchd/spec"
)

// threshold holds a metric's value against fixed bounds, look by look. Both known
// ways to count can be said: that of Argo Rollouts, with limits of failed,
// inconclusive and consecutive unanswered looks, and that of Flagger, in which a
// look without an answer is a failed one. Unless it is told otherwise, what isn't
// known counts neither way.
type threshold struct{ looks }

func newThreshold(m spec.Metric, a spec.Analysis) (Judge, error) {
	if m.Min == nil && m.Max == nil {
		return nil, fmt.Errorf("metric %q has neither min nor max, so that no value would be bad", m.Name)
	}
	for _, zone := range []struct {
		name       string
		fail, pass *float64
		sign       float64
	}{{"min", m.FailMin, m.Min, 1}, {"max", m.FailMax, m.Max, -1}} {
		switch {
		case zone.fail == nil:
		case zone.pass == nil:
			return nil, fmt.Errorf("metric %q has fail_%s without %s", m.Name, zone.name, zone.name)
		case zone.sign*(*zone.fail-*zone.pass) > 0:
			return nil, fmt.Errorf("metric %q has a fail_%s of %v within its %s of %v: what passes would fail", m.Name, zone.name, *zone.fail, zone.name, *zone.pass)
		}
	}
	return &threshold{looks{metric: m, config: a}}, nil
}

// Observe counts one look.
func (t *threshold) Observe(s Sample) {
	l, showed := t.look(s.Experiment)
	t.add(s, l, t.metric.Name+" of "+ExperimentSide+" is ", showed)
}

// look holds one reading against the bounds. A value beyond FailMin or FailMax
// fails; one within Min and Max passes; what is left is inconclusive on the side
// that has a failing bound, and fails on one that has none.
func (t *threshold) look(r Reading) (look, string) {
	m := t.metric
	if r.Missing != "" {
		return missing, r.Missing
	}
	if l, why := r.behind(m); l != passed {
		return l, why
	}
	v, err := r.value(m)
	if err != nil {
		return missing, err.Error()
	}
	below, above := m.Min != nil && v < *m.Min, m.Max != nil && v > *m.Max
	switch {
	case below && (m.FailMin == nil || v < *m.FailMin), above && (m.FailMax == nil || v > *m.FailMax):
		return failed, describe(m, v)
	case below || above:
		return inconclusive, describe(m, v)
	}
	return passed, describe(m, v)
}
