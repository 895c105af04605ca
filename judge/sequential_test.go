package judge_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/judge"
	"switchd/judge/sequential"
	"switchd/spec"
)

func newJudge(t testing.TB, m spec.Metric, a spec.Analysis, b judge.Background) judge.Judge {
	t.Helper()
	j, err := judge.New(m, a, b)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// alarm returns the look, counted from 1, at which a metric alone would raise the
// alarm in a rollout of an hour, 0 for none.
func alarm(t testing.TB, w poolWorld, seed uint64) int {
	t.Helper()
	m := errorsMetric()
	a := minuteAnalysis(m)
	r := w.run(seed)
	b := judge.SelfTest(m, a, r.history(240))
	if b.Untrusted != "" {
		return 0
	}
	j := newJudge(t, m, a, b)
	for i := range 60 {
		j.Observe(r.sample(i))
		if j.Finding().LogE >= sequential.Threshold(a.Alpha) {
			return i + 1
		}
	}
	return 0
}

// Two pools of the same version in worlds that are hard to other tests.
func TestSequential_KeepsToItsBudgetBetweenEqualPools(t *testing.T) {
	t.Parallel()
	base := poolWorld{nodes: 4, requests: 1000, rate: 0.002}
	busy := poolWorld{nodes: 4, requests: 15000, rate: 0.002}
	for name, change := range map[string]func(w *poolWorld){
		"independent":     func(*poolWorld) {},
		"shared trend":    func(w *poolWorld) { w.trend = 0.7 },
		"moods":           func(w *poolWorld) { *w = busy; w.cv = 0.3 },
		"lasting 0.5":     func(w *poolWorld) { *w = busy; w.cv, w.phi = 0.3, 0.5 },
		"lasting 0.9":     func(w *poolWorld) { *w = busy; w.cv, w.phi = 0.3, 0.9 },
		"lasting 0.95":    func(w *poolWorld) { *w = busy; w.cv, w.phi = 0.3, 0.95 },
		"one node":        func(w *poolWorld) { *w = busy; w.nodes, w.cv, w.phi = 1, 0.3, 0.5 },
		"node outlier":    func(w *poolWorld) { w.outlier = 5 },
		"cold cache":      func(w *poolWorld) { *w = busy; w.cold = 3 },
		"gaps":            func(w *poolWorld) { *w = busy; w.cv, w.phi, w.gap = 0.3, 0.5, 0.3 },
		"a little worse":  func(w *poolWorld) { *w = busy; w.ratio = 1.08 },
		"a better canary": func(w *poolWorld) { *w = busy; w.ratio = 0.5 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := base
			change(&w)
			const some = 30
			alarms := 0
			for seed := range uint64(some) {
				if alarm(t, w, seed) > 0 {
					alarms++
				}
			}
			// At 2 %, more than three of 30 runs alarm by chance in one world of 300.
			if alarms > 3 {
				t.Errorf("%d of %d rollouts of the same version were alarmed at", alarms, some)
			}
		})
	}
}

func TestSequential_FindsRegressions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		w      poolWorld
		within int // looks, for half of the runs
	}{
		"twice, at once":               {poolWorld{nodes: 4, requests: 1000, rate: 0.002, ratio: 2}, 20},
		"twice, after half an hour":    {poolWorld{nodes: 4, requests: 1000, rate: 0.002, ratio: 2, onset: 30}, 20},
		"five times, after 10 minutes": {poolWorld{nodes: 4, requests: 1000, rate: 0.002, ratio: 5, onset: 10}, 4},
		"twice, with moods":            {poolWorld{nodes: 4, requests: 15000, rate: 0.002, ratio: 2, onset: 10, cv: 0.3, phi: 0.5}, 16},
		"half as many more, busy":      {poolWorld{nodes: 4, requests: 15000, rate: 0.002, ratio: 1.5, onset: 10}, 8},
		"ten times, cold":              {poolWorld{nodes: 4, requests: 1000, rate: 0.002, ratio: 10, cold: 3}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var delays []int
			for seed := range uint64(15) {
				if at := alarm(t, c.w, 100+seed); at > 0 {
					delays = append(delays, at-c.w.onset)
				} else {
					delays = append(delays, math.MaxInt)
				}
			}
			slices.Sort(delays)
			if got := delays[len(delays)/2]; got > c.within {
				t.Errorf("half of the runs took more than %d looks, want at most %d", got, c.within)
			}
			if delays[0] <= 0 {
				t.Errorf("an alarm came %d looks before the regression", -delays[0])
			}
		})
	}
}

