package sequential_test

import (
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"

	"switchd/judge/sequential"
)

var (
	anAlpha = rapid.Float64Range(0.0001, 0.5)
	aSample = rapid.Custom(func(t *rapid.T) sequential.Sample {
		total := float64(rapid.IntRange(0, 100000).Draw(t, "total"))
		return sequential.Sample{Bad: math.Floor(total * rapid.Float64Range(0, 1).Draw(t, "share")), Total: total}
	})
	aLook = rapid.Custom(func(t *rapid.T) sequential.Look {
		return sequential.Look{Experiment: aSample.Draw(t, "experiment"), Control: aSample.Draw(t, "control")}
	})
	someLooks  = rapid.SliceOfN(aLook, 1, 20)
	aBernoulli = rapid.Custom(func(t *rapid.T) sequential.Bernoulli {
		trials := rapid.OneOf(rapid.Int64Range(1, 30), rapid.Int64Range(1, 1e9)).Draw(t, "trials")
		return sequential.Bernoulli{Successes: float64(rapid.Int64Range(0, trials).Draw(t, "successes")), Trials: float64(trials)}
	})
)

func swapped(looks []sequential.Look) []sequential.Look {
	other := make([]sequential.Look, len(looks))
	for i, l := range looks {
		other[i] = sequential.Look{Experiment: l.Control, Control: l.Experiment}
	}
	return other
}

// scale is what rounding errors are to be compared with.
func scale(looks []sequential.Look) float64 {
	events := 1.
	for _, l := range looks {
		events += l.Experiment.Bad + l.Control.Bad
	}
	return events
}

func TestBernoulli_IntervalHoldsTheEstimateAndIsNested(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := aBernoulli.Draw(t, "b")
		m, err := sequential.NewMixture(rapid.Float64Range(0.5, 1e6).Draw(t, "tOpt"), anAlpha.Draw(t, "alphaOpt"))
		if err != nil {
			t.Fatal(err)
		}
		alpha := anAlpha.Draw(t, "alpha")
		in, out := b.Interval(alpha, m), b.Interval(alpha/2, m)
		if !in.Contains(b.Successes / b.Trials) {
			t.Fatalf("%+v at %v does not hold %v", in, alpha, b.Successes/b.Trials)
		}
		if !(0 <= out.Lower && out.Lower <= in.Lower && in.Upper <= out.Upper && out.Upper <= 1) {
			t.Fatalf("%+v at %v is not inside %+v at half of it", in, alpha, out)
		}
	})
}

// Bisection is right only if the evidence against a probability grows with its
// distance from the estimate.
func TestBernoulli_EvidenceGrowsAwayFromTheEstimate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := aBernoulli.Draw(t, "b")
		m, err := sequential.NewMixture(rapid.Float64Range(0.5, 1e6).Draw(t, "tOpt"), 0.05)
		if err != nil {
			t.Fatal(err)
		}
		estimate := b.Successes / b.Trials
		near := rapid.Float64Range(1e-9, 1-1e-9).Draw(t, "near")
		// Go further the way that leads from the estimate over near.
		end := 0.
		if near > estimate {
			end = 1
		}
		far := near + (end-near)*rapid.Float64Range(0, 0.999).Draw(t, "further")
		evidence, further := b.LogE(near, m), b.LogE(far, m)
		if evidence > 0 && further < evidence-1e-6*(1+math.Abs(evidence)) {
			t.Fatalf("%+v: log E is %v at %v and %v at %v", b, evidence, near, further, far)
		}
	})
}

func TestBernoulli_FailuresAreSuccessesOfTheOtherSide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := aBernoulli.Draw(t, "b")
		m, err := sequential.NewMixture(rapid.Float64Range(0.5, 1e6).Draw(t, "tOpt"), 0.05)
		if err != nil {
			t.Fatal(err)
		}
		got := b.Interval(0.05, m)
		other := sequential.Bernoulli{Successes: b.Trials - b.Successes, Trials: b.Trials}.Interval(0.05, m)
		if math.Abs(got.Lower-(1-other.Upper)) > 1e-12 || math.Abs(got.Upper-(1-other.Lower)) > 1e-12 {
			t.Fatalf("%+v and %+v don't mirror each other", got, other)
		}
	})
}

