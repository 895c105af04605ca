package main

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func above(finals []float64, knob float64) (n int) {
	for _, f := range finals {
		if f > knob {
			n++
		}
	}
	return n
}

func TestCalibrate_IsTheLowestKnobOfTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		// Few different values, so that there are ties.
		finals := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 30), func(i int) float64 { return float64(i) }), 1, 200).Draw(t, "finals")
		rate := rapid.Float64Range(0.001, 0.9).Draw(t, "rate")
		knob := calibrate(finals, rate)
		allowed := rate * float64(len(finals))
		if float64(above(finals, knob)) > allowed {
			t.Fatalf("%d of %d are above %v, allowed are %v", above(finals, knob), len(finals), knob, allowed)
		}
		if lower := math.Nextafter(knob, -1); float64(above(finals, lower)) <= allowed {
			t.Fatalf("a knob of %v would do, got %v", lower, knob)
		}
	})
}

func TestCalibrateAll_LeavesOutWhatNoKnobHelps(t *testing.T) {
	t.Parallel()
	k := calibrateAll([][]float64{{1, 2, 3, 4}, {never, never, 1, 1}, {5, 6, 7, 8}, {9, 9, 9, 9}}, func(i int) bool { return i < 3 }, 0.25)
	if !slices.Equal(k.own, []float64{3, never, 7, 9}) || !slices.Equal(k.hopeless, []int{1}) || k.worst != 7 || k.mean != 6 {
		t.Errorf("got %+v", k)
	}
}
