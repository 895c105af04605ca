package judge_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/judge"
	"switchd/spec"
)

func panel(t testing.TB, a spec.Analysis) *judge.Panel {
	t.Helper()
	p, err := judge.NewPanel(a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// errorCounts is a metric of the judge sequential.
func errorCounts(name string) spec.Metric {
	return spec.Metric{
		Name: name, Judge: spec.JudgeSequential, Bad: "bad", Total: "total", Node: "instance",
		Allowed: 1.1, Margin: 0.5, Harmless: 0.001, Require: spec.RequireNoWorse, Weight: 1,
	}
}

// onNodes spreads events over four nodes.
func onNodes(bad, total float64) judge.Reading {
	r := judge.Reading{Nodes: make(map[string]judge.Counts)}
	for i := range 4 {
		r.Nodes[fmt.Sprintf("node-%d", i)] = judge.Counts{Bad: []float64{bad / 4}, Total: total / 4}
	}
	return r
}

// look shows a panel the values of metrics of threshold as of the nth step; NaN
// is a gap.
func look(p *judge.Panel, n int, values map[string]float64) {
	samples := make(map[string]judge.Sample)
	for name, v := range values {
		samples[name] = judge.Sample{At: at(n), Experiment: reading(v)}
	}
	p.Observe(samples)
}

func wantVerdict(t *testing.T, v judge.Verdict, outcome judge.Outcome, why string) {
	t.Helper()
	if v.Outcome != outcome || v.Why != why {
		t.Errorf("got  %s: %s\nwant %s: %s", v.Outcome, v.Why, outcome, why)
	}
}

func TestPanel_PassesWhenEveryMetricHasItsLooks(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(3, most("b"), most("a")))
	p.Call("green", "blue")
	wantVerdict(t, p.Verdict(), judge.Undecided,
		"2 of 2 metrics are undecided; what takes longest is a: 0 of 3 passing looks, last look: none yet; still needs about 3 min")
	look(p, 0, map[string]float64{"a": 1, "b": nan})
	look(p, 1, map[string]float64{"a": 1, "b": 1})
	look(p, 2, map[string]float64{"a": 1, "b": 2})
	v := p.Verdict()
	wantVerdict(t, v, judge.Undecided, "b: 2 of 3 passing looks, 1 unknown, last look: 2, allowed at most 2; still needs about 1 min")
	if v.Need.Time != time.Minute || v.Findings[0].Metric != "a" || v.Findings[0].Outcome != judge.NoWorse {
		t.Errorf("got %+v", v)
	}
	look(p, 3, map[string]float64{"b": 1}) // "a" was left out of this look
	wantVerdict(t, p.Verdict(), judge.NoWorse, "a and b are within bounds on green, after 4 looks in 4 min")
}

func TestPanel_FailsWithASentence(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(3, most("errors"), most("queue")))
	p.Call("green", "blue")
	look(p, 0, map[string]float64{"errors": 1, "queue": 1})
	look(p, 1, map[string]float64{"errors": 5, "queue": 1})
	wantVerdict(t, p.Verdict(), judge.Regressed, "errors of green is 5, allowed at most 2, after 2 looks in 2 min")
	look(p, 2, map[string]float64{"errors": 5, "queue": 9})
	wantVerdict(t, p.Verdict(), judge.Regressed,
		"errors of green is 5, allowed at most 2, after 3 looks in 3 min; queue of green is 9, allowed at most 2, after 3 looks in 3 min")
}