func TestCounts_DoesNotCareForTheOrderOfLooks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		looks := someLooks.Draw(rt, "looks")
		want := counts(t, 1.1, nil, nil, looks...).LogE()
		got := counts(t, 1.1, nil, nil, rapid.Permutation(looks).Draw(rt, "shuffled")...).LogE()
		if math.Abs(got-want) > 1e-12*scale(looks) {
			rt.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestCounts_IsTheSameFromTheOtherSide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		looks := someLooks.Draw(rt, "looks")
		want := counts(t, 1.25, []float64{1.5, 2, 8}, nil, looks...).LogE()
		got := counts(t, 1/1.25, []float64{1 / 1.5, 0.5, 0.125}, nil, swapped(looks)...).LogE()
		if math.Abs(got-want) > 1e-12*scale(looks) {
			rt.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestCounts_MoreBadEventsAreMoreEvidence(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		looks := someLooks.Draw(rt, "looks")
		before := counts(t, 1, nil, nil, looks...).LogE()
		i := rapid.IntRange(0, len(looks)-1).Draw(rt, "i")
		more := append([]sequential.Look(nil), looks...)
		if more[i].Experiment.Bad == more[i].Experiment.Total {
			return
		}
		more[i].Experiment.Bad++
		if after := counts(t, 1, nil, nil, more...).LogE(); after < before-1e-12*scale(looks) {
			rt.Fatalf("one more bad event took log E from %v to %v", before, after)
		}
	})
}

func TestCounts_GoesOnFromItsState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		looks := rapid.SliceOfN(aLook, 2, 20).Draw(rt, "looks")
		cut := rapid.IntRange(0, len(looks)).Draw(rt, "cut")
		want := counts(t, 1.1, nil, nil, looks...)
		var got sequential.Counts
		restore(rt, counts(t, 1.1, nil, nil, looks[:cut]...), &got)
		for _, l := range looks[cut:] {
			if err := got.Observe(l, 1); err != nil {
				rt.Fatal(err)
			}
		}
		if got.LogE() != want.LogE() || got.Max != want.Max {
			rt.Fatalf("got %v, at most %v; want %v, at most %v", got.LogE(), got.Max, want.LogE(), want.Max)
		}
	})
}

// restore sends a state through JSON.
func restore(t rapid.TB, from, to any) {
	data, err := json.Marshal(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, to); err != nil {
		t.Fatal(err)
	}
}

func TestCounts_RefusesAStateThatIsNoneOfIts(t *testing.T) {
	t.Parallel()
	for _, state := range []string{
		`{"null":0,"grid":[2],"weights":[1],"log":[0],"max":0}`,
		`{"null":1,"grid":[],"weights":[],"log":[],"max":0}`,
		`{"null":1,"grid":[0.5,2],"weights":[0.5,0.5],"log":[0,0],"max":0}`,
		`{"null":1,"grid":[2,3],"weights":null,"log":[0,0],"max":0}`,
		`{"null":1,"grid":[2,3],"weights":[1,1],"log":[0,0],"max":0}`,
		`{"null":1,"grid":[2,3],"weights":[0.5,0.5],"log":[0],"max":0}`,
		`{"null":1,"grid":[2],"weights":[1],"log":[0],"max":-1}`,
	} {
		if err := json.Unmarshal([]byte(state), new(sequential.Counts)); err == nil {
			t.Errorf("%s was taken", state)
		}
	}
	if err := json.Unmarshal([]byte(`{"log":[1,2]}`), new(sequential.Ratio)); err == nil {
		t.Error("a ratio with two points was taken")
	}
}

func TestRatio_IntervalHoldsTheEstimateAndIsNested(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := ratio(t, someLooks.Draw(rt, "looks")...)
		alpha := anAlpha.Draw(rt, "alpha")
		in, out := r.Interval(alpha), r.Interval(alpha/2)
		if estimate, ok := r.Estimate(); ok && !in.Contains(estimate) {
			rt.Fatalf("%+v does not hold %v", in, estimate)
		}
		if !(0 <= out.Lower && out.Lower <= in.Lower && in.Upper <= out.Upper) {
			rt.Fatalf("%+v at %v is not inside %+v at half of it", in, alpha, out)
		}
	})
}

