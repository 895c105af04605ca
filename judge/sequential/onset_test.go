package sequential_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"switchd/judge/sequential"
)

func observe(t testing.TB, o *sequential.Onset, l sequential.Look, null float64) {
	t.Helper()
	if err := o.Observe(l, null, 1, sequential.Noise{}); err != nil {
		t.Fatal(err)
	}
}

// choose returns the probability of k successes in n trials.
func choose(n, k int, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

// All that three looks at small pools can show, each with its probability: the mean
// of E must not be above 1 for any ratio up to the null, whatever the null of each
// look, common or rare events.
func TestOnset_ExpectsAtMostOneByEnumeration(t *testing.T) {
	t.Parallel()
	nulls := []float64{2, 1.5, 1.1}
	for _, rate := range []float64{0.02, 0.2, 0.45} {
		for _, part := range []float64{1, 0.7} { // of what the null allows
			const ne, nc = 4, 3
			mean := 0.
			var walk func(o *sequential.Onset, look int, probability float64)
			walk = func(o *sequential.Onset, at int, probability float64) {
				if at == len(nulls) {
					mean += probability * math.Exp(o.LogE)
					return
				}
				for xe := 0; xe <= ne; xe++ {
					for xc := 0; xc <= nc; xc++ {
						next := *o
						next.Stakes = slices.Clone(o.Stakes)
						observe(t, &next, look(float64(xe), ne, float64(xc), nc), nulls[at])
						walk(&next, at+1, probability*choose(ne, xe, part*nulls[at]*rate)*choose(nc, xc, rate))
					}
				}
			}
			walk(sequential.NewOnset(), 0, 1)
			if mean > 1+1e-9 {
				t.Errorf("rate %v, %v of the null: E has a mean of %v, want at most 1", rate, part, mean)
			}
			if part == 1 && rate < 0.1 && mean < 0.95 {
				t.Errorf("rate %v at the null: E has a mean of %v, which gives evidence away", rate, mean)
			}
		}
	}
}

func TestOnset_RaisesFewFalseAlarms(t *testing.T) {
	t.Parallel()
	const alpha = 0.05
	rng := rand.New(rand.NewPCG(21, 1))
	alarms := 0
	for range runs {
		o := sequential.NewOnset()
		for i := range 120 {
			null, rate := 1.2+math.Max(0, 1-float64(i)/5), 8*(1.5+math.Sin(float64(i)/10))
			observe(t, o, look(poisson(rng, null*rate/2), 1000, poisson(rng, rate), 2000), null)
			if o.LogE >= sequential.Threshold(alpha) {
				alarms++
				break
			}
		}
	}
	atMost(t, "ratio at the null", alarms, runs, alpha)
	if alarms < runs/400 {
		t.Errorf("only %d alarms in %d runs: the test is far from using up its budget of %v", alarms, runs, alpha)
	}
}

// What it is for: after half an hour of good looks, Counts has to climb out of the
// evidence that the new version was fine; Onset alarms about as soon as ever.
func TestOnset_SeesALateRegressionAboutAsSoonAsAnEarlyOne(t *testing.T) {
	t.Parallel()
	const some = 300
	delay := func(onset int, observe func(sequential.Look) float64, rng *rand.Rand) float64 {
		for i := 0; ; i++ {
			mean := 6.
			if i >= onset {
				mean = 12
			}
			if observe(look(poisson(rng, mean), 3000, poisson(rng, 6), 3000)) >= sequential.Threshold(0.02) || i > 300 {
				return float64(i - onset + 1)
			}
		}
	}
	var late, early, plain, plainEarly []float64
	for seed := range uint64(some) {
		ofOnset := func() func(sequential.Look) float64 {
			o := sequential.NewOnset()
			return func(l sequential.Look) float64 { observe(t, o, l, 1.1); return o.LogE }
		}
		ofCounts := func() func(sequential.Look) float64 {
			c := counts(t, 1.1, nil, nil)
			return func(l sequential.Look) float64 {
				if err := c.Observe(l, 1); err != nil {
					t.Fatal(err)
				}
				return c.LogE()
			}
		}
		early = append(early, delay(0, ofOnset(), rand.New(rand.NewPCG(seed, 22))))
		late = append(late, delay(30, ofOnset(), rand.New(rand.NewPCG(seed, 22))))
		plainEarly = append(plainEarly, delay(0, ofCounts(), rand.New(rand.NewPCG(seed, 22))))
		plain = append(plain, delay(30, ofCounts(), rand.New(rand.NewPCG(seed, 22))))
	}
	t.Logf("median delay at once: %v, counts %v; after 30 looks: %v, counts %v", median(early), median(plainEarly), median(late), median(plain))
	if median(early) > median(plainEarly)+2 {
		t.Errorf("at once: median delay %v, counts %v", median(early), median(plainEarly))
	}
	if median(late) > median(early)+7 || median(late) > 0.75*median(plain) {
		t.Errorf("after 30 looks: median delay %v, at once %v, counts %v", median(late), median(early), median(plain))
	}
}

// A week of looks must not use the capital up.
func TestOnset_CanAffordAWeek(t *testing.T) {
	t.Parallel()
	o, rng := sequential.NewOnset(), rand.New(rand.NewPCG(23, 1))
	for range 7 * 24 * 60 {
		observe(t, o, look(poisson(rng, 6), 3000, poisson(rng, 6), 3000), 1.1)
	}
	if o.LogE < -8 {
		t.Errorf("log E is %v after a week, want at least -8", o.LogE)
	}
	looks := 0
	for ; o.LogE < sequential.Threshold(0.02) && looks < 100; looks++ {
		observe(t, o, look(poisson(rng, 30), 3000, poisson(rng, 6), 3000), 1.1)
	}
	if looks > 6 {
		t.Errorf("five times as many errors after a week were seen after %d looks, want at most 6", looks)
	}
}

func TestOnset_GoesOnFromItsState(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		looks := rapid.SliceOfN(aLook, 2, 20).Draw(rt, "looks")
		cut := rapid.IntRange(0, len(looks)).Draw(rt, "cut")
		noise := sequential.Noise{Variance: rapid.Float64Range(0, 2).Draw(rt, "variance"), Lasting: rapid.Float64Range(0, 0.95).Draw(rt, "lasting")}
		kept := sequential.NewOnset()
		restored := kept
		for i, l := range looks {
			if i == cut {
				restored = new(sequential.Onset)
				restore(rt, kept, restored)
			}
			if err := kept.Observe(l, 1.1, 1, noise); err != nil {
				rt.Fatal(err)
			}
			if restored != kept {
				if err := restored.Observe(l, 1.1, 1, noise); err != nil {
					rt.Fatal(err)
				}
			}
		}
		if restored.LogE != kept.LogE || !slices.Equal(restored.Stakes, kept.Stakes) {
			rt.Fatalf("got %+v, want %+v", restored, kept)
		}
		total := 0.
		for _, s := range kept.Stakes {
			total += s
		}
		if math.IsNaN(kept.LogE) || math.IsInf(kept.LogE, 0) || !(total > 0 && total <= 1+1e-6) {
			rt.Fatalf("no sound state: %+v", kept)
		}
	})
}

