package judge_test

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/judge"
	"switchd/judge/mannwhitney"
	"switchd/spec"
)

// kayenta is a metric of the judge mannwhitney with Kayenta's defaults.
func kayenta(name string) spec.Metric {
	return spec.Metric{
		Name: name, Judge: spec.JudgeMannWhitney, Query: name,
		MannWhitney: &spec.MannWhitney{
			Direction: "either", NaN: "remove", Outliers: "keep", OutlierFactor: 3, Tolerance: 0.25, Confidence: 0.98, Measure: "meanRatio",
		},
	}
}

// pairs are looks at both sides; NaN is a value here, as it is for Kayenta.
func pairs(experiment, control []float64) (samples []judge.Sample) {
	for i, x := range experiment {
		samples = append(samples, judge.Sample{At: at(i), Experiment: judge.Reading{Value: x}, Control: judge.Reading{Value: control[i]}})
	}
	return samples
}

func observed(j judge.Judge, samples []judge.Sample) judge.Finding {
	for _, s := range samples {
		j.Observe(s)
	}
	return j.Finding()
}

var (
	slow = []float64{21, 22, 23, 24, 25, 26, 27, 28, 29, 30}
	fast = []float64{11, 12, 13, 14, 15, 16, 17, 18, 19, 20}
)

func TestMannWhitney_ExplainsItself(t *testing.T) {
	t.Parallel()
	good := kayenta("hits")
	good.MannWhitney.Direction = "decrease"
	tests := map[string]struct {
		metric              spec.Metric
		experiment, control []float64
		outcome             judge.Outcome
		why                 string
	}{
		"high": {kayenta("latency"), slow, fast, judge.Regressed,
			"latency: High after 10 samples: the mean is 25.5 for the new version and 15.5 for the live one; " +
				"the new version is higher: the shift is 10 (6 to 14 with 98 % confidence), beyond ±2.5; meanRatio is 1.645; the tolerance is 25 % of the shift"},
		"low": {kayenta("latency"), fast, slow, judge.Regressed,
			"latency: Low after 10 samples: the mean is 15.5 for the new version and 25.5 for the live one; " +
				"the new version is lower: the shift is -10 (-14 to -6 with 98 % confidence), beyond ±2.5; meanRatio is 0.6078; the tolerance is 25 % of the shift"},
		"high, which is good": {good, slow, fast, judge.NoWorse,
			"hits: Pass after 10 samples: the mean is 25.5 for the new version and 15.5 for the live one; " +
				"the new version is higher: the shift is 10 (6 to 14 with 98 % confidence), beyond ±2.5; of this metric only the decrease is bad; the tolerance is 25 % of the shift"},
		"the same": {kayenta("latency"), fast, fast, judge.NoWorse, "latency: Pass after 10 samples: both sides have the same values"},
		// spinnaker/kayenta#780.
		"7 of 10 points at 100 against all 1": {kayenta("latency"), []float64{1, 1, 1, 100, 100, 100, 100, 100, 100, 100}, []float64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, judge.NoWorse,
			"latency: Pass after 10 samples: the mean is 70.3 for the new version and 1 for the live one; " +
				"the shift is 99 (6.825e-05 to 99 with 98 % confidence), not beyond ±24.75 as a whole; the tolerance is 25 % of the shift; " +
				"the means are far apart all the same, as ranks say nothing of how far: another judge would see it"},
		"too few": {kayenta("latency"), slow[:4], fast[:4], judge.Undecided, "latency: 4 of 10 samples"},
		"NaN is a gap": {kayenta("latency"), append([]float64{nan, nan}, slow[:4]...), append([]float64{nan, nan}, fast[:4]...), judge.Undecided,
			"latency: 4 of 10 samples, 2 gaps"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantFinding(t, observed(made(t, tt.metric, minutely(10)), pairs(tt.experiment, tt.control)), tt.outcome, tt.why)
		})
	}
}

