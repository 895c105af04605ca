package sequential_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"switchd/judge/sequential"
)

// poisson draws from a Poisson distribution by counting exponential gaps.
func poisson(rng *rand.Rand, mean float64) float64 {
	n := 0.
	for sum := rng.ExpFloat64(); sum < mean; sum += rng.ExpFloat64() {
		n++
	}
	return n
}

// atMost fails if more of the runs erred than a true rate of alpha explains: the
// bound is three standard deviations above, exceeded once in 700 times by chance,
// and the seeds are fixed.
func atMost(t *testing.T, what string, erred, runs int, alpha float64) {
	t.Helper()
	bound := alpha*float64(runs) + 3*math.Sqrt(alpha*(1-alpha)*float64(runs))
	if float64(erred) > bound {
		t.Errorf("%s: %d of %d runs erred at some look, a rate of %v allows %.0f", what, erred, runs, alpha, bound)
	}
	t.Logf("%s: %d of %d runs erred", what, erred, runs)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}

const runs = 2000

// The worst case of the hypothesis is the ratio that it just allows. The trend
// that both sides share and the changing weight are what the test is to survive.
func TestCounts_RaisesFewFalseAlarms(t *testing.T) {
	t.Parallel()
	const alpha, null = 0.05, 1.2
	rng := rand.New(rand.NewPCG(1, 1))
	alarms := 0
	for range runs {
		c := counts(t, null, nil, nil)
		for i := range 120 {
			total, share, rate := 500., 0.05+0.45*float64(i)/120, 0.01*(1.5+math.Sin(float64(i)/10))
			ne, nc := math.Round(share*total), total-math.Round(share*total)
			l := look(min(ne, poisson(rng, null*rate*ne)), ne, min(nc, poisson(rng, rate*nc)), nc)
			if err := c.Observe(l, 1); err != nil {
				t.Fatal(err)
			}
		}
		if c.Max >= sequential.Threshold(alpha) {
			alarms++
		}
	}
	atMost(t, "ratio at the null", alarms, runs, alpha)
	if alarms < runs/200 {
		t.Errorf("only %d alarms in %d runs: the test is far from using up its budget of %v", alarms, runs, alpha)
	}
}

// Errors that double must not wait: at 3,000 requests a minute on either side and
// a base rate of 0.2 %, 6 errors a minute become 12.
func TestCounts_SeesDoubledErrorsInMinutes(t *testing.T) {
	t.Parallel()
	const alpha = 0.02
	rng := rand.New(rand.NewPCG(2, 1))
	delays := make([]float64, runs)
	for run := range delays {
		c := counts(t, 1, nil, nil)
		for delays[run] = 1; delays[run] < 200; delays[run]++ {
			if err := c.Observe(look(poisson(rng, 12), 3000, poisson(rng, 6), 3000), 1); err != nil {
				t.Fatal(err)
			}
			if c.LogE() >= sequential.Threshold(alpha) {
				break
			}
		}
	}
	if got := median(delays); got > 10 {
		t.Errorf("median delay is %v minutes, want at most 10", got)
	} else {
		t.Logf("median delay: %v minutes", got)
	}
}

func TestBernoulli_CoversAtAllTimes(t *testing.T) {
	t.Parallel()
	const alpha, p = 0.05, 0.1
	rng := rand.New(rand.NewPCG(3, 1))
	m := mixture(t, 300, alpha)
	missed := 0
	for range runs {
		var b sequential.Bernoulli
		for range 1000 {
			success := 0.
			if rng.Float64() < p {
				success = 1
			}
			if err := b.Observe(success, 1); err != nil {
				t.Fatal(err)
			}
			if b.LogE(p, m) >= sequential.Threshold(alpha) {
				missed++
				if b.Interval(alpha, m).Contains(p) {
					t.Fatalf("%+v: the e-value contradicts %v and the interval %+v does not", b, p, b.Interval(alpha, m))
				}
				break
			}
		}
	}
	atMost(t, "bernoulli", missed, runs, alpha)
	if missed < runs/200 {
		t.Errorf("only %d of %d runs missed: the interval is too wide", missed, runs)
	}
}