// Just beyond the margin, a pass is a mistake.
func TestSequential_SeldomPassesWhatIsWorse(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]poolWorld{
		"independent": {nodes: 4, requests: 5000, rate: 0.002, ratio: 1.55},
		"lasting 0.5": {nodes: 4, requests: 5000, rate: 0.002, ratio: 1.55, cv: 0.3, phi: 0.5},
		"lasting 0.9": {nodes: 4, requests: 5000, rate: 0.002, ratio: 1.55, cv: 0.3, phi: 0.9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const some = 25
			passes := 0
			for seed := range uint64(some) {
				m := errorsMetric()
				m.Allowed = 1.5 // so that no alarm comes first
				a := minuteAnalysis(m)
				r := w.run(seed)
				j := newJudge(t, m, a, judge.SelfTest(m, a, r.history(240)))
				for i := range 60 {
					j.Observe(r.sample(i))
					if j.Finding().Outcome == judge.NoWorse {
						passes++
						break
					}
				}
			}
			if passes > 3 {
				t.Errorf("%d of %d rollouts passed", passes, some)
			}
		})
	}
}

// alike makes a reading of nodes that are alike.
func alike(nodes int, name string, bad, total float64) judge.Reading {
	r := judge.Reading{Nodes: make(map[string]judge.Counts)}
	for i := range nodes {
		r.Nodes[fmt.Sprint(name, i)] = judge.Counts{Total: total, Bad: []float64{bad}}
	}
	return r
}

func minute(i int) time.Time { return worldBegan.Add(time.Duration(i+1) * time.Minute) }

// quiet is a background of independent requests.
func quiet(edges int) judge.Background {
	return judge.Background{Noise: make([]sequential.Noise, edges)}
}