func TestPanel_NamesTheMetricThatTakesLongest(t *testing.T) {
	t.Parallel()
	for _, values := range []map[string]float64{{"a": 1, "b": nan}, {"a": nan, "b": 1}} {
		p := panel(t, minutely(3, most("a"), most("b")))
		look(p, 0, values)
		look(p, 1, map[string]float64{"a": 1, "b": 1})
		longest := "a"
		if values["a"] == 1 {
			longest = "b"
		}
		v := p.Verdict()
		wantVerdict(t, v, judge.Undecided,
			"2 of 2 metrics are undecided; what takes longest is "+longest+": 1 of 3 passing looks, 1 unknown, last look: 1, allowed at most 2; still needs about 2 min")
		if v.Need.Time != 2*time.Minute {
			t.Errorf("it needs %s", v.Need.Time)
		}
	}
	// What will never do takes longer than what nobody knows, and that longer than
	// any time.
	zone := most("never")
	zone.FailMax, zone.InconclusiveLimit = new(4.0), new(0)
	p := panel(t, minutely(1000, most("long"), kayenta("unknown"), zone))
	look(p, 0, map[string]float64{"long": 1, "unknown": nan, "never": 1})
	if v := p.Verdict(); !strings.Contains(v.Why, "longest is unknown: ") || v.Need != (judge.Need{}) {
		t.Errorf("got %s, %+v", v.Why, v.Need)
	}
	look(p, 1, map[string]float64{"never": 3})
	if v := p.Verdict(); !strings.Contains(v.Why, "longest is never: ") || v.Need.Never == "" {
		t.Errorf("got %s, %+v", v.Why, v.Need)
	}
}

func TestPanel_WaitsForAllOfTheScore(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(10, kayenta("a"), kayenta("b")))
	for i := range 11 {
		samples := map[string]judge.Sample{
			"a": {At: at(i), Experiment: reading(slow[i%10]), Control: reading(fast[i%10])},
			"b": {At: at(i), Experiment: reading(fast[i%10]), Control: reading(fast[i%10])},
		}
		if i == 0 {
			samples["b"] = judge.Sample{At: at(i), Experiment: gap("timeout")}
		}
		p.Observe(samples)
		switch v := p.Verdict(); i {
		case 9:
			wantVerdict(t, v, judge.Undecided, "b: 9 of 10 samples, 1 gap; still needs about 2 min")
		case 10:
			if v.Outcome != judge.Regressed || !strings.HasPrefix(v.Why, "the score of a and b is 50 of 100, at least 75 is marginal: a: High after 10 samples: ") {
				t.Errorf("got %s: %s", v.Outcome, v.Why)
			}
		}
	}
}

// What Kayenta's judge can't judge, it doesn't count; but where that is all there
// is, its score of 100 would be one of nothing.
func TestPanel_DoesNotPassAScoreOfNothing(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(1, kayenta("a")))
	p.Observe(map[string]judge.Sample{"a": {At: at(0), Experiment: reading(1), Control: reading(0)}})
	v := p.Verdict()
	wantVerdict(t, v, judge.Undecided, "a: Error after 1 sample: all values are tied, so that there is no interval: too few of them, or all the same but one")
	if v.Findings[0].Classification != "Error" || v.Need.Never == "" {
		t.Errorf("got %+v", v)
	}
}

func TestPanel_AStepIsShownAnew(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(1, most("a")))
	look(p, 0, map[string]float64{"a": 1})
	if v := p.Verdict(); v.Outcome != judge.NoWorse {
		t.Fatalf("got %s", v.Why)
	}
	p.Step()
	wantVerdict(t, p.Verdict(), judge.Undecided, "a: 0 of 1 passing looks, last look: 1, allowed at most 2; still needs about 1 min")
}

func TestPanel_SaysWhenNothingWillHelp(t *testing.T) {
	t.Parallel()
	zone := most("errors")
	zone.FailMax, zone.InconclusiveLimit = new(4.0), new(0)
	p := panel(t, minutely(1, zone, most("queue")))
	look(p, 0, map[string]float64{"errors": 3, "queue": nan})
	v := p.Verdict()
	wantVerdict(t, v, judge.Undecided, "2 of 2 metrics are undecided; what takes longest is errors: 0 of 1 passing looks, 1 inconclusive of 0 accepted, "+
		"last look: 3, allowed at most 2; inconclusive looks are 1, accepted are 0, so a person must decide")
	if v.Need.Never == "" {
		t.Error("it is not said that nothing will help")
	}
}

