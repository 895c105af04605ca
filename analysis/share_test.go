package analysis_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/analysis"
	"switchd/spec"
)

func measure(t testing.TB, pool, other float64) (analysis.Share, error) {
	t.Helper()
	q := &script{values: map[string][]float64{`traffic{pool="green"}`: {pool}, `traffic{pool="blue"}`: {other}}}
	return analysis.MeasureShare(t.Context(), `traffic{pool="{{pool}}"}`, spec.Vars{Pool: "green"}, spec.Vars{Pool: "blue"}, q)
}

func TestMeasureShare_IsThatOfThePoolInBoth(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		pool, other := rapid.Float64Range(0, 1e9).Draw(r, "pool"), rapid.Float64Range(0.001, 1e9).Draw(r, "other")
		there, err := measure(t, pool, other)
		if err != nil {
			r.Fatal(err)
		}
		back, err := measure(t, other, pool)
		if err != nil {
			r.Fatal(err)
		}
		if there.Percent < 0 || there.Percent > 100 || math.Abs(there.Percent+back.Percent-100) > 1e-9 {
			r.Fatalf("%v %% of one pool and %v %% of the other", there.Percent, back.Percent)
		}
		if math.Abs(there.Percent*there.Total/100-pool) > 1e-6*max(pool, 1) {
			r.Fatalf("%v %% of %v is not %v", there.Percent, there.Total, pool)
		}
	})
}

func TestMeasureShare_IsUnknownWithoutBoth(t *testing.T) {
	t.Parallel()
	unknown := math.NaN()
	for want, rates := range map[string][2]float64{
		"traffic of green: no data":                                         {unknown, 3},
		"traffic of blue: no data":                                          {3, unknown},
		"there is no traffic to either pool":                                {0, 0},
		"traffic of green is -1 requests/s, which is less than none":        {-1, 3},
		"traffic of blue: the value is infinite (+Inf), as a division by z": {1, math.Inf(1)},
	} {
		if share, err := measure(t, rates[0], rates[1]); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("of %v: got %v, %v, want %q", rates, share, err, want)
		}
	}
}