func TestSequential_SpeaksInSentences(t *testing.T) {
	t.Parallel()
	always := func(bad float64) func(int) (judge.Reading, judge.Reading) {
		return func(int) (judge.Reading, judge.Reading) { return alike(4, "n", bad, 1500), alike(4, "o", 3, 1500) }
	}
	for _, c := range []struct {
		name    string
		change  func(m *spec.Metric)
		looks   int
		sample  func(i int) (judge.Reading, judge.Reading)
		outcome judge.Outcome
		why     string
	}{
		{
			"nothing", nil, 0, nil, judge.Undecided,
			"nothing was seen yet",
		}, {
			"outage", nil, 3,
			func(int) (judge.Reading, judge.Reading) { return judge.Reading{Missing: "timeout"}, judge.Reading{} },
			judge.Undecided, "no data in 3 steps: timeout",
		}, {
			"no traffic", nil, 1,
			func(int) (judge.Reading, judge.Reading) { return alike(4, "n", 0, 0), alike(4, "o", 3, 1500) },
			judge.Undecided, "no data in 1 step: no requests to the new version",
		}, {
			"regressed", nil, 7, always(9), judge.Undecided,
			"the new version's share of bad requests (0.6 % against 0.2 %) is 1.87 to 5 times the live one's with 98 % confidence, after 7 min and 42,000 requests; allowed is 1.1",
		}, {
			"late", nil, 34,
			func(i int) (judge.Reading, judge.Reading) { return always(3 + 6*float64(i/30))(i) }, judge.Undecided,
			"the new version's share of bad requests is some 3 times the live one's since about 10:30:00Z (on the whole, 0.97 to 1.58 times with 98 % confidence, after 34 min and 204,000 requests); allowed is 1.1",
		}, {
			"early", nil, 6, always(3), judge.Undecided,
			"not enough data yet: the new version's share of bad requests is 0.48 to 2.1 times the live one's with 98 % confidence, after 3 min and 18,000 requests",
		}, {
			"no worse", nil, 40, always(3), judge.NoWorse,
			"the new version's share of bad requests is 0.8 to 1.25 times the live one's with 98 % confidence, after 37 min and 222,000 requests; below 1.5 is no worse",
		}, {
			"none at all", nil, 40,
			func(int) (judge.Reading, judge.Reading) { return alike(4, "n", 0, 1500), alike(4, "o", 0, 1500) }, judge.Undecided,
			"the new version's share of bad requests is 0, as the live one's, after 37 min and 222,000 requests; without a bad event on either side, there is no ratio to know, and no share was said to be harmless",
		}, {
			"harmless", func(m *spec.Metric) { m.Harmless = 0.001 }, 40,
			func(int) (judge.Reading, judge.Reading) { return alike(4, "n", 0.1, 1500), alike(4, "o", 0, 1500) }, judge.NoWorse,
			"the new version's share of bad requests is at most 0.0151 % with 98 % confidence, after 37 min and 222,000 requests; up to 0.1 % is harmless",
		}, {
			"one node", nil, 20,
			func(int) (judge.Reading, judge.Reading) {
				r := alike(4, "n", 3, 1500)
				r.Nodes["n2"] = judge.Counts{Total: 1500, Bad: []float64{60}}
				return r, alike(4, "o", 3, 1500)
			}, judge.Undecided,
			"the new version's share of bad requests is 4.2 to 8.2 times the live one's with 98 % confidence, after 17 min and 102,000 requests; that it is worse hangs on node n2 alone; unless it gets better, it can't be known to be below 1.5",
		}, {
			"watched", func(m *spec.Metric) {
				m.Require, m.After = spec.RequireNoRegression, spec.Duration(10*time.Minute)
			}, 6, always(3), judge.Undecided,
			"no regression so far, to be watched for 4 min more: the new version's share of bad requests is 0.48 to 2.1 times the live one's with 98 % confidence, after 3 min and 18,000 requests",
		}, {
			"watched enough", func(m *spec.Metric) {
				m.Require, m.After = spec.RequireNoRegression, spec.Duration(10*time.Minute)
			}, 10, always(3), judge.NoWorse,
			"no regression in 10 min, which is no proof that there is none: the new version's share of bad requests is 0.61 to 1.63 times the live one's with 98 % confidence, after 7 min and 42,000 requests",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := errorsMetric()
			if c.change != nil {
				c.change(&m)
			}
			j := newJudge(t, m, minuteAnalysis(m), quiet(1))
			for i := range c.looks {
				experiment, control := c.sample(i)
				j.Observe(judge.Sample{At: minute(i), Experiment: experiment, Control: control})
			}
			f := j.Finding()
			if f.Outcome != c.outcome || f.Why != c.why {
				t.Errorf("got %s: %s\nwant %s: %s", f.Outcome, f.Why, c.outcome, c.why)
			}
		})
	}
}

func TestSequential_NeverAlarmsAtAHarmlessShare(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	m.Harmless = 0.001
	j := newJudge(t, m, minuteAnalysis(m), quiet(1))
	show := func(i int, bad float64) float64 {
		j.Observe(judge.Sample{At: minute(i), Experiment: alike(4, "n", bad, 10000), Control: alike(4, "o", 1, 10000)})
		return j.Finding().LogE
	}
	for i := range 30 { // eight times as many, and harmless all the same
		if got := show(i, 8); got > 0 {
			t.Fatalf("look %d: log E is %v at a harmless share", i, got)
		}
	}
	if got := show(30, 400); got < sequential.Threshold(0.02) {
		t.Errorf("got log E %v of a share that is not harmless any more", got)
	}
}

func bucketsMetric() spec.Metric {
	m := errorsMetric()
	m.Name, m.Bad, m.Total, m.Buckets, m.Edges = "latency", "", "", "b", []float64{0.1, 0.3, 1.5}
	return m
}

func slower(name string, total float64, above ...float64) judge.Reading {
	r := judge.Reading{Nodes: make(map[string]judge.Counts)}
	for i := range 4 {
		r.Nodes[fmt.Sprint(name, i)] = judge.Counts{Total: total, Bad: above}
	}
	return r
}

func TestSequential_SeesTheTailAlone(t *testing.T) {
	t.Parallel()
	m := bucketsMetric()
	j := newJudge(t, m, minuteAnalysis(m), quiet(3))
	for i := range 8 {
		j.Observe(judge.Sample{At: minute(i), Experiment: slower("n", 1000, 300, 80, 20), Control: slower("o", 1000, 300, 80, 4)})
	}
	f := j.Finding()
	want := "the new version's share of requests above 1.5 s (2 % against 0.4 %) is 3.4 to 7.5 times the live one's with 98 % confidence, after 8 min and 32,000 requests; allowed is 1.1"
	if f.LogE < sequential.Threshold(0.02) || f.Why != want {
		t.Errorf("got log E %v: %s\nwant: %s", f.LogE, f.Why, want)
	}
}

