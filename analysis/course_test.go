package analysis_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"switchd/analysis"
	"switchd/gate"
	"switchd/spec"
)

// script answers each query with the next of its values, and with an error
// where that is NaN or the script is over. It stands for Prometheus where the
// course of many looks in made-up time is what is tested.
type script struct {
	mu     sync.Mutex
	values map[string][]float64
	asked  map[string]int
}

func (s *script) Query(_ context.Context, promql string, at time.Time) (analysis.Sample, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = make(map[string]int)
	}
	i := s.asked[promql]
	s.asked[promql]++
	if values := s.values[promql]; i < len(values) && !math.IsNaN(values[i]) {
		return analysis.Sample{Value: values[i], Time: at}, nil
	}
	return analysis.Sample{}, analysis.ErrNoData
}

// within runs f in made-up time with a context that ends after d.
func within(t *testing.T, d time.Duration, f func(ctx context.Context) gate.Verdict) (v gate.Verdict) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		v = f(ctx)
	})
	return v
}

func wantVerdict(t *testing.T, v gate.Verdict, outcome gate.Outcome, why string) {
	t.Helper()
	if v.Outcome != outcome || v.Why != why {
		t.Errorf("got  %s: %s\nwant %s: %s\nevidence:\n%s", v.Outcome, v.Why, outcome, why, strings.Join(v.Evidence, "\n"))
	}
}

const share = "errors{pool=\"{{pool}}\"} / requests"

func twoSeconds(looks int, metrics ...spec.Metric) spec.Analysis {
	return spec.Analysis{Interval: spec.Duration(2 * time.Second), Looks: looks, Metrics: metrics}
}

func TestRun_FailsWithASentence(t *testing.T) {
	t.Parallel()
	v := within(t, time.Minute, func(ctx context.Context) gate.Verdict {
		q := &script{values: map[string][]float64{`errors{pool="green"} / requests`: {0, 0.02, 0.052}}}
		cfg := twoSeconds(5, spec.Metric{Name: "errors", Query: share, Max: new(0.01), FailureLimit: 1})
		return analysis.Run(ctx, cfg, spec.Vars{Pool: "green"}, q, nil)
	})
	wantVerdict(t, v, gate.Fail, "errors of green is 0.052 (5.2 %), allowed at most 0.01 (1 %), after 3 looks in 6 s")
	if v.Took != 6*time.Second {
		t.Errorf("took %s", v.Took)
	}
	want := []string{
		"errors: 1 of 5 passing looks, 2 failed of 1 forgiven, last look: 0.052 (5.2 %), allowed at most 0.01 (1 %)",
		`errors: query errors{pool="green"} / requests`,
	}
	if got := fmt.Sprintf("%q", v.Evidence); got != fmt.Sprintf("%q", want) {
		t.Errorf("evidence %s\nwant     %q", got, want)
	}
}

func TestRun_PassesWhenEveryMetricHasItsLooks(t *testing.T) {
	t.Parallel()
	var lines []string
	v := within(t, time.Minute, func(ctx context.Context) gate.Verdict {
		q := &script{values: map[string][]float64{"a": {1, 1, 1, 1}, "b": {math.NaN(), 5, 6, 5}}}
		cfg := twoSeconds(3,
			spec.Metric{Name: "a", Query: "a", Max: new(2.0)},
			spec.Metric{Name: "b", Query: "b", Min: new(3.0), Max: new(9.0)})
		return analysis.Run(ctx, cfg, spec.Vars{Pool: "green"}, q, func(line string) { lines = append(lines, line) })
	})
	wantVerdict(t, v, gate.Pass, "a and b are within bounds on green, after 4 looks in 8 s")
	if len(lines) != 8 || lines[1] != "look 1: b: 0 of 3 passing looks, 1 unknown, last look: no data" {
		t.Errorf("progress %q", lines)
	}
}