func TestMannWhitney_LooksOnceAStep(t *testing.T) {
	t.Parallel()
	j := made(t, kayenta("latency"), minutely(10))
	samples := pairs(slices.Concat(fast, slow, slow), slices.Concat(fast, fast, fast))
	if f := observed(j, samples[:10]); f.Outcome != judge.NoWorse {
		t.Fatalf("got %s", f.Why)
	}
	if f := observed(j, samples[10:20]); f.Outcome != judge.NoWorse || f.Samples != 20 {
		t.Errorf("a later look changed the verdict: %s", f.Why)
	}
	j.Step()
	f := j.Finding()
	wantFinding(t, f, judge.Undecided, "latency: 0 of 10 samples")
	if f.Samples != 20 || f.Need.Time != 10*time.Minute {
		t.Errorf("it needs %s", f.Need.Time)
	}
	if f := observed(j, samples[20:]); f.Outcome != judge.Regressed || f.Classification != "High" {
		t.Errorf("got %s", f.Why)
	}
}

func TestMannWhitney_NaNIsAGapOrZero(t *testing.T) {
	t.Parallel()
	samples := pairs([]float64{nan, nan, 3}, []float64{nan, 2, 3})
	for strategy, want := range map[string]string{"remove": "latency: 1 of 10 samples, 2 gaps", "replace": "latency: 3 of 10 samples"} {
		m := kayenta("latency")
		m.MannWhitney.NaN = strategy
		f := observed(made(t, m, minutely(10)), samples)
		wantFinding(t, f, judge.Undecided, want)
		if both := map[string]int{"remove": 1, "replace": 0}[strategy]; f.Gaps != both {
			t.Errorf("%s: %d gaps", strategy, f.Gaps)
		}
	}
}

func TestMannWhitney_AGapOfOneSideIsOneOfBoth(t *testing.T) {
	t.Parallel()
	j := made(t, kayenta("latency"), minutely(3))
	j.Observe(judge.Sample{At: at(0), Experiment: reading(1), Control: reading(1)})
	j.Observe(judge.Sample{At: at(1), Experiment: reading(1), Control: gap("timeout")})
	j.Observe(judge.Sample{At: at(2), Experiment: gap("timeout"), Control: reading(2)})
	f := j.Finding()
	wantFinding(t, f, judge.Undecided, "latency: 1 of 3 samples, 2 gaps")
	if f.Need.Time != 6*time.Minute || f.Gaps != 2 {
		t.Errorf("it needs %s, with %d gaps", f.Need.Time, f.Gaps)
	}
}

func TestMannWhitney_MissingDataFailsOnlyIfItMustBeThere(t *testing.T) {
	t.Parallel()
	must := kayenta("latency")
	must.MannWhitney.MustHaveData = true
	critical := kayenta("latency")
	critical.MannWhitney.MustHaveData, critical.MannWhitney.Critical = true, true
	for _, tt := range []struct {
		metric  spec.Metric
		outcome judge.Outcome
		why     string
	}{
		{kayenta("latency"), judge.Undecided, "latency: 0 of 3 samples, 5 gaps"},
		{must, judge.Regressed, "latency: NodataFailMetric after 0 samples: both sides have no data, but must have"},
		{critical, judge.Undecided, "latency: Nodata after 0 samples: both sides have no data"},
	} {
		j := made(t, tt.metric, minutely(3))
		wantFinding(t, shown(j, values(nan, nan, nan, nan, nan)...), tt.outcome, tt.why)
	}
}

