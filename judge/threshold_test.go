package judge_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/judge"
	"switchd/spec"
)

// start is when the looks of tests begin.
var start = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// at is the end of the nth step, of a minute each.
func at(n int) time.Time { return start.Add(time.Duration(n+1) * time.Minute) }

// minutely is an analysis with a step of a minute.
func minutely(looks int, metrics ...spec.Metric) spec.Analysis {
	return spec.Analysis{Interval: spec.Duration(time.Minute), Looks: looks, Alpha: 0.02, Score: spec.Score{Pass: 95, Marginal: 75}, Metrics: metrics}
}

// gap is a reading with nothing in it.
func gap(why string) judge.Reading { return judge.Reading{Missing: why} }

// reading is a value, or a gap if it is NaN.
func reading(v float64) judge.Reading {
	if math.IsNaN(v) {
		return gap("no data")
	}
	return judge.Reading{Value: v}
}

var nan = math.NaN()

// most is a metric of threshold: at most 2.
func most(name string) spec.Metric {
	return spec.Metric{Name: name, Judge: spec.JudgeThreshold, Query: name, Max: new(2.0)}
}

func made(t testing.TB, m spec.Metric, a spec.Analysis) judge.Judge {
	t.Helper()
	j, err := judge.New(m, a, judge.Background{})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// shown lets a judge look at readings, a minute each.
func shown(j judge.Judge, readings ...judge.Reading) judge.Finding {
	for i, r := range readings {
		j.Observe(judge.Sample{At: at(i), Experiment: r})
	}
	return j.Finding()
}

func wantFinding(t *testing.T, f judge.Finding, outcome judge.Outcome, why string) {
	t.Helper()
	if f.Outcome != outcome || f.Why != why {
		t.Errorf("got  %s: %s\nwant %s: %s", f.Outcome, f.Why, outcome, why)
	}
}

func TestThreshold_CountsLooks(t *testing.T) {
	t.Parallel()
	zone := most("errors")
	zone.FailMax = new(4.0)
	limited := zone
	limited.InconclusiveLimit = new(1)
	answered := most("errors")
	answered.ErrorLimit = new(2)
	flagger := most("errors")
	flagger.FailureLimit, flagger.MissingFails = 2, true
	forgiving := most("errors")
	forgiving.FailureLimit = 3
	low := spec.Metric{Name: "hits", Judge: spec.JudgeThreshold, Query: "a / b", Min: new(0.9), FailMin: new(0.5)}
	counts := spec.Metric{Name: "errors", Judge: spec.JudgeThreshold, Bad: "bad", Total: "total", Max: new(0.01), MinTraffic: 100}

	tests := map[string]struct {
		metric  spec.Metric
		values  []judge.Reading
		outcome judge.Outcome
		why     string
	}{
		"nothing yet":       {most("errors"), nil, judge.Undecided, "errors: 0 of 3 passing looks, last look: none yet"},
		"on the way":        {most("errors"), values(1, 2), judge.Undecided, "errors: 2 of 3 passing looks, last look: 2, allowed at most 2"},
		"passes":            {most("errors"), values(1, 2, 0), judge.NoWorse, "errors: 3 of 3 passing looks, last look: 0, allowed at most 2"},
		"fails":             {most("errors"), values(1, 5), judge.Regressed, "errors of the new version is 5, allowed at most 2, after 2 looks in 2 min"},
		"forgives":          {forgiving, values(9, 1, 1, 1), judge.NoWorse, "errors: 3 of 3 passing looks, 1 failed of 3 forgiven, last look: 1, allowed at most 2"},
		"the newest failed": {forgiving, values(1, 1, 1, 9), judge.Undecided, "errors: 3 of 3 passing looks, 1 failed of 3 forgiven, last look: 9, allowed at most 2"},
		"gaps count neither way": {most("errors"), values(1, nan, 1, nan, 1), judge.NoWorse,
			"errors: 3 of 3 passing looks, 2 unknown, last look: 1, allowed at most 2"},
		"an outage is unknown": {most("errors"), values(1, nan, nan, nan, nan, nan, nan), judge.Undecided, "errors: 1 of 3 passing looks, 6 unknown, last look: no data"},
		"NaN and Inf are unknown": {most("errors"), []judge.Reading{{Value: nan}, {Value: math.Inf(1)}}, judge.Undecided,
			"errors: 0 of 3 passing looks, 2 unknown, last look: the value is infinite (+Inf), as a division by zero is"},
		"between the bounds": {zone, values(1, 3, 1, 1, 3), judge.Undecided,
			"errors: 3 of 3 passing looks, 2 inconclusive, last look: 3, allowed at most 2"},
		"beyond the zone": {zone, values(5), judge.Regressed, "errors of the new version is 5, allowed at most 2, after 1 look in 1 min"},
		"below the zone":  {low, values(0.7, 0.4), judge.Regressed, "hits of the new version is 0.4 (40 %), allowed at least 0.9 (90 %), after 2 looks in 2 min"},
		"too inconclusive": {limited, values(3, 3, 1, 1, 1), judge.Undecided,
			"errors: 3 of 3 passing looks, 2 inconclusive of 1 accepted, last look: 1, allowed at most 2"},
		"too many errors in a row": {answered, values(nan, nan, nan), judge.Regressed,
			"errors: 3 looks in a row without an answer (the last: no data), allowed are 2, after 3 looks in 3 min"},
		"errors between answers": {answered, values(nan, nan, 1, nan, nan), judge.Undecided,
			"errors: 1 of 3 passing looks, 4 unknown, last look: no data"},
		"Flagger counts gaps": {flagger, values(nan, 1, 1, 1, nan, nan), judge.Regressed,
			"errors of the new version is without an answer (no data), which counts as failed, after 6 looks in 6 min"},
		"counted events": {counts, []judge.Reading{events(1, 100), events(2, 99), events(5, 200)}, judge.Regressed,
			"errors of the new version is 0.025 (2.5 %), allowed at most 0.01 (1 %), after 3 looks in 3 min"},
		"too little traffic": {counts, []judge.Reading{events(20, 99)}, judge.Undecided,
			"errors: 0 of 3 passing looks, 1 unknown, last look: too little traffic: 99, needed 100"},
		"no traffic": {counts, []judge.Reading{events(0, 0), {}}, judge.Undecided,
			"errors: 0 of 3 passing looks, 2 unknown, last look: traffic unknown: no data"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFinding(t, shown(made(t, tt.metric, minutely(3)), tt.values...), tt.outcome, tt.why)
		})
	}
}

