package mannwhitney_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"switchd/judge/mannwhitney"
)

var (
	nan = math.NaN()
	inf = math.Inf(1)
)

// example is a case of testdata/examples.json with what Kayenta finds. The
// values are those of its ClassifierSuite (Apache-2.0).
type example struct {
	Name              string
	Expected          mannwhitney.Classification
	ExpectedCritical  bool
	ExpectedDeviation *float64
}

func TestJudge_FindsWhatKayentaFinds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/examples.json")
	if err != nil {
		t.Fatal(err)
	}
	var examples []example
	if err := json.Unmarshal(text, &examples); err != nil {
		t.Fatal(err)
	}
	cases, err := mannwhitney.ReadCases(strings.NewReader(string(text)), "examples.json")
	if err != nil || len(cases) != len(examples) || len(cases) == 0 {
		t.Fatalf("%d cases of %d were read: %v", len(cases), len(examples), err)
	}
	for i, want := range examples {
		got := cases[i].Judge()
		if cases[i].Fault != nil || len(cases[i].Unknown) > 0 {
			t.Errorf("%s: fault %v, unknown fields %v", want.Name, cases[i].Fault, cases[i].Unknown)
		}
		if got.Name != want.Name || got.Classification != want.Expected || got.Critical != want.ExpectedCritical {
			t.Errorf("%s is %s, critical %t, want %s, %t: %s", got.Name, got.Classification, got.Critical, want.Expected, want.ExpectedCritical, got.Reason)
		}
		if d := want.ExpectedDeviation; d != nil && float64(got.Deviation) != *d {
			t.Errorf("%s has the deviation %v, want %v", want.Name, got.Deviation, *d)
		}
	}
}

// Two sides that differ by about 10, all of one above all of the other.
var (
	low  = []float64{1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5}
	high = []float64{11, 11.7, 12.1, 12.6, 13.3, 13.4, 14.2, 14.9}
)