// judgedBy shows a panel of mannwhitney metrics ten looks each: slow against fast,
// or alike.
func judgedBy(t *testing.T, a spec.Analysis, worse ...string) judge.Verdict {
	t.Helper()
	p := panel(t, a)
	p.Call("green", "blue")
	for i := range slow {
		samples := make(map[string]judge.Sample)
		for _, m := range a.Metrics {
			s := judge.Sample{At: at(i), Experiment: reading(fast[i]), Control: reading(fast[i])}
			if slices.Contains(worse, m.Name) {
				s.Experiment = reading(slow[i])
			}
			samples[m.Name] = s
		}
		p.Observe(samples)
	}
	return p.Verdict()
}

func TestPanel_SumsTheScore(t *testing.T) {
	t.Parallel()
	named := func(n int) (metrics []spec.Metric) {
		for i := range n {
			metrics = append(metrics, kayenta(fmt.Sprintf("m%d", i)))
		}
		return metrics
	}
	high := "the mean is 25.5 for green and 15.5 for blue; green is higher: the shift is 10 (6 to 14 with 98 % confidence), beyond ±2.5; " +
		"meanRatio is 1.645; the tolerance is 25 % of the shift"
	critical := named(3)
	critical[1].MannWhitney.Critical = true
	mixed := append(named(2), most("queue"))
	for name, tt := range map[string]struct {
		metrics []spec.Metric
		worse   []string
		outcome judge.Outcome
		why     string
	}{
		"passes":      {named(2), nil, judge.NoWorse, "the score of m0 and m1 is 100 of 100 on green, after 10 looks in 10 min"},
		"marginal":    {named(5), []string{"m3"}, judge.Undecided, "the score of m0, m1, m2, m3 and m4 is 80 of 100, at least 95 passes and below 75 fails, so a person must decide: m3: High after 10 samples: " + high},
		"fails":       {named(2), []string{"m1"}, judge.Regressed, "the score of m0 and m1 is 50 of 100, at least 75 is marginal: m1: High after 10 samples: " + high + ""},
		"critical":    {critical, []string{"m1"}, judge.Regressed, "m1: High after 10 samples: " + high + ", and it is critical"},
		"with others": {mixed, nil, judge.Regressed, "queue of green is 20, allowed at most 2, after 10 looks in 10 min"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := judgedBy(t, minutely(10, tt.metrics...), tt.worse...)
			wantVerdict(t, v, tt.outcome, tt.why)
		})
	}
}

func TestPanel_RaisesTheAlarmOfAllSequentialMetricsTogether(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(3, errorCounts("errors"), errorCounts("timeouts"), most("queue")))
	p.Call("green", "blue")
	for i := range 60 {
		p.Observe(map[string]judge.Sample{
			"errors":   {At: at(i), Experiment: onNodes(24, 6000), Control: onNodes(12, 6000)},
			"timeouts": {At: at(i), Experiment: onNodes(12, 6000), Control: onNodes(12, 6000)},
			"queue":    {At: at(i), Experiment: reading(1)},
		})
		v := p.Verdict()
		if (v.Outcome == judge.Regressed) != (v.LogE >= v.Limit) {
			t.Fatalf("%s at log e %v of %v: %s", v.Outcome, v.LogE, v.Limit, v.Why)
		}
		if v.Outcome != judge.Regressed {
			continue
		}
		if !strings.HasPrefix(v.Why, "errors") || strings.Contains(v.Why, "timeouts") || strings.Contains(v.Why, "the new version") {
			t.Errorf("got %s", v.Why)
		}
		if v.Findings[0].Outcome != judge.Regressed || v.Findings[2].Outcome == judge.Regressed {
			t.Errorf("got %+v", v.Findings)
		}
		return
	}
	t.Fatal("twice the errors raised no alarm in an hour")
}

