package analysis

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"switchd/spec"
)

// Task is one analysis of a rollout, at one share of the traffic.
type Task struct {
	Config spec.Analysis
	// Vars are the new version's: Pool is its pool, and Other the live one.
	Vars spec.Vars
	// LiveVersion is what runs on the live pool, for queries that name versions.
	LiveVersion string
	// Share is the per cent of the traffic that the new version gets, 0 for none,
	// and Step counts the shares from 0 on.
	Share int
	Step  int
	// Since is when the share was in force: no step before it counts.
	Since time.Time
	// Began is when the rollout began: the history ends there.
	Began time.Time
	// State is that of the last verdict, nil at first.
	State json.RawMessage
}

// Compares is what the new version is compared with: one of spec.Compare constants.
func (t Task) Compares() string {
	compare := cmp.Or(t.Config.Compare, spec.CompareLive)
	if compare == spec.CompareLive && t.Share == 0 {
		return cmp.Or(t.Config.Fallback, compare)
	}
	return compare
}

// Judged is the task's analysis as it is judged: wider where it compares with
// former days. Histograms without edges still have none.
func (t Task) Judged() spec.Analysis { return widened(t.Config, t.Compares()) }

// widened returns the analysis for what is compared: what differs between two
// days is no regression yet.
func widened(cfg spec.Analysis, compared string) spec.Analysis {
	cfg.Metrics = slices.Clone(cfg.Metrics)
	for i, m := range cfg.Metrics {
		cfg.Metrics[i].Judge = cmp.Or(m.Judge, spec.JudgeThreshold) // the only one that there was once
	}
	if compared != spec.CompareFormer {
		return cfg
	}
	wider := max(1, cfg.Wider)
	for i := range cfg.Metrics {
		m := &cfg.Metrics[i]
		m.Allowed *= wider
		m.Margin *= wider
		if m.MannWhitney != nil {
			rule := *m.MannWhitney
			rule.Tolerance *= wider
			m.MannWhitney = &rule
		}
	}
	return cfg
}