// TestJudge_FollowsEachRule has a row for each branch of Kayenta's
// NetflixACAJudge and MannWhitneyClassifier (spinnaker/kayenta).
func TestJudge_FollowsEachRule(t *testing.T) {
	t.Parallel()
	type config = mannwhitney.Config
	cles := func(c *config) { c.Effect = mannwhitney.DefaultEffect(mannwhitney.CLES) }
	tests := []struct {
		name                string
		control, experiment []float64
		set                 func(*config)
		want                mannwhitney.Classification
		critical            bool
		reason              string
	}{
		{name: "above", control: low, experiment: high, want: "High", reason: "experiment is higher"},
		{name: "below", control: high, experiment: low, want: "Low", reason: "experiment is lower"},
		{name: "above, only an increase is bad", control: low, experiment: high, set: func(c *config) { c.Direction = mannwhitney.Increase }, want: "High"},
		{name: "above, only a decrease is bad", control: low, experiment: high, set: func(c *config) { c.Direction = mannwhitney.Decrease }, want: "Pass", reason: "only the decrease is bad"},
		{name: "below, only a decrease is bad", control: high, experiment: low, set: func(c *config) { c.Direction = mannwhitney.Decrease }, want: "Low"},
		{name: "below, only an increase is bad", control: high, experiment: low, set: func(c *config) { c.Direction = mannwhitney.Increase }, want: "Pass", reason: "only the increase is bad"},
		{name: "too few to tell", control: low[:2], experiment: []float64{0, 5}, want: "Pass", reason: "not beyond"},
		// A tolerance of the whole shift can't be left behind.
		{name: "tolerant", control: low, experiment: high, set: func(c *config) { c.Tolerance = 1 }, want: "Pass", reason: "not beyond"},

		// Effects: a ratio of exactly 2, and one pair in 16 that is not above.
		{name: "ratio reaches the allowed one", control: []float64{1, 2, 3, 4, 5, 6}, experiment: []float64{6, 7, 7, 7, 7, 8}, set: func(c *config) { c.Effect.AllowedIncrease = 2 }, want: "High", reason: "meanRatio is 2"},
		{name: "ratio is less than allowed", control: []float64{1, 2, 3, 4, 5, 6}, experiment: []float64{6, 7, 7, 7, 7, 8}, set: func(c *config) { c.Effect.AllowedIncrease = math.Nextafter(2, 3) }, want: "Pass", reason: "does not reach"},
		{name: "ratio reaches the allowed decrease", control: []float64{6, 7, 7, 7, 7, 8}, experiment: []float64{1, 2, 3, 4, 5, 6}, set: func(c *config) { c.Effect.AllowedDecrease = 0.5 }, want: "Low"},
		{name: "ratio is above the allowed decrease", control: []float64{6, 7, 7, 7, 7, 8}, experiment: []float64{1, 2, 3, 4, 5, 6}, set: func(c *config) { c.Effect.AllowedDecrease = 0.499 }, want: "Pass", reason: "does not reach"},
		{name: "cles above", control: low, experiment: high, set: cles, want: "High", reason: "cles is 1"},
		{name: "cles below", control: high, experiment: low, set: cles, want: "Low", reason: "cles is 0"},
		{name: "cles is at most 1", control: low, experiment: high, set: func(c *config) { cles(c); c.Effect.AllowedIncrease = 1.01 }, want: "Pass"},
		// Means of zero have no ratio, and what is unknown excuses nothing.
		{name: "no ratio", control: []float64{0, 0, 0, 0, 0, 0}, experiment: low, set: func(c *config) { c.Effect.AllowedIncrease = 1000 }, want: "High", reason: "no excuse"},
		{name: "no ratio, below", control: low, experiment: []float64{0, 0, 0, 0, 0, 0}, set: func(c *config) { c.Effect.AllowedDecrease = -1 }, want: "Low", reason: "no excuse"},
		{name: "no critical ratio", control: []float64{0, 0, 0, 0, 0, 0}, experiment: low, set: func(c *config) { c.Critical, c.Effect.CriticalIncrease = true, 1000 }, want: "High", critical: true},
		// The ratio of negative means is the wrong way round, as in Kayenta.
		{name: "negative means", control: []float64{-1, -1.1, -1.2, -1.3, -1.4}, experiment: []float64{-5, -5.1, -5.2, -5.3, -5.4}, want: "Pass", reason: "does not reach"},

		// Critical metrics.
		{name: "critical above", control: low, experiment: high, set: func(c *config) { c.Critical = true }, want: "High", critical: true},
		{name: "critical below", control: high, experiment: low, set: func(c *config) { c.Critical = true }, want: "Low", critical: true},
		{name: "above, but not critically", control: low, experiment: high, set: func(c *config) { c.Critical, c.Effect.CriticalIncrease = true, 100 }, want: "High"},
		{name: "below, but not critically", control: high, experiment: low, set: func(c *config) { c.Critical, c.Effect.CriticalDecrease = true, 0.01 }, want: "Low"},
		{name: "critical, but good", control: low, experiment: low, set: func(c *config) { c.Critical = true }, want: "Pass"},

		// No data.
		{name: "no experiment", control: low, want: "Nodata", reason: "experiment has no data"},
		{name: "no control", experiment: low, want: "Nodata", reason: "control has no data"},
		{name: "nothing", want: "Nodata", reason: "both sides have no data"},
		{name: "no data, critical", control: low, set: func(c *config) { c.Critical = true }, want: "Nodata", critical: true},
		{name: "no data, but must have", control: low, set: func(c *config) { c.MustHaveData = true }, want: "NodataFailMetric"},
		{name: "no data, but must have, critical", control: low, set: func(c *config) { c.MustHaveData, c.Critical = true, true }, want: "Nodata", critical: true},
		{name: "no data is zero", control: low, set: func(c *config) { c.NaN = mannwhitney.ReplaceNaN }, want: "Pass", reason: "taken for zero"},
		{name: "no data is zero, must have, critical", control: low, set: func(c *config) { c.NaN, c.MustHaveData, c.Critical = mannwhitney.ReplaceNaN, true, true }, want: "Pass"},

		// NaN.
		{name: "gaps", control: append([]float64{nan, nan}, low...), experiment: append([]float64{nan}, high...), want: "High"},
		{name: "nothing but gaps", control: low, experiment: []float64{nan, nan}, want: "Nodata"},
		{name: "gaps are zero", control: []float64{nan, nan, nan, nan, nan, nan}, experiment: low, set: func(c *config) { c.NaN = mannwhitney.ReplaceNaN }, want: "High"},
		{name: "gaps are zero on both sides", control: []float64{nan, nan}, experiment: []float64{nan, 0, 0}, set: func(c *config) { c.NaN = mannwhitney.ReplaceNaN }, want: "Pass", reason: "all values are 0"},

		// Equal and constant sides.
		{name: "the same in another order", control: []float64{1, 2, 3}, experiment: []float64{3, 1, 2}, want: "Pass", reason: "same values"},
		{name: "one value on both sides", control: []float64{7, 7}, experiment: []float64{7, 7, 7}, want: "Pass", reason: "all values are 7"},
		{name: "two constants", control: []float64{5, 5, 5}, experiment: []float64{10, 10, 10}, want: "High"},
		{name: "two constants, below", control: []float64{10, 10, 10}, experiment: []float64{5, 5, 5}, want: "Low"},
		{name: "a constant above zero", control: []float64{0, 0, 0}, experiment: []float64{5, 5}, want: "High"},
		{name: "constants too close to tell", control: []float64{1, 1, 1}, experiment: []float64{1.0000001, 1.0000001, 1.0000001}, want: "Pass"},
		{name: "one value each", control: []float64{5}, experiment: []float64{10}, want: "Error", reason: "all values are tied"},
		{name: "one value against zeros", control: []float64{0, 0, 0}, experiment: []float64{5}, set: func(c *config) { c.Critical = true }, want: "Error"},
		{name: "one constant side", control: []float64{1, 1, 1, 1, 1}, experiment: []float64{0, 1, 1, 1, 1}, want: "Pass"},

		// Infinity has no place on the scale of a shift.
		{name: "an infinite value", control: low, experiment: append([]float64{inf}, high...), want: "Pass", reason: "infinite"},
		{name: "all infinite", control: low, experiment: []float64{inf, inf, inf, inf, inf, inf}, want: "Pass", reason: "infinite"},
		{name: "infinite on both sides", control: []float64{-inf, -inf, -inf}, experiment: []float64{inf, inf, inf}, want: "Pass", reason: "infinite"},
		{name: "two infinite constants of different lengths", control: []float64{inf}, experiment: []float64{inf, inf}, want: "Pass", reason: "all values are +Inf"},

		// Outliers: of 60 values the last percentile is below a single far one.
		{name: "an outlier kept", control: spread(60, 10), experiment: append(spread(7, 10), 900, 900, 900, 900), set: func(c *config) { c.Effect.AllowedIncrease = 2 }, want: "Pass"},
		{name: "confidence of nothing", control: low, experiment: low[1:], set: func(c *config) { c.Confidence = 0 }, want: "High"},
		{name: "confidence of everything", control: low, experiment: append(slices.Clone(high), 0.5), set: func(c *config) { c.Confidence = 1 }, want: "Pass"},

		{name: "no such direction", control: low, experiment: high, set: func(c *config) { c.Direction = "up" }, want: "Error", reason: `direction is "up", want one of increase, decrease, either`},
		{name: "no such confidence", control: low, experiment: high, set: func(c *config) { c.Confidence = 98 }, want: "Error", reason: "confidence is 98, want a number from 0 to 1"},
		{name: "no such factor", control: low, experiment: high, set: func(c *config) { c.OutlierFactor = 0 }, want: "Error", reason: "outlierFactor is 0, want a finite number above 0"},
		{name: "no tolerance", control: low, experiment: high, set: func(c *config) { c.Tolerance = nan }, want: "Error", reason: "tolerance is NaN"},
		{name: "no threshold", control: low, experiment: high, set: func(c *config) { c.Effect.CriticalDecrease = nan }, want: "Error", reason: "effectSize.criticalDecrease is NaN, want a number"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := mannwhitney.DefaultConfig()
			if test.set != nil {
				test.set(&c)
			}
			got := mannwhitney.Judge(c, test.control, test.experiment)
			if got.Classification != test.want || got.Critical != test.critical || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("got %s, critical %t (%s)\nwant %s, critical %t (… %s …)", got.Classification, got.Critical, got.Reason, test.want, test.critical, test.reason)
			}
		})
	}
}