// TestPanel_StaysUndecidedWhileItSeesNothing: what was no worse once may be worse
// now, and nobody knows how long the rest takes.
func TestPanel_StaysUndecidedWhileItSeesNothing(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(2, most("a"), most("b")))
	look(p, 0, map[string]float64{"a": 1, "b": nan})
	look(p, 1, map[string]float64{"a": 1, "b": 1})
	look(p, 2, map[string]float64{"a": nan, "b": 1})
	v := p.Verdict()
	wantVerdict(t, v, judge.Undecided, "a: nothing was seen at the newest look; before, 2 of 2 passing looks, 1 unknown, last look: no data")
	if v.Need != (judge.Need{}) {
		t.Errorf("it needs %+v", v.Need)
	}
	look(p, 3, map[string]float64{"a": 1, "b": 1})
	wantVerdict(t, p.Verdict(), judge.NoWorse, "a and b are within bounds on the new version, after 4 looks in 4 min")
}

// TestPanel_BlamesWhatIsWorse, and nothing that only lacks data.
func TestPanel_BlamesWhatIsWorse(t *testing.T) {
	t.Parallel()
	good := errorCounts("good")
	p := panel(t, minutely(1, errorCounts("errors"), good))
	for i := range 60 {
		p.Observe(map[string]judge.Sample{
			"errors": {At: at(i), Experiment: onNodes(24, 6000), Control: onNodes(12, 6000)},
			"good":   {At: at(i), Experiment: onNodes(12, 6000), Control: onNodes(12, 6000)},
		})
		v := p.Verdict()
		if v.Outcome != judge.Regressed {
			continue
		}
		if v.Findings[1].Outcome == judge.Regressed || strings.Contains(v.Why, "good") || v.Findings[0].Need != (judge.Need{}) {
			t.Errorf("got %s, needs %+v", v.Why, v.Findings[0].Need)
		}
		return
	}
	t.Fatal("twice the errors raised no alarm in an hour")
}

func TestPanel_DoesNotPassWhatCannotBeTrusted(t *testing.T) {
	t.Parallel()
	untrusted := map[string]judge.Background{"errors": {Untrusted: "its halves differ without any release"}}
	shout := func(metrics ...spec.Metric) judge.Verdict {
		p, err := judge.NewPanel(minutely(1, metrics...), untrusted)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			p.Observe(map[string]judge.Sample{
				"errors": {At: at(i), Experiment: onNodes(120, 6000), Control: onNodes(12, 6000)},
				"queue":  {At: at(i), Experiment: reading(1)},
			})
		}
		return p.Verdict()
	}
	for _, v := range []judge.Verdict{shout(errorCounts("errors"), most("queue")), shout(errorCounts("errors"))} {
		wantVerdict(t, v, judge.Undecided, "errors: not judged: its halves differ without any release; give it another judge, such as threshold")
		if v.Need.Never == "" || v.Limit != 0 {
			t.Errorf("got %+v", v)
		}
	}
}