func TestOnset_RefusesAStateThatIsNoneOfIts(t *testing.T) {
	t.Parallel()
	for _, state := range []string{
		`{}`,
		`{"log":0,"looks":0,"stakes":[0.1]}`,
		`{"log":0,"looks":-1,"stakes":[0,0,0,0,0,0,0]}`,
		`{"log":0,"looks":1,"stakes":[0.5,0.5,0.5,0,0,0,0]}`,
		`{"log":0,"looks":1,"stakes":[-0.5,0.5,0.5,0,0,0,0]}`,
		`{"log":0,"looks":1,"spread":-1,"stakes":[0,0,0,0,0,0,0]}`,
	} {
		if err := new(sequential.Onset).UnmarshalJSON([]byte(state)); err == nil {
			t.Errorf("%s was taken", state)
		}
	}
	for _, state := range []string{`{}`, `{"all":null}`, `{"all":{"log":0,"looks":0,"stakes":[0,0,0,0,0,0,0]},"without":{"a":null}}`} {
		if err := new(sequential.OnsetJackknife).UnmarshalJSON([]byte(state)); err == nil {
			t.Errorf("%s was taken", state)
		}
	}
}

// Noise that lasts is no regression: with what is known of it, the alarms keep to
// their budget, and a regression is found all the same.
func TestOnset_FollowsLastingNoise(t *testing.T) {
	t.Parallel()
	const alpha, some = 0.05, 300
	for _, phi := range []float64{0, 0.5, 0.9, 0.95} {
		// The log-ratio has twice the variance of a side.
		noise := sequential.Noise{Variance: 2 * 0.09 * (1 + phi) / (1 - phi), Lasting: phi}
		bare, followed, found := 0, 0, 0
		for seed := range uint64(some) {
			w := newWorld(5000+seed, phi, 0.3, 40)
			alarm := func(ratio float64, noise sequential.Noise) int {
				o := sequential.NewOnset()
				for range 60 {
					if err := o.Observe(w.look(ratio), 1, 1, noise); err != nil {
						t.Fatal(err)
					}
					if o.LogE >= sequential.Threshold(alpha) {
						return 1
					}
				}
				return 0
			}
			bare += alarm(1, sequential.Noise{})
			followed += alarm(1, noise)
			found += alarm(5, noise)
		}
		t.Logf("φ %v: bare %d, followed %d, five times as many found %d of %d", phi, bare, followed, found, some)
		atMost(t, fmt.Sprintf("φ %v", phi), followed, some, alpha)
		if bare < some/5 {
			t.Errorf("φ %v: the bare test alarmed in %d of %d runs only: this world proves nothing", phi, bare, some)
		}
		if found < some*8/10 {
			t.Errorf("φ %v: found five times as many errors in %d of %d runs, want 80 %%", phi, found, some)
		}
	}
}

