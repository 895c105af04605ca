package sequential_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"switchd/judge/sequential"
)

func tally(t testing.TB, looks ...sequential.Look) *sequential.Tally {
	t.Helper()
	var s sequential.Tally
	for _, l := range looks {
		if err := s.Observe(l, 1); err != nil {
			t.Fatal(err)
		}
	}
	return &s
}

func TestTally_IsExactForAFewSharesOfTheTraffic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		shares := rapid.SliceOfN(rapid.Float64Range(0.01, 0.99), 1, 6).Draw(rt, "shares")
		var looks []sequential.Look
		for range rapid.IntRange(1, 40).Draw(rt, "looks") {
			share := rapid.SampledFrom(shares).Draw(rt, "share")
			looks = append(looks, look(float64(rapid.IntRange(0, 50).Draw(rt, "xe")), 1e5*share, float64(rapid.IntRange(0, 50).Draw(rt, "xc")), 1e5*(1-share)))
		}
		kept := tally(t, looks...)
		got, want := kept.Ratio(), ratio(t, looks...)
		// Each event is off by what the state is rounded to.
		slack := 1e-4 + 1e-6*kept.Events()
		for i := range want.Log {
			if math.Abs(got.Log[i]-want.Log[i]) > slack+1e-4*math.Abs(want.Log[i]) {
				rt.Fatalf("point %d: got %v, want %v", i, got.Log[i], want.Log[i])
			}
		}
	})
}

// A share of the traffic is never quite what was set.
func TestTally_HardlyMindsASpreadOfTheTraffic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		share := rapid.Float64Range(0.01, 0.5).Draw(rt, "share")
		var looks []sequential.Look
		for range 60 {
			ne := 1e5 * share * rapid.Float64Range(0.9, 1.1).Draw(rt, "spread")
			looks = append(looks, look(float64(rapid.IntRange(5, 15).Draw(rt, "xe")), ne, float64(rapid.IntRange(5, 15).Draw(rt, "xc")), 1e5*(1-share)))
		}
		got, _ := tally(t, looks...).Ratio().Estimate()
		want, _ := ratio(t, looks...).Estimate()
		if math.Abs(math.Log(got/want)) > 0.01 {
			rt.Fatalf("got an estimate of %v, want %v", got, want)
		}
	})
}

func TestTally_GoesOnFromItsState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		looks := rapid.SliceOfN(aLook, 2, 30).Draw(rt, "looks")
		want := tally(t, looks...)
		cut := rapid.IntRange(0, len(looks)).Draw(rt, "cut")
		var got sequential.Tally
		restore(rt, tally(t, looks[:cut]...), &got)
		for _, l := range looks[cut:] {
			if err := got.Observe(l, 1); err != nil {
				rt.Fatal(err)
			}
		}
		if got.Experiment != want.Experiment || len(got.Shares) != len(want.Shares) || got.Events() != want.Events() {
			rt.Fatalf("got %+v, want %+v", got, want)
		}
		if len(want.Shares) > 6 {
			rt.Fatalf("the state is not bounded: %+v", want)
		}
	})
}

func TestTally_ForecastsWhenTheRatioIsKnown(t *testing.T) {
	t.Parallel()
	l := look(12, 6000, 12, 6000)
	s := tally(t, l, l, l, l, l)
	forecast := s.LooksUntil(1.5, 0.02, 5, s.Ratio())
	looks := 0.
	for s.Ratio().Interval(0.02).Upper >= 1.5 {
		looks++
		if err := s.Observe(l, 1); err != nil {
			t.Fatal(err)
		}
	}
	if looks < 3 || forecast < looks*0.7 || forecast > looks*1.7 {
		t.Errorf("forecast were %v looks, and it took %v", forecast, looks)
	}
	if got := tally(t).LooksUntil(1.5, 0.02, 5, sequential.NewRatio()); !math.IsInf(got, 1) {
		t.Errorf("without any event: got %v looks, want never", got)
	}
	bad := tally(t, look(300, 6000, 100, 6000))
	if got := bad.LooksUntil(1.5, 0.02, 1, bad.Ratio()); !math.IsInf(got, 1) {
		t.Errorf("three times as many: got %v looks, want never", got)
	}
}

func TestTally_RefusesAStateThatIsNoneOfIts(t *testing.T) {
	t.Parallel()
	for _, state := range []string{
		`{"experiment":-1}`,
		`{"experiment":1,"shares":[{"odds":0,"events":-1}]}`,
		`{"experiment":1,"shares":[{"odds":1,"events":1},{"odds":0,"events":1}]}`,
		`{"experiment":1,"shares":[{},{},{},{},{},{},{}]}`,
	} {
		if err := new(sequential.Tally).UnmarshalJSON([]byte(state)); err == nil {
			t.Errorf("%s was taken", state)
		}
	}
}

func TestBernoulli_ForecastsWhenTheShareIsKnown(t *testing.T) {
	t.Parallel()
	m := mixture(t, 10000, 0.02)
	b := sequential.Bernoulli{Successes: 1, Trials: 5000}
	forecast := b.LooksUntil(0.001, 0.02, 5, m)
	looks := 0.
	for b.Interval(0.02, m).Upper > 0.001 {
		looks++
		if err := b.Observe(0.2, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if math.Abs(forecast-looks) > 1+0.1*looks {
		t.Errorf("forecast were %v looks, and it took %v", forecast, looks)
	}
	if got := (sequential.Bernoulli{Successes: 10, Trials: 5000}).LooksUntil(0.001, 0.02, 5, m); !math.IsInf(got, 1) {
		t.Errorf("twice too many: got %v looks, want never", got)
	}
}