// TestPanel_DoesNotSufferFromWhatUsersOfOtherJudgesDo has their complaints:
// fluxcd/flagger#1035 and #1689 (no traffic), spinnaker/kayenta#700 (NaN),
// argoproj/argo-rollouts#4211 (an outage), spinnaker/kayenta#780 (7 of 10 points at
// 100) and #521 (nobody explains the verdict).
func TestPanel_DoesNotSufferFromWhatUsersOfOtherJudgesDo(t *testing.T) {
	t.Parallel()
	shares := errorCounts("errors")
	ratio := most("latency")
	panelOf := func() *judge.Panel { return panel(t, minutely(3, shares, ratio)) }
	for name, broken := range map[string]func(i int) map[string]judge.Sample{
		"no traffic": func(i int) map[string]judge.Sample {
			return map[string]judge.Sample{"errors": {At: at(i), Experiment: onNodes(0, 0), Control: onNodes(0, 0)}, "latency": {At: at(i), Experiment: judge.Reading{Value: nan}}}
		},
		"NaN": func(i int) map[string]judge.Sample {
			return map[string]judge.Sample{"errors": {At: at(i), Experiment: onNodes(nan, nan), Control: onNodes(nan, nan)}, "latency": {At: at(i), Experiment: judge.Reading{Value: nan}}}
		},
		"an outage": func(i int) map[string]judge.Sample {
			lost := judge.Sample{At: at(i), Experiment: gap("ask Prometheus: connection refused"), Control: gap("ask Prometheus: connection refused")}
			return map[string]judge.Sample{"errors": lost, "latency": lost}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := panelOf()
			for i := range 60 {
				p.Observe(broken(i))
				if v := p.Verdict(); v.Outcome != judge.Undecided || v.LogE > 0 {
					t.Fatalf("%s: %s", v.Outcome, v.Why)
				}
			}
			v := p.Verdict()
			for _, f := range v.Findings {
				if f.Samples != 0 || f.Gaps != 60 {
					t.Errorf("%s has %d samples and %d gaps", f.Metric, f.Samples, f.Gaps)
				}
			}
		})
	}
	t.Run("7 of 10 points at 100 against all 1", func(t *testing.T) {
		t.Parallel()
		for name, m := range map[string]spec.Metric{"threshold": most("latency"), "expr": {
			Name: "latency", Judge: spec.JudgeExpr, Expr: "latency <= 3 * live.latency", Queries: map[string]string{"latency": "q"},
		}} {
			p := panel(t, minutely(10, m))
			for i := range 10 {
				v := 100.0
				if i < 3 {
					v = 1
				}
				p.Observe(map[string]judge.Sample{"latency": {
					At:         at(i),
					Experiment: judge.Reading{Value: v, Named: map[string]float64{"latency": v}},
					Control:    judge.Reading{Value: 1, Named: map[string]float64{"latency": 1}},
				}})
			}
			if v := p.Verdict(); v.Outcome != judge.Regressed {
				t.Errorf("%s: %s: %s", name, v.Outcome, v.Why)
			}
		}
	})
}

// history is what a panel of one metric of each judge sees, drawn at random.
func history(t *rapid.T) (spec.Analysis, []map[string]judge.Sample) {
	expr := formula("errors / requests < 0.5")
	latency := kayenta("latency")
	a := minutely(rapid.IntRange(1, 4).Draw(t, "looks"), errorCounts("errors"), most("queue"), latency, expr)
	v := rapid.SampledFrom([]float64{0, 1, 1, 1, 2, 9, nan})
	var looks []map[string]judge.Sample
	for i := range rapid.IntRange(0, 8).Draw(t, "n") {
		all := map[string]judge.Sample{
			"errors":  {At: at(i), Experiment: onNodes(v.Draw(t, "bad"), 1000), Control: onNodes(v.Draw(t, "bad"), 1000)},
			"queue":   {At: at(i), Experiment: reading(v.Draw(t, "queue"))},
			"latency": {At: at(i), Experiment: reading(v.Draw(t, "latency")), Control: reading(v.Draw(t, "latency"))},
			"shop":    {At: at(i), Experiment: named(v.Draw(t, "errors"), v.Draw(t, "requests"))},
		}
		for name := range all {
			if rapid.IntRange(0, 9).Draw(t, "absent") == 0 {
				delete(all, name)
			}
		}
		looks = append(looks, all)
	}
	return a, looks
}