func TestSequential_LeavesAnEdgeOutThatCantBeKnown(t *testing.T) {
	t.Parallel()
	m := bucketsMetric()
	j := newJudge(t, m, minuteAnalysis(m), quiet(3))
	for i := range 12 {
		j.Observe(judge.Sample{At: minute(i), Experiment: slower("n", 1000, 300, 80, 0), Control: slower("o", 1000, 300, 80, 0)})
	}
	f := j.Finding()
	want := "the new version's share of requests above 300 ms is 0.91 to 1.1 times the live one's with 98 % confidence, after 9 min and 36,000 requests; below 1.5 is no worse (too few to tell: requests above 1.5 s)"
	if f.Outcome != judge.NoWorse || f.Why != want {
		t.Errorf("got %s: %s\nwant: %s", f.Outcome, f.Why, want)
	}
}

func TestSequential_ShowsAnewAtEachShareOfTheTraffic(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	j := newJudge(t, m, minuteAnalysis(m), quiet(1))
	for i := range 40 {
		j.Observe(judge.Sample{At: minute(i), Experiment: alike(4, "n", 3, 1500), Control: alike(4, "o", 3, 1500)})
	}
	before := j.Finding()
	j.Step()
	after := j.Finding()
	if before.Outcome != judge.NoWorse || after.Outcome != judge.Undecided {
		t.Errorf("got %s before the step and %s after it", before.Outcome, after.Outcome)
	}
	if before.LogE != after.LogE || after.Samples != 40 {
		t.Errorf("the step took evidence away: log E %v and %v, %d samples", before.LogE, after.LogE, after.Samples)
	}
	for i := range 4 {
		j.Observe(judge.Sample{At: minute(40 + i), Experiment: alike(4, "n", 300, 150000), Control: alike(4, "o", 300, 150000)})
	}
	if f := j.Finding(); f.Outcome != judge.Undecided || f.Need.Time != time.Minute || f.Need.Requests != 600000 {
		t.Errorf("four looks of five: got %s, needed %+v", f.Outcome, f.Need)
	}
}

func TestSequential_DoesNotJudgeAnUntrustedMetric(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	j := newJudge(t, m, minuteAnalysis(m), judge.Background{Noise: make([]sequential.Noise, 1), Untrusted: "it is a lottery"})
	for i := range 40 {
		j.Observe(judge.Sample{At: minute(i), Experiment: alike(4, "n", 30, 1500), Control: alike(4, "o", 3, 1500)})
	}
	if f := j.Finding(); f.Outcome != judge.Undecided || f.LogE != 0 || f.Need.Never == "" || f.Why != "not judged: it is a lottery" {
		t.Errorf("got %+v", f)
	}
}

func TestSequential_TakesNonsenseForAGap(t *testing.T) {
	t.Parallel()
	good := alike(2, "n", 1, 100)
	for name, r := range map[string]judge.Reading{
		"missing":       {Missing: "stale"},
		"empty":         {},
		"NaN":           alike(2, "n", math.NaN(), 100),
		"negative":      alike(2, "n", 1, -100),
		"infinite":      alike(2, "n", math.Inf(1), 100),
		"absurd":        alike(2, "n", 1, 1e13),
		"more than all": alike(2, "n", 500, 100),
		"no edge":       {Nodes: map[string]judge.Counts{"a": {Total: 10}}},
	} {
		for _, s := range []judge.Sample{{Experiment: r, Control: good}, {Experiment: good, Control: r}} {
			m := errorsMetric()
			j := newJudge(t, m, minuteAnalysis(m), quiet(1))
			s.At = minute(0)
			j.Observe(s)
			if f := j.Finding(); f.Gaps != 1 || f.Samples != 0 || f.Outcome != judge.Undecided || !strings.HasPrefix(f.Why, "no data in 1 step: ") {
				t.Errorf("%s: got %+v", name, f)
			}
		}
	}
}

func valueMetric() spec.Metric {
	m := errorsMetric()
	m.Name, m.Bad, m.Total, m.Query, m.Margin = "saturation", "", "", "cpu", 0.25
	return m
}

