package analysis_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/spec"
)

// run watches in made-up time, from the time that the task names, until it is
// decided or the time is over. It returns what was reported as well.
func run(t *testing.T, lasts time.Duration, task analysis.Task, db *tsdb) (v gate.Verdict, reports []gate.Verdict) {
	t.Helper()
	v = within(t, lasts, func(ctx context.Context) gate.Verdict {
		time.Sleep(time.Until(task.Since))
		return analysis.Watch(ctx, task, db, func(r gate.Verdict) { reports = append(reports, r) })
	})
	return v, reports
}

// traffic fills a database with two pools of three nodes, scraped each 15 seconds
// from two hours before midnight until two hours after it: so many requests a
// second each, and a share of bad ones on green from a moment on. skip tells
// scrapes that didn't happen.
func traffic(db *tsdb, rate, blue, green float64, from time.Time, skip func(at time.Time) bool) {
	trafficAt(db, midnight, 2*time.Hour, 2*time.Hour, rate, blue, green, from, skip)
}

func trafficAt(db *tsdb, middle time.Time, before, after time.Duration, rate, blue, green float64, from time.Time, skip func(at time.Time) bool) {
	const every = 15 * time.Second
	rng := rand.New(rand.NewPCG(1, 2))
	for _, pool := range []string{"green", "blue"} {
		for i, node := range []string{"a", "b", "c"} {
			bads := make(map[time.Time]float64)
			total, bad := 0.0, 0.0
			begin := middle.Add(time.Duration(i)*4*time.Second - before)
			db.scrape(`total{pool="`+pool+`"}`, on(pool+node), begin, middle.Add(after), every, func(at time.Time) float64 {
				share := blue
				if pool == "green" && at.After(from) {
					share = green
				}
				total += math.Round(rate * every.Seconds() * (0.9 + 0.2*rng.Float64()))
				bad += poisson(rng, share*rate*every.Seconds())
				bads[at] = bad
				if skip != nil && skip(at) {
					return math.NaN()
				}
				return total
			})
			db.scrape(`bad{pool="`+pool+`"}`, on(pool+node), begin, middle.Add(after), every, func(at time.Time) float64 {
				if skip != nil && skip(at) {
					return math.NaN()
				}
				return bads[at]
			})
		}
	}
}

func poisson(rng *rand.Rand, mean float64) (n float64) {
	for p := rng.Float64(); p > math.Exp(-mean); n++ {
		p *= rng.Float64()
	}
	return n
}

var never = midnight.Add(24 * time.Hour)

func errorsTask() analysis.Task {
	t := task(15*time.Second, errorsMetric())
	t.Config.History = spec.Duration(time.Hour)
	t.Since, t.Began = midnight, midnight
	return t
}

func TestWatch_PassesWhatIsNoWorse(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	traffic(db, 50, 0.01, 0.01, never, nil)
	v, reports := run(t, time.Hour, errorsTask(), db)
	// Five looks, and half an interval for the last scrape to come in.
	if v.Outcome != gate.Pass || v.Took != 5*15*time.Second+7500*time.Millisecond || len(reports) != 4 {
		t.Errorf("%s after %s and %d reports: %s", v.Outcome, v.Took, len(reports), v.Why)
	}
	for i, want := range []string{
		"compared with blue at the same time, with 10 % of the traffic on green",
		"errors: green's share of bad requests is ",
		"errors: self-test on ",
		`errors: bad bad{pool="green"}`,
		`errors: total total{pool="green"}`,
	} {
		if i >= len(v.Evidence) || !strings.HasPrefix(v.Evidence[i], want) {
			t.Errorf("evidence %d is not %s…: %q", i, want, v.Evidence)
		}
	}
}

func TestWatch_FailsWhatRegressed(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	traffic(db, 50, 0.01, 0.03, midnight.Add(5*time.Minute), nil)
	task := errorsTask()
	task.Config.Looks = 1000 // no pass before
	v, _ := run(t, time.Hour, task, db)
	if v.Outcome != gate.Fail || v.Took < 5*time.Minute || v.Took > 8*time.Minute || !strings.HasPrefix(v.Why, "errors: green's share of bad requests is ") {
		t.Errorf("%s after %s: %s", v.Outcome, v.Took, v.Why)
	}
}

// outcome is what must be the same however an analysis was interrupted: all but
// the time it took, and when it looked.
func outcome(t *testing.T, v gate.Verdict) (gate.Outcome, string, string) {
	t.Helper()
	var s struct{ Panel json.RawMessage }
	if err := json.Unmarshal(v.State, &s); err != nil {
		t.Fatal(err)
	}
	return v.Outcome, v.Why, string(s.Panel)
}