func TestPanel_GoesOnAfterARestartAsIfThereWasNone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a, looks := history(rt)
		step := rapid.IntRange(-1, len(looks)).Draw(rt, "step")
		whole, part := panel(t, a), panel(t, a)
		for i, l := range looks {
			if i == step {
				whole.Step()
				part.Step()
			}
			whole.Observe(l)
			part.Observe(l)
			if rapid.IntRange(0, 5).Draw(rt, "restart") > 0 {
				continue
			}
			state, err := json.Marshal(part)
			if err != nil {
				rt.Fatal(err)
			}
			part = panel(t, a)
			if err := json.Unmarshal(state, part); err != nil {
				rt.Fatal(err)
			}
		}
		if got, want := part.Verdict(), whole.Verdict(); !reflect.DeepEqual(got, want) {
			rt.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestPanel_DoesNotHangOnTheOrderOfMetrics(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a, looks := history(rt)
		b := a
		b.Metrics = rapid.Permutation(a.Metrics).Draw(rt, "order")
		one, other := panel(t, a), panel(t, b)
		for _, l := range looks {
			one.Observe(l)
			other.Observe(l)
		}
		if got, want := other.Verdict(), one.Verdict(); !reflect.DeepEqual(got, want) {
			rt.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestPanel_NeverPassesWhatItDidNotSee(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		a, looks := history(rt)
		p := panel(t, a)
		seen := make(map[string]int)
		for _, l := range looks {
			for name, s := range l {
				switch name {
				case "queue":
					if s.Experiment.Value <= 2 && s.Experiment.Missing == "" {
						seen[name]++
					}
				case "latency":
					if s.Experiment.Missing == "" && s.Control.Missing == "" {
						seen[name]++
					}
				case "shop":
					if v := s.Experiment.Named; v["errors"]/v["requests"] < 0.5 {
						seen[name]++
					}
				default:
					if !math.IsNaN(s.Experiment.Nodes["node-0"].Bad[0]) && !math.IsNaN(s.Control.Nodes["node-0"].Bad[0]) {
						seen[name]++
					}
				}
			}
			p.Observe(l)
			if v := p.Verdict(); v.Outcome == judge.NoWorse {
				for _, m := range a.Metrics {
					if seen[m.Name] < a.Looks {
						rt.Fatalf("passed with %d looks at %s: %s", seen[m.Name], m.Name, v.Why)
					}
				}
			}
		}
	})
}

func TestNewPanel_RefusesWhatCannotBeJudged(t *testing.T) {
	t.Parallel()
	metric := most("a")
	slept := minutely(1, metric)
	slept.Interval = 0
	sure := minutely(1, errorCounts("a"))
	sure.Alpha = 0
	light := errorCounts("a")
	light.Weight = 0
	unscored := minutely(1, kayenta("a"))
	unscored.Score = spec.Score{}
	for want, a := range map[string]spec.Analysis{
		"analysis: interval must be above 0, got 0s":                                                                      slept,
		"analysis: looks must be at least 1, got 0":                                                                       minutely(0, metric),
		"analysis: there is no metric to look at":                                                                         minutely(1),
		`analysis: there are two metrics "a"`:                                                                             minutely(1, metric, metric),
		`analysis: metric "a" has neither min nor max, so that no value would be bad`:                                     minutely(1, spec.Metric{Name: "a", Judge: spec.JudgeThreshold}),
		`analysis: alpha must be between 0 and 1 for the sequential judge of metric "a", got 0`:                           sure,
		`analysis: weight of metric "a" must be a number above 0, got 0`:                                                  minutely(1, light),
		`analysis: score must have a pass above 0 and a marginal from 0 to pass for the judge of metric "a", got 0 and 0`: unscored,
	} {
		if _, err := judge.NewPanel(a, nil); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// thousand is an analysis of a thousand metrics of counts, and what they show.
func thousand() (spec.Analysis, func(i int) map[string]judge.Sample) {
	var metrics []spec.Metric
	for i := range 1000 {
		metrics = append(metrics, errorCounts(fmt.Sprintf("errors-%03d", i)))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	return minutely(5, metrics...), func(i int) map[string]judge.Sample {
		samples := make(map[string]judge.Sample, len(metrics))
		for _, m := range metrics {
			samples[m.Name] = judge.Sample{
				At:         at(i),
				Experiment: onNodes(math.Round(12+3*rng.NormFloat64()), 6000),
				Control:    onNodes(math.Round(12+3*rng.NormFloat64()), 6000),
			}
		}
		return samples
	}
}

// BenchmarkPanel_Look1000 is one more look over 1,000 metrics after 60, with its
// verdict.
func BenchmarkPanel_Look1000(b *testing.B) {
	a, samples := thousand()
	p := panel(b, a)
	for i := range 60 {
		p.Observe(samples(i))
	}
	i := 60
	for b.Loop() {
		b.StopTimer()
		next := samples(i)
		i++
		b.StartTimer()
		p.Observe(next)
		if v := p.Verdict(); len(v.Findings) != 1000 {
			b.Fatal(v.Why)
		}
	}
}