// examples are cases with Kayenta's own verdicts.
func examples(t *testing.T) []mannwhitney.Case {
	t.Helper()
	file, err := os.Open("mannwhitney/testdata/examples.json")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	cases, err := mannwhitney.ReadCases(file, "examples.json")
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// TestMannWhitney_AgreesWithTheJudgeItself gives a panel the values of the
// examples look by look. The shorter side is filled up with NaN at its beginning,
// which the strategy for NaN removes.
func TestMannWhitney_AgreesWithTheJudgeItself(t *testing.T) {
	t.Parallel()
	judged := 0
	for _, c := range examples(t) {
		if c.Config.NaN != mannwhitney.RemoveNaN || len(c.Control) == 0 || len(c.Experiment) == 0 {
			continue
		}
		judged++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			want := c.Judge()
			n := max(len(c.Control), len(c.Experiment))
			fill := func(vs []float64) []float64 { return append(slices.Repeat([]float64{nan}, n-len(vs)), vs...) }
			m := kayenta("latency")
			effect := c.Config.Effect
			m.MannWhitney = &spec.MannWhitney{
				Direction: string(c.Config.Direction), NaN: string(c.Config.NaN), Outliers: string(c.Config.Outliers), OutlierFactor: c.Config.OutlierFactor,
				Critical: c.Config.Critical, MustHaveData: c.Config.MustHaveData, Tolerance: c.Config.Tolerance, Confidence: c.Config.Confidence,
				Measure:         string(effect.Measure),
				AllowedIncrease: &effect.AllowedIncrease, AllowedDecrease: &effect.AllowedDecrease,
				CriticalIncrease: &effect.CriticalIncrease, CriticalDecrease: &effect.CriticalDecrease,
			}
			numbers := func(vs []float64) int {
				return len(slices.DeleteFunc(slices.Clone(vs), math.IsNaN))
			}
			p := panel(t, minutely(min(numbers(c.Control), numbers(c.Experiment)), m))
			for _, s := range pairs(fill(c.Experiment), fill(c.Control)) {
				p.Observe(map[string]judge.Sample{"latency": s})
			}
			f := p.Verdict().Findings[0]
			if f.Classification != string(want.Classification) || f.Critical != want.Critical {
				t.Errorf("got %s (critical: %t), want %s (%t): %s", f.Classification, f.Critical, want.Classification, want.Critical, f.Why)
			}
			if r := float64(want.Deviation); !math.IsNaN(r) && f.Ratio != r {
				t.Errorf("the ratio is %v, want %v", f.Ratio, r)
			}
		})
	}
	if judged < 3 {
		t.Errorf("only %d examples were judged", judged)
	}
}

func TestMannWhitney_IsBoundedAndRestored(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SampledFrom([]float64{1, 2, 3, 50, nan, math.Inf(1)})
		x, y := rapid.SliceOfN(v, 0, 40).Draw(t, "experiment"), rapid.SliceOfN(v, 40, 40).Draw(t, "control")
		cut := rapid.IntRange(0, len(x)).Draw(t, "cut")
		m, a := kayenta("latency"), minutely(rapid.IntRange(1, 45).Draw(t, "looks"))
		m.MannWhitney.NaN = rapid.SampledFrom([]string{"remove", "replace"}).Draw(t, "nan")
		fresh := func() judge.Judge {
			j, err := judge.New(m, a, judge.Background{})
			if err != nil {
				t.Fatal(err)
			}
			return j
		}
		samples := pairs(x, y)
		whole, before, after := fresh(), fresh(), fresh()
		observed(before, samples[:cut])
		state, err := json.Marshal(before)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(state, after); err != nil {
			t.Fatal(err)
		}
		got, want := observed(after, samples[cut:]), observed(whole, samples)
		if got != want {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
	j := made(t, kayenta("latency"), minutely(10000))
	for i := range 1500 {
		j.Observe(judge.Sample{At: at(i), Experiment: reading(float64(i)), Control: gap("no data")})
		j.Observe(judge.Sample{At: at(i), Experiment: reading(float64(i)), Control: judge.Reading{Value: nan}})
	}
	state, err := json.Marshal(j)
	if err != nil || len(state) > 25_000 {
		t.Errorf("%d bytes, %v", len(state), err)
	}
	if f := j.Finding(); !strings.HasPrefix(f.Why, "latency: 0 of 1000 samples") {
		t.Errorf("got %s", f.Why)
	}
}