func TestRatio_CoversAtAllTimes(t *testing.T) {
	t.Parallel()
	const alpha, truth, some = 0.1, 1.37, 300
	rng := rand.New(rand.NewPCG(4, 1))
	missed, worse, noWorse := 0, 0, 0
	for range some {
		r := sequential.NewRatio()
		out, above, below := false, false, false
		for range 60 {
			if err := r.Observe(look(poisson(rng, 8*truth), 2000, poisson(rng, 16), 4000), 1); err != nil {
				t.Fatal(err)
			}
			out = out || !r.Interval(alpha).Contains(truth)
			above = above || r.LogEAbove(truth) >= sequential.Threshold(alpha)
			below = below || r.LogEBelow(truth) >= sequential.Threshold(alpha)
		}
		for count, erred := range map[*int]bool{&missed: out, &worse: above, &noWorse: below} {
			if erred {
				*count++
			}
		}
	}
	atMost(t, "interval", missed, some, alpha)
	atMost(t, "worse than the truth", worse, some, alpha)
	atMost(t, "no worse than the truth", noWorse, some, alpha)
	if min(missed, worse, noWorse) < some/200 {
		t.Errorf("only %d, %d and %d of %d runs erred: too cautious", missed, worse, noWorse, some)
	}
}

func TestRatio_FindsEqualSidesNoWorse(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 1))
	const some = 300
	found := 0
	for range some {
		r := sequential.NewRatio()
		for range 60 {
			if err := r.Observe(look(poisson(rng, 20), 5000, poisson(rng, 20), 5000), 1); err != nil {
				t.Fatal(err)
			}
			if r.NoWorse(0.25, 0.05) {
				found++
				break
			}
		}
	}
	if found < some*8/10 {
		t.Errorf("after 1,200 errors a side, %d of %d runs knew that the ratio is below 1.25; want 80 %%", found, some)
	}
}

func TestBand_CoversAllValuesAtAllTimes(t *testing.T) {
	t.Parallel()
	const alpha, edges, some = 0.05, 20, 500
	rng := rand.New(rand.NewPCG(6, 1))
	band, err := sequential.NewTightBand(1, alpha)
	if err != nil {
		t.Fatal(err)
	}
	missed := 0
	for range some {
		var below [edges + 1]float64
		for n := 1.; n <= 1000; n++ {
			for i := int(rng.Float64()*edges) + 1; i <= edges; i++ {
				below[i]++
			}
			if out := slices.IndexFunc(seq(edges), func(i int) bool {
				return !band.Around(below[i], n).Contains(float64(i) / edges)
			}); out >= 0 {
				missed++
				break
			}
		}
	}
	atMost(t, "band", missed, some, alpha)
	if half := band.HalfWidth(10000); half > 0.03 {
		t.Errorf("half-width after 10,000 observations is %v, want at most 0.03", half)
	}
}

// seq returns 0 to n.
func seq(n int) []int {
	s := make([]int, n+1)
	for i := range s {
		s[i] = i
	}
	return s
}

// The sequence is asymptotic: beside the normal distribution, one with heavier
// tails and, after a longer burn-in, a skewed one have to do.
func TestMean_CoversFromTheBurnInOn(t *testing.T) {
	t.Parallel()
	const alpha = 0.05
	for _, world := range []struct {
		name   string
		seed   uint64
		burnIn float64
		draw   func(*rand.Rand) float64
	}{
		{"normal", 7, sequential.DefaultBurnIn, (*rand.Rand).NormFloat64},
		{"uniform", 8, sequential.DefaultBurnIn, func(rng *rand.Rand) float64 { return rng.Float64() - 0.5 }},
		{"difference", 9, sequential.DefaultBurnIn, func(rng *rand.Rand) float64 { return rng.ExpFloat64() - rng.ExpFloat64() }},
		{"skewed", 10, sequential.SkewedBurnIn, func(rng *rand.Rand) float64 { return rng.ExpFloat64() - 1 }},
		{"skewed down", 11, sequential.SkewedBurnIn, func(rng *rand.Rand) float64 { return 1 - rng.ExpFloat64() }},
	} {
		t.Run(world.name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(world.seed, 1))
			g := gauss(t, 100, alpha)
			missed, worse := 0, 0
			for range runs {
				var m sequential.Mean
				out, above := false, false
				for range 1000 {
					if err := m.Observe(world.draw(rng)); err != nil {
						t.Fatal(err)
					}
					if m.Count < world.burnIn {
						continue
					}
					out = out || !m.Interval(alpha, g).Contains(0)
					above = above || m.LogEAbove(0, g) >= sequential.Threshold(alpha)
				}
				if out {
					missed++
				}
				if above {
					worse++
				}
			}
			atMost(t, "interval", missed, runs, alpha)
			atMost(t, "above", worse, runs, alpha)
		})
	}
}

