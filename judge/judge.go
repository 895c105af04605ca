// Package judge weighs what a new version shows against what the live one does,
// metric by metric, and comes to a verdict of three outcomes: regressed, no worse
// than the margin, or not enough data yet. Four judges stand behind one interface:
// threshold, mannwhitney, sequential and expr.
//
// The package computes and does nothing else: it asks nobody, and knows no time
// but that of the samples.
package judge

import (
	"encoding/json"
	"fmt"

	"switchd/spec"
)

// Judge weighs one metric. It is not safe for concurrent use.
type Judge interface {
	// Observe takes in the sample of one step. Steps come in the order of time,
	// none twice; one may be left out.
	Observe(Sample)
	// Finding says what the samples so far show.
	Finding() Finding
	// Step begins a new share of the traffic: what a pass needs is to be shown
	// anew, evidence against the version stays.
	Step()
	// A judge's state is what it needs to go on after a restart with the same
	// evidence. It is restored into a judge that was made of the same metric.
	json.Marshaler
	json.Unmarshaler
}

// New returns the judge that a metric names. The background is that of the
// metric's live pool; it may be zero.
func New(m spec.Metric, a spec.Analysis, b Background) (Judge, error) {
	switch m.Judge {
	case spec.JudgeThreshold:
		return newThreshold(m, a)
	case spec.JudgeMannWhitney:
		return newMannWhitney(m, a)
	case spec.JudgeSequential:
		return newSequential(m, a, b)
	case spec.JudgeExpr:
		return newExpr(m, a)
	default:
		return nil, fmt.Errorf("metric %q: there is no judge %q", m.Name, m.Judge)
	}
}
