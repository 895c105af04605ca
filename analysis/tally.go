package analysis

import "switchd/gate"

// tally counts the looks at one metric. It knows neither time nor Prometheus.
type tally struct {
	passed, failed, unknown int
	// newest is the newest look that was not unknown.
	newest gate.Outcome
}

// add counts one look.
func (t *tally) add(look gate.Outcome) {
	switch look {
	case gate.Pass:
		t.passed++
	case gate.Fail:
		t.failed++
	case gate.Unknown:
		t.unknown++
		return // counts neither for nor against
	}
	t.newest = look
}

// looks is the number of looks that were not unknown.

// outcome is what the looks say of the metric by now: it fails with more than
// limit failed looks, and passes with wanted passing looks (at least one) of
// which the newest is not followed by a failed one.
func (t *tally) outcome(wanted, limit int) gate.Outcome {
	switch {
	case t.failed > limit:
		return gate.Fail
	case t.passed >= max(1, wanted) && t.newest == gate.Pass:
		return gate.Pass
	}
	return gate.Unknown
}

// overall is the outcome of all metrics: one that fails fails them all, and
// they pass together.
func overall(metrics []gate.Outcome) gate.Outcome {
	all := gate.Pass
	for _, o := range metrics {
		switch o {
		case gate.Fail:
			return gate.Fail
		case gate.Unknown:
			all = gate.Unknown
		case gate.Pass:
		}
	}
	if len(metrics) == 0 {
		return gate.Unknown
	}
	return all
}