// world is a pair of pools of the same version whose error rates each have a mood
// that lasts: an AR(1) process of the given coefficient and deviation.
type world struct {
	rng       *rand.Rand
	phi, cv   float64
	mean      float64 // bad events a look and side
	moodE, mC float64
}

func newWorld(seed uint64, phi, cv, mean float64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), phi: phi, cv: cv, mean: mean}
	w.moodE, w.mC = w.rng.NormFloat64(), w.rng.NormFloat64()
	return w
}

func (w *world) look(ratio float64) sequential.Look {
	step := func(mood *float64) float64 {
		*mood = w.phi**mood + math.Sqrt(1-w.phi*w.phi)*w.rng.NormFloat64()
		return w.mean * math.Exp(w.cv**mood-w.cv*w.cv/2)
	}
	const total = 100000
	return look(poisson(w.rng, ratio*step(&w.moodE)), total, poisson(w.rng, step(&w.mC)), total)
}

func (w *world) looks(n int) []sequential.Look {
	looks := make([]sequential.Look, n)
	for i := range looks {
		looks[i] = w.look(1)
	}
	return looks
}

func TestEstimateNoise_FindsTheLongRunVariance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ phi, cv float64 }{{0, 0}, {0, 0.1}, {0, 0.3}, {0.5, 0.3}, {0.9, 0.3}} {
		// The log-ratio has twice the variance of a side, and the sum of an AR(1)
		// process (1+φ)/(1−φ) times that of independent terms.
		want := 2 * math.Log1p(c.cv*c.cv) * (1 + c.phi) / (1 - c.phi)
		var got []float64
		for seed := range uint64(31) {
			noise, ok := sequential.EstimateNoise(newWorld(seed, c.phi, c.cv, 50).looks(720))
			if !ok {
				t.Fatal("720 looks said nothing")
			}
			got = append(got, noise.Variance)
		}
		m := median(got)
		t.Logf("φ %v, cv %v: median %v, truth %v", c.phi, c.cv, m, want)
		// Taking the worst block length errs upwards; blocks of 60 looks, which are
		// six times as long as the noise of φ = 0.9 lasts, downwards.
		if m < 0.75*want || m > 1.5*want+0.02 {
			t.Errorf("φ %v, cv %v: got a variance of %v, want about %v", c.phi, c.cv, m, want)
		}
	}
	if _, ok := sequential.EstimateNoise(newWorld(1, 0, 0, 50).looks(11)); ok {
		t.Error("eleven looks are said to be enough")
	}
	if _, ok := sequential.EstimateNoise(newWorld(1, 0, 0, 0).looks(500)); ok {
		t.Error("looks without a bad event are said to be enough")
	}
}

// Nodes have moods. Taken for independent, the requests of a world with φ = 0.9
// raise false alarms in many runs; discounted by what the history shows, they don't.
func TestNoise_TamesCorrelatedWorlds(t *testing.T) {
	t.Parallel()
	const alpha, some = 0.05, 200
	for _, c := range []struct {
		phi, cv float64
		shows   int // false alarms that make the world a test
	}{{0, 0.3, some / 10}, {0.5, 0.3, some / 5}, {0.9, 0.3, some / 3}} {
		bare, discounted, found := 0, 0, 0
		for seed := range uint64(some) {
			w := newWorld(1000+seed, c.phi, c.cv, 20)
			noise, _ := sequential.EstimateNoise(w.looks(720))
			naive, careful, worse := counts(t, 1, nil, nil), counts(t, 1, nil, nil), counts(t, 1, nil, nil)
			for range 60 {
				l := w.look(1)
				if err := errors.Join(naive.Observe(l, 1), careful.Observe(l, noise.Dispersion(l))); err != nil {
					t.Fatal(err)
				}
			}
			for range 60 {
				l := w.look(3)
				if err := worse.Observe(l, noise.Dispersion(l)); err != nil {
					t.Fatal(err)
				}
			}
			for count, process := range map[*int]*sequential.Counts{&bare: naive, &discounted: careful, &found: worse} {
				if process.Max >= sequential.Threshold(alpha) {
					*count++
				}
			}
		}
		t.Logf("φ %v: bare %d, discounted %d, three times as many found %d of %d", c.phi, bare, discounted, found, some)
		atMost(t, "discounted", discounted, some, alpha)
		if bare < c.shows {
			t.Errorf("φ %v: the bare test alarmed in %d of %d runs only: this world proves nothing", c.phi, bare, some)
		}
		if found < some*8/10 {
			t.Errorf("φ %v: found three times as many errors in %d of %d runs, want 80 %%", c.phi, found, some)
		}
	}
}
