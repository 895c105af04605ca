// Package report draws what a judge saw and found as one HTML page or as one
// picture: both sides, their ratio with its band, the evidence against its limit,
// and the sentences. Nothing in them leads anywhere else: a page can be kept,
// mailed, and opened without a network. The same report gives the same bytes.
package report

import (
	"cmp"
	"math"
	"slices"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// Report is what is to be shown.
type Report struct {
	Title string // such as "web 1.4.0 in prod"
	// Outcome and Why are the verdict.
	Outcome judge.Outcome
	Why     string
	// Facts are what else a reader wants to know, such as when it was decided.
	Facts []Fact
	// Experiment and Control are what the sides are called.
	Experiment, Control string
	// Limit is the log e-value that raises the alarm, 0 if no metric has one.
	Limit float64
	// Together is the way of the evidence of all metrics to it.
	Together judge.Path
	// Moments are marked in all plots.
	Moments []Moment
	Metrics []Metric
	// Config is the configuration as a text, "" for none.
	Config string
}

// Fact is a name with what there is to say.
type Fact struct{ Name, Text string }

// Moment is a time at which something happened.
type Moment struct {
	At   time.Time
	Name string
}

// Metric is one metric of a report.
type Metric struct {
	Finding judge.Finding
	// Shows says what the values are, such as "Share of bad requests".
	Shows string
	// Share says that values are shares, to be written in per cent.
	Share bool
	// Allowed is the ratio above which the metric has regressed, and Harmless a
	// value that never is a regression; 0 for none.
	Allowed, Harmless float64
	// Min and Max are bounds of the value; nil for none.
	Min, Max *float64
	// Queries are what was asked for, by what it is.
	Queries []Fact
	Path    judge.Path
}

// gap tells whether a mark has nothing at all.
func gap(m judge.Mark) bool {
	return m.Gaps == m.Looks && math.IsNaN(m.Experiment) && math.IsNaN(m.Control)
}

// What is drawn at most. Who has more metrics sees the worst ones.
const (
	MaxPlots   = 100 // metrics with plots in a page
	MaxPicture = 6   // metrics in a picture
)

// sorted are the metrics with what decides first: those that regressed, then
// those that are undecided.
func (r Report) sorted() []Metric {
	rank := func(m Metric) int {
		switch m.Finding.Outcome {
		case judge.Regressed:
			return 0
		case judge.Undecided:
			return 1
		case judge.NoWorse:
		}
		return 2
	}
	metrics := slices.Clone(r.Metrics)
	slices.SortStableFunc(metrics, func(a, b Metric) int {
		return cmp.Or(rank(a)-rank(b), cmp.Compare(a.Finding.Metric, b.Finding.Metric))
	})
	return metrics
}

// together is the way of the evidence of several metrics to their common limit,
// as a metric of its own; false if there are no several.
func (r Report) together() (Metric, bool) {
	weighed := 0
	for _, m := range r.Metrics {
		if m.Finding.Judge == spec.JudgeSequential {
			weighed++
		}
	}
	m := Metric{Path: r.Together}
	m.Finding.Metric = "all metrics"
	return m, weighed > 1 && len(r.Together) > 0
}
