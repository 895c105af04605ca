package sequential_test

import (
	"math"
	"testing"

	"switchd/judge/sequential"
)

// near fails unless got is within tol of want, absolutely or relative to want.
func near(t *testing.T, what string, got, want, tol float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tol*max(1, math.Abs(want))) {
		t.Errorf("%s: got %.15g, want %.15g within %g", what, got, want, tol)
	}
}

func mixture(t testing.TB, trials, alpha float64) sequential.Mixture {
	t.Helper()
	m, err := sequential.NewMixture(trials, alpha)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func gauss(t testing.TB, observations, alpha float64) sequential.Gauss {
	t.Helper()
	g, err := sequential.NewGauss(observations, alpha)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func look(xe, ne, xc, nc float64) sequential.Look {
	return sequential.Look{
		Experiment: sequential.Sample{Bad: xe, Total: ne},
		Control:    sequential.Sample{Bad: xc, Total: nc},
	}
}

func counts(t testing.TB, null float64, grid, weights []float64, looks ...sequential.Look) *sequential.Counts {
	t.Helper()
	c, err := sequential.NewCounts(null, grid, weights)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range looks {
		if err := c.Observe(l, 1); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func ratio(t testing.TB, looks ...sequential.Look) *sequential.Ratio {
	t.Helper()
	r := sequential.NewRatio()
	for _, l := range looks {
		if err := r.Observe(l, 1); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// The values are those of the test suite of confseq, which Howard, Ramdas and
// Waudby-Smith publish with their papers (test/uniform_boundaries_unittest.cpp;
// from their reference implementation in R, to five digits).
func TestBernoulli_AgreesWithConfseq(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ successes, trials, tOpt, lower, upper float64 }{
		{700, 1000, 100, 0.651629, 0.745949},
		{15, 50, 50, 0.129556, 0.511896},
		{5, 50, 50, 0.013021, 0.269264},
		{1, 50, 50, 0, 0.13489},
		{1, 2, 50, 0, 1},
		{100, 200, 1, 0.328923, 0.671076},
		{0, 1, 50, 0, 1},
		{1, 1, 50, 0, 1},
	} {
		got := sequential.Bernoulli{Successes: c.successes, Trials: c.trials}.Interval(0.05, mixture(t, c.tOpt, 0.05))
		if math.Abs(got.Lower-c.lower) > 1e-5 || math.Abs(got.Upper-c.upper) > 1e-5 {
			t.Errorf("%v of %v, tuned for %v: got [%.6f, %.6f], want [%.6f, %.6f]",
				c.successes, c.trials, c.tOpt, got.Lower, got.Upper, c.lower, c.upper)
		}
	}
}

// confseq has this one in the units of a sum: 10 above the 20 that are expected
// of a probability of 0.2 after a variance of 100 = 625·0.2·0.8, tuned for the
// same.
func TestBernoulli_LogEAgreesWithConfseq(t *testing.T) {
	t.Parallel()
	b := sequential.Bernoulli{Successes: 625*0.2 + 10, Trials: 625}
	near(t, "log E", b.LogE(0.2, mixture(t, 625, 0.05)), -0.6941012, 1e-6)
}

// The values are from the definition by beta functions, with 60 digits (mpmath).
func TestBernoulli_KeepsItsDigitsForABillionTrials(t *testing.T) {
	t.Parallel()
	m := mixture(t, 1000, 0.05)
	for _, c := range []struct{ successes, trials, p, want float64 }{
		{1e6, 1e9, 0.000995, 4.15725202294237},
		{1e6, 1e9, 0.001, -8.39313055094532},
		{0, 1e9, 1e-8, 9.99998017546747},
		{3, 1e9, 1e-10, -10.4965904050689},
		{5e8, 1e9, 0.4999, 12.0505443174548},
		{15, 50, 0.3, -0.16894617033379},
		{1, 2, 0.9, -0.00796781348779176},
	} {
		got := sequential.Bernoulli{Successes: c.successes, Trials: c.trials}.LogE(c.p, m)
		near(t, "log E", got, c.want, 1e-9)
	}

	few := sequential.Bernoulli{Successes: 4, Trials: 9}
	near(t, "log E of few trials", few.LogE(0.4, mixture(t, 50, 0.05)), -0.514529139964924, 1e-12)

	got := sequential.Bernoulli{Successes: 1e6, Trials: 1e9}.Interval(0.05, m)
	near(t, "lower end", got.Lower/0.000995236573661043, 1, 1e-10)
	near(t, "upper end", got.Upper/0.00100477700644471, 1, 1e-10)
	got = sequential.Bernoulli{Trials: 1e9}.Interval(0.05, m)
	near(t, "upper end without successes", got.Upper/2.99573822295644e-9, 1, 1e-6)
}

// The first value is confseq's empirical_process_lil_bound(1000, 0.05, 100, 0.85);
// the constants are minimised from theorem 2 of Howard & Ramdas with 20 digits.
func TestBand_AgreesWithConfseq(t *testing.T) {
	t.Parallel()
	tight, err := sequential.NewTightBand(100, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "tight half-width", tight.HalfWidth(1000), 0.08204769, 1e-6)

	for _, c := range []struct{ alpha, constant float64 }{
		{0.05, 8.122719346}, {0.01, 9.283543354}, {0.001, 10.94307139},
	} {
		band, err := sequential.NewTightBand(1, c.alpha)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "tight half-width at the start", band.HalfWidth(1), 0.85*math.Sqrt(c.constant), 1e-8)
	}
}

func TestBand_HasTheAuthorsClosedForm(t *testing.T) {
	t.Parallel()
	band, err := sequential.NewBand(1, 0.05)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []float64{1, 10, 1e4, 1e9} {
		want := 0.85 * math.Sqrt((math.Log(math.Log(math.E*n))+0.8*math.Log(1612/0.05))/n)
		near(t, "half-width", band.HalfWidth(n), want, 1e-12)
	}
	if got := band.HalfWidth(0); !math.IsInf(got, 1) {
		t.Errorf("half-width before the start: got %v, want infinite", got)
	}
}

// confseq's normal mixture in the units of a sum with a variance of 1 each: what
// is left when the standard deviation is known is the asymptotic sequence.
func TestMean_AgreesWithConfseq(t *testing.T) {
	t.Parallel()
	m := sequential.Mean{Count: 100, Mean: 0.1, Squares: 99}
	two, one := gauss(t, 100, 0.05), gauss(t, 100, 2*0.05)
	near(t, "half-width", m.HalfWidth(0.05, two)*100, 30.35209, 1e-6)
	near(t, "log E", m.LogE(0, two), -0.6510052, 1e-6)
	near(t, "log E above", m.LogEAbove(0, one), -0.06502391, 1e-6)
	// Their one-sided bound for the same is where the e-value is 20.
	m.Mean = 0.2766071
	near(t, "log E above at the bound", m.LogEAbove(0, one), math.Log(20), 1e-5)
}

// The values are from the products of the definition, with 60 digits (mpmath).
func TestCounts_AgreesWithTheDefinition(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		null    float64
		grid    []float64
		weights []float64
		looks   []sequential.Look
		want    float64
	}{
		{"one look", 1, nil, nil, []sequential.Look{look(30, 1000, 10, 1000)}, 3.91788229915372},
		{
			"shares that change on the way", 1, []float64{2, 4}, []float64{0.25, 0.75},
			[]sequential.Look{look(3, 1000, 10, 9000), look(7, 3000, 4, 7000), look(0, 5000, 2, 5000)},
			1.68739053974056,
		},
		{"a billion events", 1, nil, nil, []sequential.Look{look(1e9, 1e11, 9e8, 1e11)}, 2352683.29442753},
		{"the other side", 1.1, []float64{0.2, 0.5, 0.9}, nil, []sequential.Look{look(5, 1000, 40, 4000)}, 1.08475345798732},
	} {
		near(t, c.name, counts(t, c.null, c.grid, c.weights, c.looks...).LogE(), c.want, 1e-11)
	}
}

// integrate returns ∫ f from lo to hi by Simpson's rule.
func integrate(lo, hi float64, f func(float64) float64) float64 {
	const n = 20000
	h := (hi - lo) / n
	sum := f(lo) + f(hi)
	for i := 1; i < n; i++ {
		sum += float64(2+2*(i%2)) * f(lo+float64(i)*h)
	}
	return sum * h / 3
}

// The mixture martingale is the likelihood ratio averaged over the prior. Here it
// is averaged by brute force, on the logit scale.
func TestBernoulli_IsTheMixtureOfLikelihoods(t *testing.T) {
	t.Parallel()
	const trials, alpha = 200., 0.05
	l := -2 * math.Log(alpha)
	strength := trials/(l+math.Log1p(l)) - 1
	for _, c := range []struct{ x, n, p float64 }{{3, 40, 0.05}, {20, 40, 0.3}, {0, 25, 0.1}, {90, 100, 0.7}} {
		a, b := strength*c.p, strength*(1-c.p)
		la, _ := math.Lgamma(a)
		lb, _ := math.Lgamma(b)
		lab, _ := math.Lgamma(a + b)
		e := integrate(-60, 40, func(u float64) float64 {
			// dθ = θ(1−θ)du cancels the −1 in the exponents of the prior.
			logTheta, logRest := -math.Log1p(math.Exp(-u)), -math.Log1p(math.Exp(u))
			return math.Exp(lab - la - lb + (a+c.x)*logTheta + (b+c.n-c.x)*logRest - c.x*math.Log(c.p) - (c.n-c.x)*math.Log1p(-c.p))
		})
		got := sequential.Bernoulli{Successes: c.x, Trials: c.n}.LogE(c.p, mixture(t, trials, alpha))
		near(t, "log E", got, math.Log(e), 1e-8)
	}
}

func TestMean_IsTheMixtureOfLikelihoods(t *testing.T) {
	t.Parallel()
	const alpha, tOpt = 0.02, 60.
	l := -2 * math.Log(alpha)
	rho := math.Sqrt((l + math.Log1p(l)) / tOpt)
	for _, c := range []struct{ n, mean, sd float64 }{{30, 0.4, 2}, {100, -0.3, 1}, {400, 0.05, 0.5}, {50, 0, 1}} {
		m := sequential.Mean{Count: c.n, Mean: c.mean, Squares: c.sd * c.sd * (c.n - 1)}
		ratio := func(d float64) float64 { // d is the mean in standard deviations
			return math.Exp(-d*d/(2*rho*rho)+c.n*(d*c.mean/c.sd-d*d/2)) / (rho * math.Sqrt(2*math.Pi))
		}
		g := gauss(t, tOpt, alpha)
		near(t, "log E", m.LogE(0, g), math.Log(integrate(-10*rho, 10*rho, ratio)), 1e-8)
		near(t, "log E above", m.LogEAbove(0, g), math.Log(2*integrate(0, 10*rho, ratio)), 1e-7)
	}
}

// Far on the wrong side, Φ has no float64 but its logarithm has.
func TestMean_HasEvidenceOnTheWrongSide(t *testing.T) {
	t.Parallel()
	g := gauss(t, 100, 0.05)
	last := 0.
	for mean := -0.1; mean > -1e6; mean *= 1.1 {
		got := (sequential.Mean{Count: 1000, Mean: mean, Squares: 999}).LogEAbove(0, g)
		if math.IsNaN(got) || got >= last || got < -100 {
			t.Fatalf("mean %v: got log E %v after %v", mean, got, last)
		}
		last = got
	}
}

// Where both sides have constant traffic, the likeliest ratio is known.
func TestRatio_EstimatesBetweenTheGridsPoints(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ xe, ne, xc, nc float64 }{
		{300, 1e5, 100, 1e5}, {1300, 1e5, 1000, 1e5}, {1004, 1e6, 1000, 1e6}, {50, 1e4, 900, 9e4}, {170, 1e4, 100, 1e4},
	} {
		got, ok := ratio(t, look(c.xe, c.ne, c.xc, c.nc)).Estimate()
		if want := c.xe / c.ne / (c.xc / c.nc); !ok || math.Abs(got/want-1) > 0.004 {
			t.Errorf("%+v: got %v, %v, want %v", c, got, ok, want)
		}
	}
	if _, ok := ratio(t, look(0, 10, 0, 10), look(5, 10, 0, 0)).Estimate(); ok {
		t.Error("there is an estimate without a comparable event")
	}
}
