package sequential_test

import (
	"testing"

	"pgregory.net/rapid"

	"switchd/judge/sequential"
)

// AtMost is asked at each look, Interval for a sentence: they must not differ.
func TestBernoulli_AtMostSaysWhatTheIntervalDoes(t *testing.T) {
	t.Parallel()
	m, err := sequential.NewMixture(10000, 0.02)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		trials := rapid.Float64Range(1, 1e6).Draw(rt, "trials")
		b := sequential.Bernoulli{Successes: trials * rapid.Float64Range(0, 0.01).Draw(rt, "share"), Trials: trials}
		upper := b.Interval(0.02, m).Upper
		if below := upper * 0.999; below > 0 && b.AtMost(below, 0.02, m) {
			rt.Fatalf("%v is known to be at most %v, but the interval ends at %v", b, below, upper)
		}
		if above := upper * 1.001; above < 1 && !b.AtMost(above, 0.02, m) {
			rt.Fatalf("%v is not known to be at most %v, but the interval ends at %v", b, above, upper)
		}
	})
}