// twoValues makes up a value of each side whose log is an AR(1) process.
type twoValues struct {
	rng     *rand.Rand
	phi, cv float64
	moods   [2]float64
}

func (v *twoValues) next(side int) judge.Reading {
	v.moods[side] = v.phi*v.moods[side] + math.Sqrt(1-v.phi*v.phi)*v.rng.NormFloat64()
	return judge.Reading{Value: 0.4 * math.Exp(v.cv*v.moods[side])}
}

func TestSequential_ComparesValues(t *testing.T) {
	t.Parallel()
	const some = 60
	m := valueMetric()
	a := minuteAnalysis(m)
	for _, c := range []struct {
		phi, cv, ratio float64
		onset          int
		least, most    int // alarms
	}{
		{0, 0.1, 1, 0, 0, 3}, {0.5, 0.2, 1, 0, 0, 3}, {0.9, 0.1, 1, 0, 0, 4}, {0.95, 0.1, 1, 0, 0, 4},
		{0, 0.1, 1.4, 0, 55, some}, {0.5, 0.1, 2, 30, 55, some}, {0, 0.05, 1.3, 10, 55, some},
	} {
		alarms := 0
		for seed := range uint64(some) {
			v := twoValues{rng: rand.New(rand.NewPCG(seed, 31)), phi: c.phi, cv: c.cv}
			v.moods = [2]float64{v.rng.NormFloat64(), v.rng.NormFloat64()}
			history := make([]judge.Sample, 360)
			for i := range history {
				history[i] = judge.Sample{At: minute(i - 400), Experiment: v.next(1)}
			}
			b := judge.SelfTest(m, a, history)
			if b.Untrusted != "" {
				continue
			}
			j := newJudge(t, m, a, b)
			for i := range 60 {
				experiment, control := v.next(0), v.next(1)
				if i >= c.onset {
					experiment.Value *= c.ratio
				}
				j.Observe(judge.Sample{At: minute(i), Experiment: experiment, Control: control})
				if j.Finding().LogE >= sequential.Threshold(a.Alpha) {
					alarms++
					break
				}
			}
		}
		if alarms < c.least || alarms > c.most {
			t.Errorf("φ %v, cv %v, %v times: %d alarms in %d runs, want %d to %d", c.phi, c.cv, c.ratio, alarms, some, c.least, c.most)
		}
	}
}

func TestSequential_SpeaksOfValues(t *testing.T) {
	t.Parallel()
	m := valueMetric()
	look := func(looks int, experiment float64) judge.Finding {
		j := newJudge(t, m, minuteAnalysis(m), judge.Background{Noise: []sequential.Noise{{Variance: 0.005}}})
		for i := range looks {
			j.Observe(judge.Sample{At: minute(i), Experiment: judge.Reading{Value: experiment}, Control: judge.Reading{Value: 0.4}})
		}
		return j.Finding()
	}
	for _, c := range []struct {
		looks      int
		experiment float64
		outcome    judge.Outcome
		why        string
	}{
		{30, 0.4, judge.NoWorse, "the new version's value is 0.94 to 1.07 times the live one's with 98 % confidence, after 27 min; below 1.25 is no worse"},
		{5, 0.4, judge.Undecided, "not enough data yet: the new version's value is 0.72 to 1.38 times the live one's with 98 % confidence, after 2 min"},
		{10, 0.8, judge.Undecided, "the new version's value is 1.79 to 2.2 times the live one's with 98 % confidence, after 10 min; allowed is 1.1"},
		{3, 0, judge.Undecided, "no data in 3 steps: the value of the new version is 0, and only values above 0 have a ratio"},
	} {
		if f := look(c.looks, c.experiment); f.Outcome != c.outcome || f.Why != c.why {
			t.Errorf("got %s: %s\nwant %s: %s", f.Outcome, f.Why, c.outcome, c.why)
		}
	}
}

// aStep makes up samples of any kind.
func aStep(t *rapid.T, m spec.Metric, at time.Time) judge.Sample {
	reading := func(side string) judge.Reading {
		if rapid.IntRange(0, 9).Draw(t, side+" gap") == 0 {
			return judge.Reading{Missing: "timeout"}
		}
		r := judge.Reading{Value: rapid.Float64Range(0, 10).Draw(t, side), Nodes: make(map[string]judge.Counts)}
		for i := range rapid.IntRange(0, 3).Draw(t, side+" nodes") {
			total := float64(rapid.IntRange(0, 5000).Draw(t, "total"))
			c := judge.Counts{Total: total}
			for range max(1, len(m.Edges)) {
				c.Bad = append(c.Bad, math.Floor(total*rapid.Float64Range(0, 0.3).Draw(t, "bad")))
			}
			r.Nodes[fmt.Sprint(side, i)] = c
		}
		return r
	}
	return judge.Sample{At: at, Experiment: reading("n"), Control: reading("o")}
}