func values(vs ...float64) (readings []judge.Reading) {
	for _, v := range vs {
		readings = append(readings, reading(v))
	}
	return readings
}

// events is a reading of one node.
func events(bad, total float64) judge.Reading {
	return judge.Reading{Nodes: map[string]judge.Counts{"a": {Bad: []float64{bad}, Total: total}}}
}

func TestThreshold_TooLittleTrafficIsNeitherFailureNorError(t *testing.T) {
	t.Parallel()
	m := most("errors")
	m.Traffic, m.MinTraffic, m.MissingFails, m.ErrorLimit = "requests", 20, true, new(0)
	thin := judge.Reading{Value: 9, Named: map[string]float64{"traffic": 19}}
	wantFinding(t, shown(made(t, m, minutely(3)), thin, thin), judge.Undecided,
		"errors: 0 of 3 passing looks, 2 unknown, last look: too little traffic: 19, needed 20")
	lost := judge.Reading{Value: 1}
	wantFinding(t, shown(made(t, m, minutely(3)), lost), judge.Regressed,
		"errors of the new version is without an answer (traffic unknown: no data), which counts as failed, after 1 look in 1 min")
}

func TestThreshold_AStepKeepsFailuresAndForgetsPasses(t *testing.T) {
	t.Parallel()
	m := most("errors")
	m.FailureLimit = 1
	j := made(t, m, minutely(2))
	if f := shown(j, values(9, 1, 1)...); f.Outcome != judge.NoWorse {
		t.Fatalf("got %s", f.Why)
	}
	j.Step()
	f := j.Finding()
	wantFinding(t, f, judge.Undecided, "errors: 0 of 2 passing looks, 1 failed of 1 forgiven, last look: 1, allowed at most 2")
	if f.Need.Time != 2*time.Minute {
		t.Errorf("it needs %s", f.Need.Time)
	}
	j.Observe(judge.Sample{At: at(3), Experiment: reading(9)})
	wantFinding(t, j.Finding(), judge.Regressed, "errors of the new version is 9, allowed at most 2, after 4 looks in 4 min")
}

func TestThreshold_NeverPassesWhatItDidNotSee(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		wanted, limit := rapid.IntRange(1, 4).Draw(t, "wanted"), rapid.IntRange(0, 2).Draw(t, "limit")
		m := most("errors")
		m.FailureLimit = limit
		seen := rapid.SliceOfN(rapid.SampledFrom([]float64{1, 1, 1, 9, nan}), 0, 12).Draw(t, "values")
		j, err := judge.New(m, minutely(wanted), judge.Background{})
		if err != nil {
			t.Fatal(err)
		}
		f := shown(j, values(seen...)...)
		var good, bad int
		newest := 0.0
		for _, v := range seen {
			switch v {
			case 1:
				good++
				newest = v
			case 9:
				bad++
				newest = v
			}
		}
		want := judge.Undecided
		switch {
		case bad > limit:
			want = judge.Regressed
		case good >= wanted && newest == 1:
			want = judge.NoWorse
		}
		if f.Outcome != want || f.Samples != good+bad || f.Gaps != len(seen)-good-bad {
			t.Fatalf("%s with %d samples and %d gaps, want %s: %s", f.Outcome, f.Samples, f.Gaps, want, f.Why)
		}
	})
}

func TestNew_RefusesAMetricThatSaysNothing(t *testing.T) {
	t.Parallel()
	crossed := most("errors")
	crossed.FailMax = new(1.0)
	alone := most("errors")
	alone.FailMin = new(1.0)
	for want, m := range map[string]spec.Metric{
		`metric "a" has neither min nor max, so that no value would be bad`:               {Name: "a", Judge: spec.JudgeThreshold},
		`metric "a": there is no judge "oracle"`:                                          {Name: "a", Judge: "oracle"},
		`metric "errors" has a fail_max of 1 within its max of 2: what passes would fail`: crossed,
		`metric "errors" has fail_min without min`:                                        alone,
		`metric "a" has no mannwhitney block`:                                             {Name: "a", Judge: spec.JudgeMannWhitney},
		`metric "a": direction is "", want one of increase, decrease, either`:             {Name: "a", Judge: spec.JudgeMannWhitney, MannWhitney: &spec.MannWhitney{}},
	} {
		if _, err := judge.New(m, minutely(1), judge.Background{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