func wantSame(t *testing.T, got, want gate.Verdict) {
	t.Helper()
	o, why, panel := outcome(t, got)
	if wantO, wantWhy, wantPanel := outcome(t, want); o != wantO || why != wantWhy || panel != wantPanel {
		t.Errorf("got  %s: %s\n%s\nwant %s: %s\n%s", o, why, panel, wantO, wantWhy, wantPanel)
	}
}

func TestWatch_GoesOnWithTheSameEvidenceAfterARestart(t *testing.T) {
	t.Parallel()
	for name, share := range map[string]float64{"no worse": 0.01, "regressed": 0.02} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newTSDB()
			traffic(db, 50, 0.01, share, midnight.Add(3*time.Minute), nil)
			task := errorsTask()
			task.Config.Looks = 40
			whole, reports := run(t, time.Hour, task, db)
			if whole.Outcome == gate.Unknown || len(reports) < 10 {
				t.Fatalf("%s after %d reports: %s", whole.Outcome, len(reports), whole.Why)
			}
			for _, kept := range []int{0, 1, len(reports) / 2, len(reports) - 1} {
				for _, absent := range []time.Duration{0, 40 * time.Second, 10 * time.Minute} {
					again := task
					again.State = reports[kept].State
					v := within(t, time.Hour, func(ctx context.Context) gate.Verdict {
						time.Sleep(time.Duration(kept+1)*15*time.Second + absent)
						return analysis.Watch(ctx, again, db, nil)
					})
					wantSame(t, v, whole)
				}
			}
		})
	}
}

func TestWatch_MakesUpForTheTimeInWhichPrometheusCouldNotBeAsked(t *testing.T) {
	t.Parallel()
	for _, away := range []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute} {
		for name, share := range map[string]float64{"no worse": 0.01, "regressed": 0.02} {
			t.Run(name+" "+away.String(), func(t *testing.T) {
				t.Parallel()
				db := newTSDB()
				traffic(db, 50, 0.01, share, midnight.Add(3*time.Minute), nil)
				task := errorsTask()
				task.Config.Looks = 40
				want, _ := run(t, time.Hour, task, db)
				db.away = window{midnight.Add(2 * time.Minute), midnight.Add(2*time.Minute + away)}
				got, reports := run(t, time.Hour, task, db)
				wantSame(t, got, want)
				said := false
				for _, r := range reports {
					said = said || strings.HasPrefix(r.Why, "unknown since the look at 00:02:00Z, as Prometheus can't be asked: the server is gone; until then: ")
				}
				if !said {
					t.Errorf("nobody says that it is away: %q", reports[len(reports)/2].Why)
				}
			})
		}
	}
}

func TestWatch_NoFalseVerdictWhenPrometheusWasDead(t *testing.T) {
	t.Parallel()
	for _, dead := range []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute} {
		t.Run(dead.String(), func(t *testing.T) {
			t.Parallel()
			outage := window{midnight.Add(5 * time.Minute), midnight.Add(5*time.Minute + dead)}
			task := errorsTask()
			task.Config.Looks = 100

			db := newTSDB()
			traffic(db, 50, 0.01, 0.01, never, outage.holds)
			db.away = outage
			v, _ := run(t, 2*time.Hour, task, db)
			if v.Outcome != gate.Pass || v.Took < 100*15*time.Second {
				t.Errorf("%s after %s: %s", v.Outcome, v.Took, v.Why)
			}
			evidence, err := analysis.ReadEvidence(analysis.Task{Config: task.Config, Vars: task.Vars, State: v.State})
			if err != nil {
				t.Fatal(err)
			}
			// Up to a minute and a half, the counters tell what happened meanwhile.
			gaps := evidence.Verdict.Findings[0].Gaps
			if long := dead > 2*time.Minute; (gaps > 20) != long {
				t.Errorf("%d gaps", gaps)
			}

			db = newTSDB()
			traffic(db, 50, 0.01, 0.03, outage.from, outage.holds)
			db.away = outage
			if v, _ = run(t, 2*time.Hour, task, db); v.Outcome != gate.Fail || v.Took > 8*time.Minute+dead {
				t.Errorf("%s after %s: %s", v.Outcome, v.Took, v.Why)
			}
		})
	}
}