// spread is n values around a mean, one apart.
func spread(n int, mean float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = mean + float64(i) - float64(n-1)/2
	}
	return values
}

// TestJudge_RemovesOutliers checks the fences. The quartiles of 0 to 100 with
// two values more at each end are 24 and 76 (type 7), so that those of a factor
// of 1 are at -28 and 128.
func TestJudge_RemovesOutliers(t *testing.T) {
	t.Parallel()
	c := mannwhitney.DefaultConfig()
	c.OutlierFactor = 1
	count := func(far ...float64) mannwhitney.Summary {
		return mannwhitney.Judge(c, append(spread(101, 50), far...), low).Control
	}
	if got := count(129, 200, -29, -100); got.Count != 105 || got.Removed != 0 {
		t.Errorf("outliers are kept by default, got %+v", got)
	}
	c.Outliers = mannwhitney.RemoveOutliers
	if got := count(128, 200, -28, -100); got.Min != -28 || got.Max != 128 || got.Removed != 2 {
		t.Errorf("one value at each end is beyond the fence, got %+v", got)
	}
	// The fence is at 132.5 here, but the last percentile at 133.94.
	if got := count(130, 131, 132, 133, 134, 135); got.Max != 133 || got.Removed != 2 {
		t.Errorf("the last percentile is the fence here, got %+v", got)
	}
	c.OutlierFactor = 0.01
	if got := count(); got.Min != 1 || got.Max != 99 || got.Removed != 2 {
		t.Errorf("what is within the percentiles is kept whatever the factor, got %+v", got)
	}
}