func TestRatio_IsTheInverseFromTheOtherSide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		looks := someLooks.Draw(rt, "looks")
		got, other := ratio(t, looks...).Interval(0.05), ratio(t, swapped(looks)...).Interval(0.05)
		same := func(a, b float64) bool { return a == b || math.Abs(a/b-1) < 1e-6 }
		if !same(got.Lower, 1/other.Upper) || !same(got.Upper, 1/other.Lower) {
			rt.Fatalf("%+v and %+v are not inverse", got, other)
		}
	})
}

// Between the points of its grid, Ratio must not claim more than the likelihood
// allows: it must not exceed Counts, which knows it exactly, with the same grid.
func TestRatio_IsCautiousBetweenTheGridsPoints(t *testing.T) {
	t.Parallel()
	spread := math.Log(64) / math.Sinh(40*0.12)
	rapid.Check(t, func(rt *rapid.T) {
		looks := someLooks.Draw(rt, "looks")
		null := math.Exp(rapid.Float64Range(-4, 4).Draw(rt, "log null"))
		var above, below []float64
		for j := -40; j <= 40; j++ {
			switch r := math.Exp(spread * math.Sinh(float64(j)*0.12)); {
			case math.Abs(r/null-1) < 1e-9:
				return // a point of the grid
			case r > null:
				above = append(above, r)
			default:
				below = append(below, r)
			}
		}
		r := ratio(t, looks...)
		for _, side := range []struct {
			name string
			got  float64
			grid []float64
		}{{"above", r.LogEAbove(null), above}, {"below", r.LogEBelow(null), below}} {
			exact := counts(t, null, side.grid, nil, looks...).LogE()
			if side.got > exact+1e-12*scale(looks) {
				rt.Fatalf("log E %s %v is %v, more than the %v that the likelihood allows", side.name, null, side.got, exact)
			}
		}
	})
}

func TestRatio_IsAsSharpAsTheLikelihoodWhereMarginsAre(t *testing.T) {
	t.Parallel()
	for _, events := range []float64{100, 1e4, 1e6} {
		looks := look(events, 1e8, events, 1e8)
		got := ratio(t, looks).Interval(0.05)
		// √(2/events) is the standard error of log r. An interval for all times is
		// some two to four times as wide as one for a fixed time; the grid adds 1 %.
		if want := math.Exp(4.5*math.Sqrt(2/events) + 0.01); got.Upper > want || got.Lower < 1/want {
			t.Errorf("%v events a side: got %+v, want it within a factor of %v", events, got, want)
		}
	}
}

func TestRatio_NoWorseIsWhatItsIntervalSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		r := ratio(t, someLooks.Draw(rt, "looks")...)
		margin := rapid.Float64Range(0.01, 1).Draw(rt, "margin")
		if estimate, ok := r.Estimate(); r.NoWorse(margin, 0.05) && (!ok || estimate >= 1+margin) {
			rt.Fatalf("no worse than %v with an estimate of %v", margin, estimate)
		}
	})
}

func TestMean_IntervalIsWhereTheEvidenceReachesItsThreshold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := observed(rt, rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 2, 200).Draw(rt, "values"))
		alpha := anAlpha.Draw(rt, "alpha")
		g := gauss(t, rapid.Float64Range(1, 1e5).Draw(rt, "tOpt"), anAlpha.Draw(rt, "alphaOpt"))
		half := m.HalfWidth(alpha, g)
		if m.StdDev() < 1e-3 {
			return
		}
		for _, end := range []float64{m.Mean - half, m.Mean + half} {
			if got := m.LogE(end, g); math.Abs(got-sequential.Threshold(alpha)) > 1e-4 {
				rt.Fatalf("log E at the end of the interval is %v, want %v", got, sequential.Threshold(alpha))
			}
		}
		if wider := m.HalfWidth(alpha/2, g); wider < half {
			rt.Fatalf("half-width %v at %v and %v at half of it", half, alpha, wider)
		}
	})
}