func TestSequential_GoesOnFromItsState(t *testing.T) {
	t.Parallel()
	for _, m := range []spec.Metric{errorsMetric(), bucketsMetric(), valueMetric()} {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			m.Harmless = 0.01
			rapid.Check(t, func(rt *rapid.T) {
				a := minuteAnalysis(m)
				kept := newJudge(t, m, a, judge.Background{})
				restored := newJudge(t, m, a, judge.Background{})
				for i := range rapid.IntRange(1, 15).Draw(rt, "looks") {
					if rapid.IntRange(0, 5).Draw(rt, "step") == 0 {
						kept.Step()
						restored.Step()
					}
					s := aStep(rt, m, minute(i))
					kept.Observe(s)
					restored.Observe(s)
					state, err := json.Marshal(restored)
					if err != nil {
						rt.Fatal(err)
					}
					restored = newJudge(t, m, a, judge.Background{})
					if err := json.Unmarshal(state, restored); err != nil {
						rt.Fatalf("%v: %s", err, state)
					}
					want, err := json.Marshal(kept.Finding())
					if err != nil {
						rt.Fatal(err)
					}
					got, err := json.Marshal(restored.Finding())
					if err != nil {
						rt.Fatal(err)
					}
					if string(got) != string(want) {
						rt.Fatalf("got  %s\nwant %s", got, want)
					}
				}
			})
		})
	}
}

func FuzzSequential_State(f *testing.F) {
	m := bucketsMetric()
	a := minuteAnalysis(m)
	j := newJudge(f, m, a, judge.Background{})
	for i := range 3 {
		j.Observe(judge.Sample{At: minute(i), Experiment: slower("n", 1000, 300, 80, 20), Control: slower("o", 1000, 300, 80, 4)})
	}
	state, err := json.Marshal(j)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"edges":[null,null,null]}`))
	f.Add([]byte(`{"edges":[{"evidence":{"all":{"log":0,"looks":0,"stakes":[0,0,0,0,0,0,0]}}}]}`))
	f.Fuzz(func(t *testing.T, state []byte) {
		j := newJudge(t, m, a, judge.Background{})
		if json.Unmarshal(state, j) != nil {
			return
		}
		// What was taken must be of use.
		j.Observe(judge.Sample{At: minute(9), Experiment: slower("n", 1000, 300, 80, 20), Control: slower("o", 1000, 300, 80, 4)})
		if f := j.Finding(); math.IsNaN(f.LogE) || f.Why == "" {
			t.Fatalf("%s led to %+v", state, f)
		}
	})
}

func TestSequential_StateStaysSmall(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	a := minuteAnalysis(m)
	w := poolWorld{nodes: 4, requests: 1000, rate: 0.002}.run(1)
	j := newJudge(t, m, a, judge.Background{})
	size := func(from, to int) int {
		for i := from; i < to; i++ {
			j.Observe(w.sample(i))
		}
		state, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}
		return len(state)
	}
	day, week := size(0, 1440), size(1440, 7*1440)
	if week > day+200 || week > 2200 {
		t.Errorf("the state has %d bytes after a day and %d after a week", day, week)
	}
}

func BenchmarkSequential_Look(b *testing.B) {
	m := errorsMetric()
	a := minuteAnalysis(m)
	w := poolWorld{nodes: 4, requests: 1000, rate: 0.002}.run(1)
	samples := make([]judge.Sample, 1000)
	for i := range samples {
		samples[i] = w.sample(i)
	}
	j := newJudge(b, m, a, judge.Background{})
	b.Run("Observe", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			j.Observe(samples[i%len(samples)])
		}
	})
	b.Run("Finding", func(b *testing.B) {
		j := newJudge(b, m, a, judge.Background{})
		for _, s := range samples[:60] {
			j.Observe(s)
		}
		b.ReportAllocs()
		for b.Loop() {
			j.Finding()
		}
	})
}