func TestWatch_IsUnknownAsLongAsNothingIsScraped(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	traffic(db, 50, 0.01, 0.01, never, func(at time.Time) bool { return at.After(midnight.Add(30 * time.Second)) })
	v, _ := run(t, 15*time.Minute, errorsTask(), db)
	if v.Outcome != gate.Unknown || !strings.HasPrefix(v.Why, "the analysis was ended (context deadline exceeded) after 15m: ") {
		t.Errorf("%s: %s", v.Outcome, v.Why)
	}
}

// bounded is a metric of the judge threshold.
func bounded(name, query string) spec.Metric {
	return spec.Metric{Name: name, Judge: spec.JudgeThreshold, Query: query, Max: new(2.0)}
}

func always(values ...float64) func(time.Time) []float64 {
	return func(time.Time) []float64 { return values }
}

// once gives other values in one minute.
func once(from time.Duration, then []float64, otherwise ...float64) func(time.Time) []float64 {
	return func(at time.Time) []float64 {
		if (window{midnight.Add(from), midnight.Add(from + time.Minute)}).holds(at) {
			return then
		}
		return otherwise
	}
}

func thresholdTask(metrics ...spec.Metric) analysis.Task {
	t := task(15*time.Second, metrics...)
	t.Since = midnight
	return t
}

func TestWatch_LooksAtValuesAtMultiplesOfTheInterval(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	var at []time.Time
	db.values[`load{pool="green",over="15s",rate="1m"}`] = func(now time.Time) []float64 {
		at = append(at, now)
		return []float64{1}
	}
	task := thresholdTask(bounded("load", `load{pool="{{pool}}",over="{{window}}",rate="{{rate_interval}}"}`))
	task.Since = midnight.Add(20 * time.Second)
	v, _ := run(t, time.Hour, task, db)
	if v.Outcome != gate.Pass {
		t.Errorf("%s: %s", v.Outcome, v.Why)
	}
	for i, now := range at {
		if want := midnight.Add(time.Duration(i+3) * 15 * time.Second); !now.Equal(want) {
			t.Errorf("look %d is at %s, want %s", i, now, want)
		}
	}
	if len(at) != 5 {
		t.Errorf("%d looks", len(at))
	}
}