func observed(t rapid.TB, values []float64) sequential.Mean {
	var m sequential.Mean
	for _, v := range values {
		if err := m.Observe(v); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestMean_DoesNotCareForOrderAndFollowsUnits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-1e3, 1e3), 2, 100).Draw(rt, "values")
		m := observed(rt, values)
		other := observed(rt, rapid.Permutation(values).Draw(rt, "shuffled"))
		if math.Abs(m.Mean-other.Mean) > 1e-9 || math.Abs(m.StdDev()-other.StdDev()) > 1e-6 {
			rt.Fatalf("got %+v and %+v", m, other)
		}
		moved := make([]float64, len(values))
		for i, v := range values {
			moved[i] = 1000*v + 7
		}
		other = observed(rt, moved)
		if math.Abs(other.Mean-(1000*m.Mean+7)) > 1e-6 || math.Abs(other.StdDev()-1000*m.StdDev()) > 1e-3 {
			rt.Fatalf("got %+v and %+v", m, other)
		}
	})
}

func TestMean_KnowsNothingFromEqualObservations(t *testing.T) {
	t.Parallel()
	m, g := observed(t, []float64{5, 5, 5, 5}), gauss(t, 100, 0.05)
	if got := m.Interval(0.05, g); !got.Contains(-1e300) || !got.Contains(1e300) {
		t.Errorf("got %+v, want everything", got)
	}
	if got := m.LogE(0, g); got > 0 {
		t.Errorf("got evidence of %v", got)
	}
}

func TestBand_NarrowsWithTimeAndTightIsNotWider(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		alpha, start := rapid.Float64Range(1e-6, 0.3).Draw(t, "alpha"), rapid.Float64Range(1, 1000).Draw(t, "start")
		closed, err := sequential.NewBand(start, alpha)
		if err != nil {
			t.Fatal(err)
		}
		tight, err := sequential.NewTightBand(start, alpha)
		if err != nil {
			t.Fatal(err)
		}
		n := start * rapid.Float64Range(1, 1e6).Draw(t, "n")
		if tight.HalfWidth(n) > closed.HalfWidth(n) {
			t.Fatalf("at %v: tight %v, closed %v", n, tight.HalfWidth(n), closed.HalfWidth(n))
		}
		if closed.HalfWidth(2*n) >= closed.HalfWidth(n) {
			t.Fatalf("%v at %v, %v at twice as many", closed.HalfWidth(n), n, closed.HalfWidth(2*n))
		}
	})
}

func TestAverage_IsAnAverage(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		logE := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 50).Draw(t, "logE")
		weights := rapid.SliceOfN(rapid.Float64Range(0.01, 10), len(logE), len(logE)).Draw(t, "weights")
		lowest, highest := logE[0], logE[0]
		for _, l := range logE {
			lowest, highest = min(lowest, l), max(highest, l)
		}
		for _, got := range []float64{sequential.Average(logE, nil), sequential.Average(logE, weights)} {
			if got < lowest-1e-6 || got > highest+1e-6 {
				t.Fatalf("got %v, not between %v and %v", got, lowest, highest)
			}
		}
	})
	near(t, "average of 1 and 3", math.Exp(sequential.Average([]float64{0, math.Log(3)}, nil)), 2, 1e-12)
	near(t, "weighted", math.Exp(sequential.Average([]float64{0, math.Log(3)}, []float64{3, 1})), 1.5, 1e-12)
	near(t, "of nothing", sequential.Average(nil, nil), 0, 0)
}

func TestCounts_ForecastsItsAlarm(t *testing.T) {
	t.Parallel()
	c := counts(t, 1.1, nil, nil)
	pace := look(0, 5000, 10, 5000)
	forecast := c.LooksUntil(0.02, 2, pace, 1)
	looks := 0.
	for c.LogE() < sequential.Threshold(0.02) {
		looks++
		if err := c.Observe(look(20, 5000, 10, 5000), 1); err != nil {
			t.Fatal(err)
		}
	}
	if forecast < looks-1 || forecast > looks+1 {
		t.Errorf("an alarm was forecast after %v looks and came after %v", forecast, looks)
	}
	if got := c.LooksUntil(0.02, 2, pace, 1); got != 0 {
		t.Errorf("after the alarm: got %v looks, want 0", got)
	}
	fresh := counts(t, 1.1, nil, nil)
	for name, got := range map[string]float64{
		"an allowed ratio": fresh.LooksUntil(0.02, 1, pace, 1),
		"no traffic":       fresh.LooksUntil(0.02, 2, look(0, 0, 0, 0), 1),
		"no errors":        fresh.LooksUntil(0.02, 2, look(0, 100, 0, 100), 1),
	} {
		if !math.IsInf(got, 1) {
			t.Errorf("%s: got %v looks, want never", name, got)
		}
	}
}
