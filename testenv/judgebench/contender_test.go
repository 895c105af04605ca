package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/spec"
)

// recount tells at a bound what a rule makes of values: the plain way.
func recount(r rule, looks []values, bound float64) bool {
	var failed [measures]int
	checks := 0
	for _, v := range looks {
		bad := false
		for m := range v {
			if v[m] > bound || math.IsNaN(v[m]) && r.missing {
				failed[m]++
				bad = true
			}
		}
		if bad {
			checks++
		}
	}
	if r.checks {
		return checks > r.forgiven
	}
	return failed[0] > r.forgiven || failed[1] > r.forgiven
}

func TestTally_HaltsAsCountingDoes(t *testing.T) {
	t.Parallel()
	value := rapid.OneOf(rapid.Map(rapid.IntRange(0, 9), func(i int) float64 { return float64(i) }), rapid.Just(math.NaN()))
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom([]rule{argo(false), flagger(true)}).Draw(t, "rule")
		count := newTally(r)
		var looks []values
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			v := values{value.Draw(t, "errors"), value.Draw(t, "latency")}
			looks = append(looks, v)
			bound := count.add(v, false)
			for at := -0.5; at < 10; at++ {
				if got, want := bound > at, recount(r, looks, at); got != want {
					t.Fatalf("%s halts at a bound of %v: %v, by counting %v: %v", r.title, at, got, want, looks)
				}
			}
		}
	})
}

func TestRule_TreatsAnOutageAsItsModelDoes(t *testing.T) {
	t.Parallel()
	ok := values{0, 0}
	a := newTally(argo(false))
	a.add(ok, false)
	if got := a.add(ok, true); !math.IsInf(got, 1) {
		t.Errorf("argo goes on through a minute without Prometheus, at a bound of %v", got)
	}
	f := newTally(flagger(false))
	for i := range 5 {
		if got, want := math.IsInf(f.add(ok, true), 1), i == 4; got != want {
			t.Errorf("flagger, after %d minutes without Prometheus, has halted: %v", i+1, got)
		}
	}
}

// ourAnalysis is the configuration of our judge.
func ourAnalysis(t testing.TB) spec.Analysis {
	t.Helper()
	a, err := analysis()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// rollouts draws some, without and with a fault.
func rollouts(t testing.TB, n int) (all []*rollout, usual *experience) {
	t.Helper()
	s := setting{world: worlds()[3], traffic: 3000, weight: 0.5}
	for run := range n {
		rng := rand.New(rand.NewPCG(9, uint64(run)))
		all = append(all, s.rollout(rng, fresh(rng, s.world), fault{errors: float64(1 + run%3), onset: 20}))
	}
	return all, learn(all, contenders(ourAnalysis(t), true))
}

func TestContenders_HaveEvidenceThatNeverFalls(t *testing.T) {
	t.Parallel()
	all, usual := rollouts(t, 6)
	for _, c := range contenders(ourAnalysis(t), true) {
		for _, o := range all {
			trace := c.watch(o, &knowledge{usual: usual})
			for i := 1; i < minutes; i++ {
				if trace.evidence[i] < trace.evidence[i-1] {
					t.Errorf("%s: the evidence falls from %v to %v", c.name(), trace.evidence[i-1], trace.evidence[i])
				}
			}
			for _, knob := range []float64{0, 1, 2, 5} {
				at := trace.haltsAbove(knob)
				if (at > 0) != (trace.final() > knob) || at > 1 && trace.evidence[at-2] > knob {
					t.Errorf("%s halts at look %d with the knob at %v: %v", c.name(), at, knob, trace.evidence)
				}
			}
		}
	}
}

// Kayenta as set up is its judge at each look, and nothing else.
func TestKayenta_HaltsWhereItsJudgeDoes(t *testing.T) {
	t.Parallel()
	all, usual := rollouts(t, 12)
	halted := 0
	for _, k := range []kayenta{{every: 10}, {every: 1}} {
		for _, o := range all {
			want := 0
			var control, experiment [measures][]float64
			for i, l := range o {
				for m := range measures {
					experiment[m] = append(experiment[m], l.experiment.sum().values()[m])
					control[m] = append(control[m], l.control.sum().values()[m])
				}
				if (i+1)%k.every == 0 && i+1 >= 5 && want == 0 && halts(control, experiment, kayentaNominal) {
					want = i + 1
				}
			}
			if got := k.watch(o, &knowledge{usual: usual}).halt; got != want {
				t.Errorf("%s halts at look %d, its judge at %d", k.name(), got, want)
			}
			if want > 0 {
				halted++
			}
		}
	}
	if halted == 0 {
		t.Error("nothing was ever halted")
	}
}

// Our judge is set up for what the worlds have.
func TestOurs_HasTheEdgesOfTheWorlds(t *testing.T) {
	t.Parallel()
	a := ourAnalysis(t)
	if len(a.Metrics) != 2 || a.Metrics[0].Name != "errors" || a.Metrics[1].Name != "latency" {
		t.Fatalf("the metrics are %+v", a.Metrics)
	}
	if !slices.Equal(a.Metrics[1].Edges, edges[:]) {
		t.Errorf("the edges are %v, want %v", a.Metrics[1].Edges, edges)
	}
	if got := time.Duration(a.Interval); got != time.Minute {
		t.Errorf("the interval is %v, looks are each minute", got)
	}
	if got := time.Duration(a.History); got != history*time.Minute {
		t.Errorf("the history is %v, worlds have %v minutes", got, history)
	}
}

func BenchmarkContenders_Rollout(b *testing.B) {
	all, usual := rollouts(b, 8)
	for _, c := range contenders(ourAnalysis(b), true) {
		b.Run(c.name(), func(b *testing.B) {
			for i := range b.N {
				c.watch(all[i%len(all)], &knowledge{usual: usual})
			}
		})
	}
}

func BenchmarkSelfTest(b *testing.B) {
	past := setting{world: worlds()[4], traffic: 3000, weight: 0.5}.before(rand.New(rand.NewPCG(2, 2)))
	a := ourAnalysis(b)
	for b.Loop() {
		selfTest(a, past)
	}
}