func TestRun_WaitsForAPassingLookAfterAForgivenFailure(t *testing.T) {
	t.Parallel()
	v := within(t, time.Minute, func(ctx context.Context) gate.Verdict {
		q := &script{values: map[string][]float64{"a": {1, 9, math.NaN(), 1}, "b": {math.NaN(), 1, 1, 1}}}
		return analysis.Run(ctx, twoSeconds(1, spec.Metric{Name: "a", Query: "a", Max: new(2.0), FailureLimit: 3},
			spec.Metric{Name: "b", Query: "b", Max: new(2.0)}), spec.Vars{}, q, nil)
	})
	wantVerdict(t, v, gate.Pass, "a and b are within bounds, after 4 looks in 8 s")

	v = within(t, 7*time.Second, func(ctx context.Context) gate.Verdict {
		q := &script{values: map[string][]float64{"a": {9, math.NaN(), math.NaN()}, "b": {1, 1, 1}}}
		return analysis.Run(ctx, twoSeconds(1, spec.Metric{Name: "a", Query: "a", Max: new(2.0), FailureLimit: 3},
			spec.Metric{Name: "b", Query: "b", Max: new(2.0)}), spec.Vars{}, q, nil)
	})
	wantVerdict(t, v, gate.Unknown, "the analysis was ended (context deadline exceeded) after 3 looks in 7 s: "+
		"a: 0 of 1 passing looks, 1 failed of 3 forgiven, 2 unknown, last look: no data")
}

func TestRun_IsUnknownWithTooLittleTraffic(t *testing.T) {
	t.Parallel()
	v := within(t, 9*time.Second, func(ctx context.Context) gate.Verdict {
		q := &script{values: map[string][]float64{"a": {9, 9, 1, 1}, "traffic": {0, 19.5, 20, math.NaN()}}}
		m := spec.Metric{Name: "errors", Query: "a", Max: new(2.0), Traffic: "traffic", MinTraffic: 20}
		return analysis.Run(ctx, twoSeconds(5, m), spec.Vars{}, q, nil)
	})
	// The script counts what is asked: "a" only when there is traffic, so its
	// first value meets the third look.
	wantVerdict(t, v, gate.Fail, "errors is 9, allowed at most 2, after 3 looks in 6 s")

	v = within(t, 9*time.Second, func(ctx context.Context) gate.Verdict {
		q := &script{values: map[string][]float64{"a": {1, 1}, "traffic": {20, 20, 19.5}}}
		m := spec.Metric{Name: "errors", Query: "a", Max: new(2.0), Traffic: "traffic", MinTraffic: 20}
		return analysis.Run(ctx, twoSeconds(5, m), spec.Vars{}, q, nil)
	})
	wantVerdict(t, v, gate.Unknown, "the analysis was ended (context deadline exceeded) after 4 looks in 9 s: "+
		"errors: 2 of 5 passing looks, 2 unknown, last look: traffic unknown: no data")
}

func TestRun_FailsAtOnceForWhatCannotPass(t *testing.T) {
	t.Parallel()
	metric := spec.Metric{Name: "a", Query: "a", Max: new(2.0)}
	for why, cfg := range map[string]spec.Analysis{
		"analysis: interval must be above 0, got 0s": {Looks: 1, Metrics: []spec.Metric{metric}},
		"analysis: looks must be at least 1, got 0":  twoSeconds(0, metric),
		"analysis: there is no metric to look at":    twoSeconds(1),
		`metric "a" has neither min nor max`:         twoSeconds(1, spec.Metric{Name: "a", Query: "a"}),
	} {
		wantVerdict(t, analysis.Run(t.Context(), cfg, spec.Vars{}, &script{}, nil), gate.Fail, why)
	}
}

func TestRun_NeverPassesWhatItDidNotSee(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		looks := rapid.IntRange(1, 4).Draw(rt, "looks")
		limit := rapid.IntRange(0, 2).Draw(rt, "limit")
		values := rapid.SliceOfN(rapid.SampledFrom([]float64{1, 1, 1, 9, math.NaN(), math.Inf(1)}), 0, 12).Draw(rt, "values")
		ends := time.Duration(rapid.IntRange(0, 13).Draw(rt, "ends after looks"))*2*time.Second + time.Second
		v := within(t, ends, func(ctx context.Context) gate.Verdict {
			m := spec.Metric{Name: "a", Query: "a", Max: new(2.0), FailureLimit: limit}
			return analysis.Run(ctx, twoSeconds(looks, m), spec.Vars{}, &script{values: map[string][]float64{"a": values}}, nil)
		})

		var good, bad int
		for _, x := range values[:min(len(values), int(v.Took/(2*time.Second)))] {
			switch x {
			case 1:
				good++
			case 9:
				bad++
			}
		}
		switch {
		case v.Outcome == gate.Pass && (good < looks || bad > limit),
			v.Outcome == gate.Fail && bad != limit+1,
			v.Outcome == gate.Unknown && (v.Took != ends || bad > limit):
			rt.Fatalf("%s after %d good and %d bad looks: %s", v.Outcome, good, bad, v.Why)
		}
	})
}

