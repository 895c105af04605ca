package analysis_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/spec"

	"pgregory.net/rapid"
)

// script answers each query with the next of its values, and with an error
// where that is NaN or the script is over. It stands for Prometheus where the
// course of many looks in made-up time is what is tested.
type script struct {
	mu     sync.Mutex
	values map[string][]float64
	asked  map[string]int
}

func (s *script) Query(_ context.Context, promql string, at time.Time) (analysis.Point, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = make(map[string]int)
	}
	i := s.asked[promql]
	s.asked[promql]++
	if values := s.values[promql]; i < len(values) && !math.IsNaN(values[i]) {
		return analysis.Point{Value: values[i], At: at}, nil
	}
	return analysis.Point{}, analysis.ErrNoData
}

// failing answers every query with one error.
type failing struct{ err error }

func (f failing) Query(context.Context, string, time.Time) (analysis.Point, error) {
	return analysis.Point{}, f.err
}

// old answers with a value of long ago.
type old struct{ age time.Duration }

func (o old) Query(_ context.Context, _ string, at time.Time) (analysis.Point, error) {
	return analysis.Point{Value: 1, At: at.Add(-o.age)}, nil
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
		"stale": {
			old{3 * time.Minute}, gate.Unknown,
			"waiting for blue to drain was ended (context deadline exceeded): traffic is unknown (the value is stale: it is 3m0s old); drained means at most 0.1 for 5 s",
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
