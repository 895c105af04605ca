package analysis_test

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/judge"
	"switchd/spec"
)

// daily gives a value by the number of days before noon.
func daily(values ...float64) func(time.Time) []float64 {
	return func(at time.Time) []float64 {
		if v := values[int(noon.Sub(at)/(24*time.Hour))]; v >= 0 || math.IsNaN(v) {
			return []float64{v}
		}
		return nil // none
	}
}

func TestSampler_ComparesWithThePoolThatWasLiveOnFormerDays(t *testing.T) {
	t.Parallel()
	m := spec.Metric{Name: "load", Judge: spec.JudgeSequential, Query: `load{pool="{{pool}}"}`}
	busy := m
	busy.Traffic = `rate{pool="{{pool}}"}`
	tests := map[string]struct {
		metric      spec.Metric
		green, blue []float64 // now, a day ago, two days ago; below 0: none
		rates       [2][]float64
		want        judge.Reading
	}{
		"the only one":         {m, []float64{9, -1, 4}, []float64{7, 2, -1}, [2][]float64{}, judge.Reading{Value: 3}},
		"nobody knows which":   {m, []float64{9, 1, 4}, []float64{7, 2, 8}, [2][]float64{}, judge.Reading{Missing: "both pools answered for former days, and nothing tells which one was live: give the metric a traffic query"}},
		"one of the days":      {m, []float64{9, 1, 4}, []float64{7, 2, -1}, [2][]float64{}, judge.Reading{Value: 4}},
		"the one with traffic": {busy, []float64{9, 1, 4}, []float64{7, 2, 8}, [2][]float64{{5, 0, 50}, {5, 30, 0}}, judge.Reading{Value: 3, Named: map[string]float64{"traffic": 40}}},
		"no day":               {m, []float64{9, -1, -1}, []float64{7, -1, -1}, [2][]float64{}, judge.Reading{Missing: "no data"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newTSDB()
			for i, pool := range []string{"green", "blue"} {
				db.values[fmt.Sprintf("load{pool=%q}", pool)] = daily([][]float64{tt.green, tt.blue}[i]...)
				if tt.rates[i] != nil {
					db.values[fmt.Sprintf("rate{pool=%q}", pool)] = daily(tt.rates[i]...)
				}
			}
			former := task(time.Minute, tt.metric)
			former.Config.Compare = spec.CompareFormer
			samples, _, err := analysis.NewSampler(former, db).Samples(t.Context(), tt.metric, noon.Add(-time.Minute), noon)
			if err != nil || len(samples) != 1 {
				t.Fatalf("%d samples: %v", len(samples), err)
			}
			if got := samples[0]; got.Experiment.Value != 9 || !reflect.DeepEqual(got.Control, tt.want) {
				t.Errorf("got %+v, want control %+v", got, tt.want)
			}
		})
	}
}

func TestSampler_DoesWithoutAFormerDayThatHadOtherBuckets(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	const green, blue = `took_bucket{pool="green"}`, `took_bucket{pool="blue"}`
	for d, edge := range []string{"0.5", "0.3", "0.5"} {
		for i, le := range []string{edge, "+Inf"} {
			ago := -time.Duration(d) * 24 * 60 * 60
			s := series(on("a", "le", le), [2]float64{float64(ago) - 70, 10}, [2]float64{float64(ago) - 10, float64(20 + 30*i)})
			db.series[blue] = append(db.series[blue], s)
			if d == 0 {
				db.series[green] = append(db.series[green], s)
			}
		}
	}
	m := spec.Metric{Name: "latency", Judge: spec.JudgeSequential, Buckets: `took_bucket{pool="{{pool}}"}`, Node: "instance", Edges: []float64{0.5}}
	former := task(time.Minute, m)
	former.Config.Compare = spec.CompareFormer
	samples, _, err := analysis.NewSampler(former, db).Samples(t.Context(), m, noon.Add(-time.Minute), noon)
	if err != nil || len(samples) != 1 || !reflect.DeepEqual(samples[0].Control, counted("a", 40, 30)) {
		t.Errorf("%+v: %v", samples, err)
	}
}

func TestSampler_LeavesOutAScrapeThatLacksABucket(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	db.series[`took_bucket{pool="green"}`] = []analysis.Series{
		series(on("a", "le", "0.5"), [2]float64{-70, 10}, [2]float64{-10, 25}),
		series(on("a", "le", "+Inf"), [2]float64{-70, 10}, [2]float64{-40, 30}, [2]float64{-10, 50}),
	}
	m := spec.Metric{Name: "latency", Judge: spec.JudgeThreshold, Buckets: `took_bucket{pool="{{pool}}"}`, Node: "instance", Edges: []float64{0.5}}
	samples, _, err := analysis.NewSampler(task(time.Minute, m), db).Samples(t.Context(), m, noon.Add(-time.Minute), noon)
	if err != nil || len(samples) != 1 || !reflect.DeepEqual(samples[0].Experiment, counted("a", 40, 25)) {
		t.Errorf("%+v: %v", samples, err)
	}
	m.Edges = nil
	if _, _, err := analysis.NewSampler(task(time.Minute, m), db).Samples(t.Context(), m, noon.Add(-time.Minute), noon); err == nil {
		t.Error("counted above no edge")
	}
}

