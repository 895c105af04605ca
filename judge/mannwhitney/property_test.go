package mannwhitney_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/judge/mannwhitney"
)

// grid draws values with many ties, among them none that a shift of 1e-4 tells
// from one another.
func grid(t *rapid.T, label string) []float64 {
	var values []float64
	for _, v := range rapid.SliceOfN(rapid.IntRange(-40, 40), 2, 40).Draw(t, label) {
		values = append(values, float64(v)/4)
	}
	return values
}

// anything draws what may come from outside.
func anything(t *rapid.T, label string) []float64 {
	special := rapid.SampledFrom([]float64{nan, inf, -inf, 0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64})
	return rapid.SliceOfN(rapid.OneOf(rapid.Float64(), rapid.Float64Range(-10, 10), special), 0, 12).Draw(t, label)
}

func anyConfig(t *rapid.T) mannwhitney.Config {
	c := mannwhitney.DefaultConfig()
	c.Direction = rapid.SampledFrom([]mannwhitney.Direction{mannwhitney.Increase, mannwhitney.Decrease, mannwhitney.Either}).Draw(t, "direction")
	c.NaN = rapid.SampledFrom([]mannwhitney.NaNStrategy{mannwhitney.RemoveNaN, mannwhitney.ReplaceNaN}).Draw(t, "nan")
	c.Outliers = rapid.SampledFrom([]mannwhitney.OutlierStrategy{mannwhitney.KeepOutliers, mannwhitney.RemoveOutliers}).Draw(t, "outliers")
	c.Critical, c.MustHaveData = rapid.Bool().Draw(t, "critical"), rapid.Bool().Draw(t, "mustHaveData")
	c.Tolerance = rapid.Float64Range(0, 2).Draw(t, "tolerance")
	c.Confidence = rapid.Float64Range(0, 1).Draw(t, "confidence")
	c.Effect = mannwhitney.DefaultEffect(rapid.SampledFrom([]mannwhitney.Measure{mannwhitney.MeanRatio, mannwhitney.CLES}).Draw(t, "measure"))
	c.Effect.AllowedIncrease = rapid.Float64Range(0, 3).Draw(t, "allowedIncrease")
	c.Effect.CriticalIncrease = rapid.Float64Range(0, 3).Draw(t, "criticalIncrease")
	return c
}

func TestJudge_NeverContradictsItself(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := anyConfig(t)
		v := mannwhitney.Judge(c, anything(t, "control"), anything(t, "experiment"))
		empty := v.Control.Count == 0 || v.Experiment.Count == 0
		switch v.Classification {
		case mannwhitney.High:
			if c.Direction == mannwhitney.Decrease || !(v.Shift.Lower > v.Shift.Bound) || float64(v.Effect.Size) < c.Effect.AllowedIncrease {
				t.Fatalf("High with %+v, %+v", v.Shift, v.Effect)
			}
		case mannwhitney.Low:
			if c.Direction == mannwhitney.Increase || !(v.Shift.Upper < -v.Shift.Bound) || float64(v.Effect.Size) > c.Effect.AllowedDecrease {
				t.Fatalf("Low with %+v, %+v", v.Shift, v.Effect)
			}
		case mannwhitney.Nodata, mannwhitney.NodataFailMetric:
			if !empty || c.NaN == mannwhitney.ReplaceNaN {
				t.Fatalf("%s with %+v and %+v", v.Classification, v.Control, v.Experiment)
			}
		case mannwhitney.Pass, mannwhitney.Error:
			if v.Critical || empty && c.NaN == mannwhitney.RemoveNaN {
				t.Fatalf("%s, critical %t, with %+v and %+v", v.Classification, v.Critical, v.Control, v.Experiment)
			}
		}
		if v.Critical && !c.Critical || v.Reason == "" {
			t.Fatalf("critical %t, reason %q", v.Critical, v.Reason)
		}
		text, err := json.Marshal(v)
		if err != nil || strings.Contains(strings.ReplaceAll(string(text), v.Reason, ""), "NaN") {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

// TestJudge_MirrorsWhenTheSidesChangePlaces holds for the interval up to the
// precision of its ends. The estimate may be anywhere where the ranks balance.
func TestJudge_MirrorsWhenTheSidesChangePlaces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := mannwhitney.DefaultConfig()
		a, b := grid(t, "a"), grid(t, "b")
		there, back := mannwhitney.Judge(c, a, b), mannwhitney.Judge(c, b, a)
		if (there.Shift == nil) != (back.Shift == nil) {
			t.Fatalf("%+v, but the other way round %+v", there, back)
		}
		if there.Shift == nil {
			return
		}
		if !alike(there.Shift.Lower, -back.Shift.Upper) || !alike(there.Shift.Upper, -back.Shift.Lower) {
			t.Fatalf("%+v, but the other way round %+v", there.Shift, back.Shift)
		}
	})
}

