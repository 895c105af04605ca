package analysis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"switchd/gate"
	"switchd/spec"
)

// look is what one look at one metric showed.
type look struct {
	outcome gate.Outcome
	value   float64 // if outcome is not unknown
	why     string  // if outcome is unknown
}

// lookAt asks for the value of a metric and for the traffic behind it, both as
// of the same moment. An error is a mistake in the spec.
func lookAt(ctx context.Context, q Querier, m spec.Metric, at time.Time) (look, error) {
	if m.Traffic != "" {
		traffic, err := value(ctx, q, m.Traffic, at)
		if mistake, ok := errors.AsType[*SpecError](err); ok {
			return look{}, fmt.Errorf("traffic query of metric %q is wrong: %w", m.Name, mistake)
		}
		if err != nil {
			return look{why: fmt.Sprintf("traffic unknown: %v", err)}, nil
		}
		if traffic < m.MinTraffic {
			return look{why: fmt.Sprintf("too little traffic: %s, needed %s", number(traffic, false), number(m.MinTraffic, false))}, nil
		}
	}
	v, err := value(ctx, q, m.Query, at)
	if mistake, ok := errors.AsType[*SpecError](err); ok {
		return look{}, fmt.Errorf("query of metric %q is wrong: %w", m.Name, mistake)
	}
	if err != nil {
		return look{why: err.Error()}, nil
	}
	if (m.Min != nil && v < *m.Min) || (m.Max != nil && v > *m.Max) {
		return look{outcome: gate.Fail, value: v}, nil
	}
	return look{outcome: gate.Pass, value: v}, nil
}

// describe writes a value beside the bound that matters: the one that it is
// beyond, or else those that there are.
func describe(m spec.Metric, v float64) string {
	share := isShare(m)
	switch {
	case m.Max != nil && v > *m.Max:
		got, bound := apart(v, *m.Max, share)
		return fmt.Sprintf("%s, allowed at most %s", got, bound)
	case m.Min != nil && v < *m.Min:
		got, bound := apart(v, *m.Min, share)
		return fmt.Sprintf("%s, allowed at least %s", got, bound)
	case m.Min != nil && m.Max != nil:
		return fmt.Sprintf("%s, allowed %s to %s", number(v, share), number(*m.Min, share), number(*m.Max, share))
	case m.Min != nil:
		return fmt.Sprintf("%s, allowed at least %s", number(v, share), number(*m.Min, share))
	default:
		return fmt.Sprintf("%s, allowed at most %s", number(v, share), number(*m.Max, share))
	}
}