func TestSampler_AsksOnceForFormerDaysOfAQueryWithoutAPool(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	db.values["load"] = daily(9, 2, 4)
	m := spec.Metric{Name: "load", Judge: spec.JudgeSequential, Query: "load"}
	former := task(time.Minute, m)
	former.Config.Compare = spec.CompareFormer
	samples, _, err := analysis.NewSampler(former, db).Samples(t.Context(), m, noon.Add(-time.Minute), noon)
	if err != nil || samples[0].Control.Value != 3 || db.asked["load"] != 3 {
		t.Errorf("%+v after %d queries: %v", samples, db.asked["load"], err)
	}
}

func TestSampler_LeavesNaNToTheStrategyOfMannWhitney(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	db.values[`load{pool="green"}`], db.values[`load{pool="blue"}`] = always(math.NaN()), always(math.Inf(-1))
	m := spec.Metric{Name: "load", Judge: spec.JudgeMannWhitney, Query: `load{pool="{{pool}}"}`}
	samples, _, err := analysis.NewSampler(task(time.Minute, m), db).Samples(t.Context(), m, noon.Add(-time.Minute), noon)
	if err != nil || samples[0].Experiment.Missing != "" || !math.IsNaN(samples[0].Experiment.Value) {
		t.Errorf("%+v: %v", samples, err)
	}
	if got := samples[0].Control.Missing; got != "the value is infinite (-Inf), as a division by zero is" {
		t.Error(got)
	}
}

func TestSampler_NamesThePartsOfAnExpression(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	db.values[`a{pool="green"}`], db.values[`a{pool="blue"}`], db.values["b"] = always(1), always(2), always(3)
	m := spec.Metric{Name: "mix", Judge: spec.JudgeExpr, Expr: "a < live.a", Queries: map[string]string{"a": `a{pool="{{pool}}"}`, "b": "b"}}
	read := func() judge.Sample {
		samples, _, err := analysis.NewSampler(task(time.Minute, m), db).Samples(t.Context(), m, noon.Add(-time.Minute), noon)
		if err != nil {
			t.Fatal(err)
		}
		return samples[0]
	}
	want := judge.Sample{At: noon, Experiment: judge.Reading{Named: map[string]float64{"a": 1, "b": 3}}, Control: judge.Reading{Named: map[string]float64{"a": 2, "b": 3}}}
	if got := read(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	db.values["b"] = always()
	if got := read().Experiment; got.Missing != "b: no data" || got.Named != nil {
		t.Errorf("got %+v", got)
	}
}

func TestSampler_HistoryIsThatOfTheLivePool(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute-5) * time.Minute) }
	show := func(selector, node string, values ...float64) {
		s := analysis.Series{Labels: on(node)}
		for i, v := range values {
			if !math.IsNaN(v) {
				s.Points = append(s.Points, analysis.Point{At: at(i), Value: v})
			}
		}
		db.series[selector] = append(db.series[selector], s)
	}
	show(blueTotal, "a", 100, 200, 300, 50, 150, 250)
	show(blueTotal, "b", none, none, 100, 200, 300, 400)
	show(blueBad, "a", none, none, 2, 2, 4, 4)
	m := errorsMetric()
	history, err := analysis.NewSampler(task(time.Minute, m), db).History(t.Context(), m, noon.Add(20*time.Second), 5*time.Minute+20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range history {
		got = append(got, text(s.Experiment))
	}
	want := []string{"a: 100/0", "a: 100/2", "b: 100/0", "a: 100/2 b: 100/0", "a: 100/0 b: 100/0"} // a was restarted in the third
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	db.values[`load{pool="blue"}`] = always(3)
	load := spec.Metric{Name: "load", Judge: spec.JudgeSequential, Query: `load{pool="{{pool}}"}`}
	history, err = analysis.NewSampler(task(time.Second, load), db).History(t.Context(), load, noon, 7*24*time.Hour)
	if err != nil || len(history) != 1440 || !history[1439].At.Equal(noon) || history[0].Experiment.Value != 3 || db.asked[`load{pool="blue"}`] != 4 {
		t.Errorf("%d samples of %d queries: %v", len(history), db.asked[`load{pool="blue"}`], err)
	}
}

func TestWatch_BoundsItsEvidence(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	var metrics []spec.Metric
	for i := range 300 {
		name := fmt.Sprintf("load%03d", i)
		metrics = append(metrics, bounded(name, name+strings.Repeat(" + 1", 500)))
		db.values[metrics[i].Query] = always(1)
	}
	v, _ := run(t, time.Hour, thresholdTask(metrics...), db)
	if v.Outcome != gate.Pass || len(v.Evidence) != 201 || v.Evidence[200] != "and 401 lines more" {
		t.Errorf("%s with %d lines: %s", v.Outcome, len(v.Evidence), v.Why)
	}
	for _, line := range v.Evidence {
		if len(line) > 500 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

func TestWatch_GivesUpWhatIsTooLongAgo(t *testing.T) {
	t.Parallel()
	db := newTSDB()
	db.values["load"] = always(1)
	asked := thresholdTask(bounded("load", "load"))
	asked.Config.Looks = 10000
	asked.Since = midnight.Add(-24 * time.Hour)
	_, reports := run(t, time.Minute, asked, db)
	evidence, err := analysis.ReadEvidence(analysis.Task{Config: asked.Config, Vars: asked.Vars, State: reports[0].State})
	if err != nil {
		t.Fatal(err)
	}
	if f := evidence.Verdict.Findings[0]; f.Samples != 720 || f.Gaps != 1 {
		t.Errorf("%d samples, %d gaps", f.Samples, f.Gaps)
	}
}