func TestWatch_FailsAtOnceForAMistake(t *testing.T) {
	t.Parallel()
	wrong := &analysis.SpecError{Query: "load", Reason: "parse error"}
	odd := &analysis.SpecError{Query: "load", Reason: "many-to-many", Fleeting: true}
	tests := map[string]struct {
		metric spec.Metric
		db     func(*tsdb)
		why    string
	}{
		"text":           {bounded("load", "load"), func(db *tsdb) { db.fails["load"] = wrong }, `query of metric "load" is wrong: parse error, in "load"`},
		"data":           {bounded("load", "load"), func(db *tsdb) { db.fails["load"] = odd }, `query of metric "load" is wrong: many-to-many, in "load"`},
		"several series": {bounded("load", "load"), func(db *tsdb) { db.values["load"] = always(1, 1) }, `query of metric "load" is wrong: 2 series where one is expected, such as {series="0"} and {series="1"}: aggregate them, with sum() for example, in "load"`},
		"traffic": {
			spec.Metric{Name: "load", Judge: spec.JudgeThreshold, Query: "load", Traffic: "rate", MinTraffic: 1, Max: new(2.0)},
			func(db *tsdb) { db.fails["rate"] = wrong }, `query of metric "load" is wrong: traffic: parse error, in "load"`,
		},
		"counter": {errorsMetric(), func(db *tsdb) { db.fails[greenBad] = wrong }, `query of metric "errors" is wrong: parse error, in "load"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newTSDB()
			tt.db(db)
			v, reports := run(t, time.Hour, thresholdTask(tt.metric), db)
			wantVerdict(t, v, gate.Fail, tt.why)
			if len(reports) != 0 {
				t.Errorf("only after %d looks", len(reports))
			}
		})
	}
	for why, cfg := range map[string]spec.Analysis{
		"analysis: interval must be at least 1ms, got 0s": {Looks: 1, Metrics: []spec.Metric{bounded("load", "load")}},
		"analysis: there is no metric to look at":         {Looks: 1, Interval: spec.Duration(time.Second)},
	} {
		wantVerdict(t, analysis.Watch(t.Context(), analysis.Task{Config: cfg}, newTSDB(), nil), gate.Fail, why)
	}
}

func TestWatch_WhatShowsOnlyInTheDataMayPass(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	db.values["load"] = once(time.Minute, []float64{1, 9}, 1)
	task := thresholdTask(bounded("load", "load"))
	task.Config.Looks = 10
	v, reports := run(t, time.Hour, task, db)
	if v.Outcome != gate.Pass || len(reports) != 13 {
		t.Errorf("%s after %d looks: %s", v.Outcome, len(reports), v.Why)
	}
	if why := reports[4].Why; !strings.Contains(why, "2 series where one is expected") {
		t.Error(why)
	}
}

func TestWatch_WhatIsNoNumberIsUnknown(t *testing.T) {
	t.Parallel()
	for why, values := range map[string][]float64{
		"the value is NaN, as 0/0 is without traffic":            {math.NaN()},
		"the value is infinite (+Inf), as a division by zero is": {math.Inf(1)},
		"no data":                          nil,
		"too little traffic: 3, needed 20": {1},
		"traffic unknown: the value is NaN, as 0/0 is without traffic": {1},
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			db := newTSDB()
			db.values["load"], db.values["traffic"] = always(values...), always(50)
			switch {
			case strings.HasPrefix(why, "too little"):
				db.values["traffic"] = always(3)
			case strings.HasPrefix(why, "traffic"):
				db.values["traffic"] = always(math.NaN())
			}
			m := bounded("load", "load")
			m.Traffic, m.MinTraffic = "traffic", 20
			v, _ := run(t, time.Minute, thresholdTask(m), db)
			if v.Outcome != gate.Unknown || !strings.Contains(v.Why, why) {
				t.Errorf("%s: %s", v.Outcome, v.Why)
			}
		})
	}
}

func TestWatch_CountsAnOutageOnlyWhereTheSpecSaysSo(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		metric  func(*spec.Metric)
		outcome gate.Outcome
	}{
		"unknown":       {func(*spec.Metric) {}, gate.Pass},
		"missing fails": {func(m *spec.Metric) { m.MissingFails = true }, gate.Fail},
		"error limit":   {func(m *spec.Metric) { m.ErrorLimit = new(3) }, gate.Fail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newTSDB()
			db.values["load"] = always(1)
			db.away = window{midnight.Add(50 * time.Second), midnight.Add(2 * time.Minute)}
			m := bounded("load", "load")
			tt.metric(&m)
			if v, _ := run(t, time.Hour, thresholdTask(m), db); v.Outcome != tt.outcome {
				t.Errorf("%s: %s", v.Outcome, v.Why)
			}
		})
	}
}

func TestWatch_ShowsAPassAnewAtEachShare(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	traffic(db, 50, 0.01, 0.01, never, nil)
	first, _ := run(t, time.Hour, errorsTask(), db)
	if first.Outcome != gate.Pass {
		t.Fatal(first.Why)
	}
	next := errorsTask()
	next.Step, next.Share, next.State = 1, 50, first.State
	next.Since = midnight.Add(10 * time.Minute)
	second, reports := run(t, time.Hour, next, db)
	if second.Outcome != gate.Pass || len(reports) != 4 {
		t.Errorf("%s after %d looks: %s", second.Outcome, len(reports), second.Why)
	}
	evidence, err := analysis.ReadEvidence(analysis.Task{Config: next.Config, Vars: next.Vars, State: second.State})
	if err != nil || evidence.Verdict.Findings[0].Samples != 10 {
		t.Errorf("%+v: %v", evidence.Verdict.Findings, err)
	}
}

func TestWatch_SaysWhatItComparedWith(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		share             int
		compare, fallback string
		says              string
		regressed         bool
	}{
		"live":     {10, spec.CompareLive, spec.CompareFormer, "compared with blue at the same time, with 10 % of the traffic on green", true},
		"fallback": {0, spec.CompareLive, spec.CompareFormer, "compared with the service at the same time (UTC) of the last 2 days, with allowed and margin 2 times as wide", false},
		"former":   {10, spec.CompareFormer, "", "compared with the service at the same time (UTC) of the last 2 days, with allowed and margin 2 times as wide", false},
		"warmup":   {0, spec.CompareWarmup, "", "compared with blue at the same time, while green is under the warm-up's load", true},
		"nothing":  {0, spec.CompareLive, "", "compared with blue at the same time; green has no share of the traffic, and the analysis has no fallback", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newTSDB()
			traffic(db, 50, 0.01, 0.017, midnight.Add(-time.Minute), nil)
			for _, selector := range []string{greenTotal, greenBad} { // green was live then
				for _, s := range db.series[selector] {
					former := analysis.Series{Labels: s.Labels}
					for d := 2; d > 0; d-- {
						for _, p := range db.series[strings.Replace(selector, "green", "blue", 1)][0].Points {
							p.At = p.At.Add(-time.Duration(d) * 24 * time.Hour)
							former.Points = append(former.Points, p)
						}
					}
					db.series[selector] = append(db.series[selector], former)
				}
			}
			task := errorsTask()
			task.Share, task.Config.Compare, task.Config.Fallback = tt.share, tt.compare, tt.fallback
			task.Config.Looks = 60
			v, _ := run(t, 20*time.Minute, task, db)
			if len(v.Evidence) == 0 || v.Evidence[0] != tt.says {
				t.Errorf("evidence %q, want %s", v.Evidence, tt.says)
			}
			if (v.Outcome == gate.Fail) != tt.regressed {
				t.Errorf("%s: %s", v.Outcome, v.Why)
			}
		})
	}
}

func TestWatch_GoesOnWithoutAHistory(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	traffic(db, 50, 0.01, 0.01, never, nil)
	db.fails["sum by (instance) (total{pool=\"blue\"}\n)"] = errors.New("the store is gone")
	v, reports := run(t, time.Hour, errorsTask(), db)
	if v.Outcome != gate.Pass {
		t.Errorf("%s after %d looks: %s", v.Outcome, len(reports), v.Why)
	}
	if note := "the history could not be read at 3 looks, so that the noise is what is usual: read the history: the store is gone"; len(v.Evidence) < 2 || v.Evidence[1] != note {
		t.Errorf("evidence %q", v.Evidence)
	}
	if !strings.HasPrefix(reports[1].Why, "unknown since the look at 00:00:15Z, as Prometheus can't be asked: read the history: the store is gone") {
		t.Error(reports[1].Why)
	}
}

func TestWatch_BeginsAnewWithAStateThatNobodyWrote(t *testing.T) {
	t.Parallel()
	for _, state := range []string{"{", `{"panel": {"v": 99}}`, `[]`, `{"metrics": {"errors": {"seen": "never"}}}`} {
		db := newTSDB()
		traffic(db, 50, 0.01, 0.01, never, nil)
		task := errorsTask()
		task.State = json.RawMessage(state)
		v, _ := run(t, time.Hour, task, db)
		if v.Outcome != gate.Pass || len(v.Evidence) < 2 || !strings.HasPrefix(v.Evidence[1], "the evidence so far can't be read, so that it begins anew: ") {
			t.Errorf("%s: %s, %s: %q", state, v.Outcome, v.Why, v.Evidence)
		}
		if _, err := analysis.ReadEvidence(task); err == nil {
			t.Errorf("read %s", state)
		}
	}
}

func TestWatch_ChoosesTheEdgesOfAHistogram(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]time.Time{"known": midnight.Add(-2 * time.Hour), "later": midnight.Add(2 * time.Minute)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newTSDB()
			for _, pool := range []string{"blue", "green"} {
				for le, share := range map[string]float64{"0.1": 0.9, "0.5": 0.99, "2": 0.999, "+Inf": 1} {
					rng := rand.New(rand.NewPCG(3, 4))
					n := 0.0
					db.scrape(`took_bucket{pool="`+pool+`"}`, on(pool, "le", le), from, midnight.Add(2*time.Hour), 15*time.Second, func(time.Time) float64 {
						n += math.Round(1000 * share * (0.9 + 0.2*rng.Float64()))
						return n
					})
				}
			}
			m := spec.Metric{
				Name: "latency", Judge: spec.JudgeSequential, Buckets: `took_bucket{pool="{{pool}}"}`, Node: "instance",
				Allowed: 1.1, Margin: 0.5, Require: spec.RequireNoWorse, Weight: 1,
			}
			task := task(15*time.Second, m)
			task.Since, task.Config.History = midnight, spec.Duration(time.Hour)
			v, _ := run(t, 10*time.Minute, task, db)
			if v.Outcome == gate.Fail {
				t.Errorf("%s: %s", v.Outcome, v.Why)
			}
			task.State = v.State
			evidence, err := analysis.ReadEvidence(task)
			if err != nil {
				t.Fatal(err)
			}
			if edges := evidence.Config.Metrics[0].Edges; len(edges) != 3 || edges[0] != 0.1 || edges[2] != 2 {
				t.Errorf("edges %v", edges)
			}
			if f := evidence.Verdict.Findings[0]; f.Samples < 5 {
				t.Errorf("%d samples: %s", f.Samples, f.Why)
			}
		})
	}
}