func pool(samples map[string]sequential.Sample) (p sequential.Pool) {
	for name, s := range samples {
		p = append(p, sequential.Node{Name: name, Sample: s})
	}
	return p
}

func TestOnsetJackknife_OneNodeDoesNotCondemnTheRelease(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{4, 100} {
		logE := func(ratioOf func(node int) float64) (float64, string, int) {
			rng := rand.New(rand.NewPCG(24, uint64(nodes)))
			j := sequential.NewOnsetJackknife()
			for range 30 {
				experiment, control := make(map[string]sequential.Sample), make(map[string]sequential.Sample)
				for i := range nodes {
					experiment[fmt.Sprintf("node-%d", i)] = sequential.Sample{Bad: poisson(rng, 2*ratioOf(i)), Total: 1000}
					control[fmt.Sprintf("other-%d", i)] = sequential.Sample{Bad: poisson(rng, 2), Total: 1000}
				}
				if err := j.Observe(pool(experiment), pool(control), 1.1, 1, sequential.Noise{}); err != nil {
					t.Fatal(err)
				}
			}
			got, without := j.LogE()
			return got, without, len(j.Without)
		}
		sick := func(node int) float64 {
			if node == 0 {
				return 10 * float64(nodes) / 4
			}
			return 1
		}
		got, without, units := logE(sick)
		if got >= sequential.Threshold(0.01) {
			t.Errorf("one sick node of %d: got log E %v without %q, want less than %v", nodes, got, without, sequential.Threshold(0.01))
		}
		if nodes == 4 && without != "node-0" {
			t.Errorf("got log E without %q, want without node-0", without)
		}
		if want := min(nodes, 32); units != want {
			t.Errorf("%d nodes: got %d units, want %d", nodes, units, want)
		}
		if got, _, _ := logE(func(int) float64 { return 3 }); got < sequential.Threshold(0.01) {
			t.Errorf("a bad release on %d nodes: got log E %v, want at least %v", nodes, got, sequential.Threshold(0.01))
		}
	}
}

// Each process must be what it would be had it run without its node from the start.
func TestOnsetJackknife_LeavesOutExactlyOneNode(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		noise := sequential.Noise{Variance: rapid.Float64Range(0, 1).Draw(rt, "variance"), Lasting: rapid.Float64Range(0, 0.9).Draw(rt, "lasting")}
		j, names := sequential.NewOnsetJackknife(), []string{"a", "b", "c"}
		alone := make(map[string]*sequential.Onset)
		for _, name := range names {
			alone[name] = sequential.NewOnset()
		}
		for range rapid.IntRange(1, 10).Draw(rt, "looks") {
			var experiment sequential.Pool
			for _, name := range names {
				experiment = append(experiment, sequential.Node{Name: name, Sample: aSample.Draw(rt, name)})
			}
			control := sequential.Pool{{Name: "x", Sample: aSample.Draw(rt, "x")}, {Name: "y", Sample: aSample.Draw(rt, "y")}}
			if err := j.Observe(experiment, control, 1.1, 1, noise); err != nil {
				rt.Fatal(err)
			}
			for i, name := range names {
				rest := slices.Delete(slices.Clone(experiment), i, i+1)
				l := sequential.Look{Experiment: rest.Sum(), Control: control.Sum()}
				if err := alone[name].Observe(l, 1.1, 1, noise.Between(rest, control)); err != nil {
					rt.Fatal(err)
				}
			}
		}
		least := j.All.LogE
		for _, name := range names {
			if got, want := j.Without[name].LogE, alone[name].LogE; math.Abs(got-want) > 1e-3*(1+math.Abs(want)) {
				rt.Fatalf("without %s: got %v, want %v", name, got, want)
			}
			least = min(least, j.Without[name].LogE+max(0, j.Without[name].LogE)/2)
		}
		if got, _ := j.LogE(); got != least {
			rt.Fatalf("got %v, want the least, %v", got, least)
		}
	})
}