// failing answers every query with one error.
type failing struct{ err error }

func (f failing) Query(context.Context, string, time.Time) (analysis.Sample, error) {
	return analysis.Sample{}, f.err
}

// old answers with a value of long ago.
type old struct{ age time.Duration }

func (o old) Query(_ context.Context, _ string, at time.Time) (analysis.Sample, error) {
	return analysis.Sample{Value: 1, Time: at.Add(-o.age)}, nil
}

func TestRun_DoesNotBelieveStaleValues(t *testing.T) {
	t.Parallel()
	v := within(t, 3*time.Second, func(ctx context.Context) gate.Verdict {
		return analysis.Run(ctx, twoSeconds(1, spec.Metric{Name: "a", Query: "a", Max: new(2.0)}), spec.Vars{}, old{3 * time.Minute}, nil)
	})
	wantVerdict(t, v, gate.Unknown, "the analysis was ended (context deadline exceeded) after 1 look in 3 s: "+
		"a: 0 of 1 passing looks, 1 unknown, last look: the value is stale: it is 3m0s old")
}

func TestDrained_WaitsUntilItStaysQuiet(t *testing.T) {
	t.Parallel()
	drain := spec.Drain{Query: "traffic{pool=\"{{pool}}\"}", Below: 0.1, For: spec.Duration(5 * time.Second)}
	blue := spec.Vars{Pool: "blue"}
	script := func(values ...float64) *script {
		return &script{values: map[string][]float64{`traffic{pool="blue"}`: values}}
	}
	tests := map[string]struct {
		q       analysis.Querier
		outcome gate.Outcome
		why     string
	}{
		"quiet": {
			script(7, 3, 0.05, 0, 0, 0, 0, 0.1), gate.Pass,
			"traffic of blue is 0.1 requests/s, and was at most 0.1 for 5 s",
		},
		"broken by traffic": {
			script(0, 0, 0, 0, 0.2, 0, 0, 0, 0, 0, 0), gate.Pass,
			"traffic of blue is 0 requests/s, and was at most 0.1 for 5 s",
		},
		"broken by silence": {
			script(0, 0, 0, 0, math.NaN(), 0, 0, 0, 0, 0), gate.Unknown,
			"waiting for blue to drain was ended (context deadline exceeded): traffic is unknown (no data); drained means at most 0.1 for 5 s",
		},
		"busy": {
			script(9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 8), gate.Unknown,
			"waiting for blue to drain was ended (context deadline exceeded): traffic is 8 requests/s; drained means at most 0.1 for 5 s",
		},
		"unknown": {
			failing{errors.New("the server is gone")}, gate.Unknown,
			"waiting for blue to drain was ended (context deadline exceeded): traffic is unknown (the server is gone); drained means at most 0.1 for 5 s",
		},
		"wrong": {
			failing{&analysis.SpecError{Query: "sum(", Reason: "parse error"}}, gate.Fail,
			`the drain query is wrong: parse error, in "sum("`,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := within(t, 20500*time.Millisecond, func(ctx context.Context) gate.Verdict {
				return analysis.Drained(ctx, drain, blue, tt.q, func(string) {})
			})
			wantVerdict(t, v, tt.outcome, tt.why)
		})
	}
	wantVerdict(t, analysis.Drained(t.Context(), spec.Drain{}, blue, nil, nil), gate.Unknown, "drain has no query to measure the traffic with")
}

func TestDrained_PassesExactlyWhenItStayedQuiet(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0, 0, 0, 5, math.NaN()}), 0, 40).Draw(rt, "values")
		v := within(t, time.Minute, func(ctx context.Context) gate.Verdict {
			d := spec.Drain{Query: "x", Below: 0.1, For: spec.Duration(5 * time.Second)}
			return analysis.Drained(ctx, d, spec.Vars{}, &script{values: map[string][]float64{"x": values}}, nil)
		})

		quiet, passes := 0, false // six quiet looks, a second apart, are five seconds
		for _, x := range values {
			if quiet++; x != 0 {
				quiet = 0
			}
			passes = passes || quiet == 6
		}
		if passes != (v.Outcome == gate.Pass) {
			rt.Fatalf("%s: %s", v.Outcome, v.Why)
		}
	})
}
