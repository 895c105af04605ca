package main

import (
	"math"
	"testing"
)

func TestCounts_QuantileIsThatOfPrometheus(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		slow [len(edges)]float64
		q    float64
		want float64
	}{
		// histogram_quantile: lower + (upper-lower)·(rank-below)/(count in the bucket).
		{[...]float64{300, 50, 5, 2, 0}, 0.99, 0.25 + 0.25*(990.-950)/(995-950)},
		{[...]float64{300, 50, 5, 2, 0}, 0.5, 0.1 * 500 / 700},
		{[...]float64{300, 50, 20, 15, 12}, 0.99, 2.5}, // beyond the last edge
		{[...]float64{0, 0, 0, 0, 0}, 0.99, 0.1 * 0.99},
	} {
		c := counts{total: 1000, slow: test.slow}
		if got := c.quantile(test.q); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("quantile %v of %v is %v, want %v", test.q, test.slow, got, test.want)
		}
	}
}

func TestWindow_KnowsNothingOfGaps(t *testing.T) {
	t.Parallel()
	var r rollout
	r[1].experiment = pool{{total: 100, errors: 10}}
	r[3].experiment = pool{{total: 100, errors: 20}}
	if got := r.window(2, 1, experiment); !math.IsNaN(got[0]) || !math.IsNaN(got[1]) {
		t.Errorf("a gap has the values %v", got)
	}
	if got := r.window(3, 3, experiment)[0]; got != 0.15 {
		t.Errorf("three minutes with a gap have %v errors, want 0.15", got)
	}
}