// alike allows for two searches, each of which ends within 1e-4 of the same
// step.
func alike(a, b mannwhitney.Number) bool { return math.Abs(float64(a-b)) <= 2.01e-4 }

func TestJudge_MovesWithTheExperiment(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := mannwhitney.DefaultConfig()
		a, b, by := grid(t, "a"), grid(t, "b"), float64(rapid.IntRange(-20, 20).Draw(t, "by"))/4
		moved := slices.Clone(b)
		for i := range moved {
			moved[i] += by
		}
		before, after := mannwhitney.Judge(c, a, b), mannwhitney.Judge(c, a, moved)
		if before.Shift == nil || after.Shift == nil {
			return // equal sides have no shift
		}
		if !alike(before.Shift.Lower+mannwhitney.Number(by), after.Shift.Lower) || !alike(before.Shift.Upper+mannwhitney.Number(by), after.Shift.Upper) {
			t.Fatalf("%+v, moved by %v %+v", before.Shift, by, after.Shift)
		}
	})
}

func TestJudge_DoesNotMindTheOrderOfValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := anyConfig(t)
		a, b := grid(t, "a"), grid(t, "b")
		given := mannwhitney.Judge(c, a, b).Shift
		mixed := mannwhitney.Judge(c, rapid.Permutation(a).Draw(t, "a'"), rapid.Permutation(b).Draw(t, "b'")).Shift
		if (given == nil) != (mixed == nil) || given != nil && *given != *mixed {
			t.Fatalf("%+v, in another order %+v", given, mixed)
		}
	})
}

// TestJudge_CLESKnowsRanksOnly holds for any rising map.
func TestJudge_CLESKnowsRanksOnly(t *testing.T) {
	t.Parallel()
	c := mannwhitney.DefaultConfig()
	c.Effect = mannwhitney.DefaultEffect(mannwhitney.CLES)
	size := func(v mannwhitney.Verdict) float64 {
		if v.Effect == nil {
			return 0.5
		}
		return float64(v.Effect.Size)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := append(grid(t, "a"), 0, 1), append(grid(t, "b"), 0, 1) // never constant
		cube := func(values []float64) []float64 {
			cubes := make([]float64, len(values))
			for i, v := range values {
				cubes[i] = v * v * v
			}
			return cubes
		}
		given := size(mannwhitney.Judge(c, a, b))
		if got := size(mannwhitney.Judge(c, cube(a), cube(b))); got != given {
			t.Fatalf("%v, of the cubes %v", given, got)
		}
		if got := size(mannwhitney.Judge(c, b, a)); math.Abs(got+given-1) > 1e-15 {
			t.Fatalf("%v, the other way round %v", given, got)
		}
		var wins float64
		for _, x := range b {
			for _, y := range a {
				switch {
				case x > y:
					wins++
				case x == y:
					wins += 0.5
				}
			}
		}
		if want := wins / float64(len(a)*len(b)); math.Abs(given-want) > 1e-12 {
			t.Fatalf("%v, but the experiment wins %v of all pairs", given, want)
		}
	})
}