// TestJudge_FindsWhatRFinds compares with values of R (testdata/wilcoxon.R).
func TestJudge_FindsWhatRFinds(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/wilcoxon.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Confidence, Lower, Upper, Estimate float64
		Control, Experiment                []float64
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	for i, want := range cases {
		c := mannwhitney.DefaultConfig()
		c.Confidence = want.Confidence
		got := mannwhitney.Judge(c, want.Control, want.Experiment).Shift
		if got == nil {
			t.Errorf("case %d was not compared", i)
			continue
		}
		if !near(got.Lower, want.Lower) || !near(got.Upper, want.Upper) || !near(got.Estimate, want.Estimate) {
			t.Errorf("case %d: %v in [%v, %v], want %v in [%v, %v]", i, got.Estimate, got.Lower, got.Upper, want.Estimate, want.Lower, want.Upper)
		}
	}
}

// near leaves room for another implementation of the normal quantile only.
func near(got mannwhitney.Number, want float64) bool {
	return math.Abs(float64(got)-want) <= 1e-10*max(1, math.Abs(want))
}

func TestJudge_DescribesBothSides(t *testing.T) {
	t.Parallel()
	v := mannwhitney.Judge(mannwhitney.DefaultConfig(), []float64{2, 4, 4, 4, 5, 5, 7, 9, nan}, []float64{nan})
	if want := (mannwhitney.Summary{Count: 8, Removed: 1, Min: 2, Max: 9, Mean: 5, StdDev: mannwhitney.Number(math.Sqrt(32.0 / 7))}); v.Control != want {
		t.Errorf("got %+v, want %+v", v.Control, want)
	}
	if got := mannwhitney.Judge(mannwhitney.DefaultConfig(), slices.Repeat([]float64{0.1}, 10), low).Control.Mean; got != 0.1 {
		t.Errorf("the mean of ten times 0.1 is %v", got)
	}
	text, err := json.Marshal(v.Experiment)
	if want := `{"count":0,"removed":1,"min":null,"max":null,"mean":null,"stdDev":null}`; err != nil || string(text) != want {
		t.Errorf("got %s, %v, want %s", text, err, want)
	}
}

// TestJudge_RanksZerosAsJava has -0 below 0, as Double.compare has it.
func TestJudge_RanksZerosAsJava(t *testing.T) {
	t.Parallel()
	c := mannwhitney.DefaultConfig()
	c.Effect = mannwhitney.DefaultEffect(mannwhitney.CLES)
	minus := math.Copysign(0, -1)
	if v := mannwhitney.Judge(c, []float64{minus, minus}, []float64{0, 0, 1}); v.Effect == nil || v.Effect.Size != 1 {
		t.Errorf("got %+v, want a cles of 1", v.Effect)
	}
}

func BenchmarkJudge_ALookAtAThousandMetrics(b *testing.B) {
	experiment, control := spread(60, 10.3), spread(60, 10)
	for b.Loop() {
		for range 1000 {
			mannwhitney.Judge(mannwhitney.DefaultConfig(), control, experiment)
		}
	}
}
