package judge

import (
	"fmt"

	"switchd/spec"
)

// expression judges by a boolean expression over the values of named queries,
// which holds if all is well. Its looks count as those of threshold do.
type expression struct {
	looks
	formula *formula
}

func newExpr(m spec.Metric, a spec.Analysis) (Judge, error) {
	f, err := compile(m)
	if err != nil {
		return nil, fmt.Errorf("metric %q: %w", m.Name, err)
	}
	return &expression{looks: looks{metric: m, config: a}, formula: f}, nil
}

// Observe evaluates the expression on one look.
func (e *expression) Observe(s Sample) {
	l, showed := e.look(s)
	e.add(s, l, e.metric.Name+": ", showed)
}

// look evaluates the expression. The control is asked for only if it is named.
func (e *expression) look(s Sample) (look, string) {
	if s.Experiment.Missing != "" {
		return missing, s.Experiment.Missing
	}
	if s.Control.Missing != "" && len(e.formula.live) > 0 {
		return missing, fmt.Sprintf("%s: %s", ControlSide, s.Control.Missing)
	}
	if l, why := s.Experiment.behind(e.metric); l != passed {
		return l, why
	}
	holds, err := e.formula.holds(s.Experiment.Named, s.Control.Named)
	if err != nil {
		return missing, err.Error()
	}
	values := e.formula.values(s.Experiment.Named, s.Control.Named)
	if !holds {
		return failed, fmt.Sprintf("%s does not hold, with %s", e.formula.source, values)
	}
	return passed, fmt.Sprintf("%s holds, with %s", e.formula.source, values)
}
