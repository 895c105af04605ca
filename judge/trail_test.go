package judge_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/judge"
)

func TestTrail_KeepsFirstAndLastOfAnyNumberOfLooks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 600).Draw(rt, "looks")
		every := rapid.IntRange(1, 9).Draw(rt, "a gap every")
		p := panel(t, minutely(1, most("a"), most("b"), most("c")))
		sum, gaps := 0.0, 0
		for i := range n {
			v := float64(i % 7)
			if i%every == every-1 {
				v = nan
				gaps++
			} else {
				sum += v
			}
			look(p, i, map[string]float64{"a": v})
		}
		trail := p.Trail()
		path := trail.Metrics["a"]
		if len(path) > 240 || n > 100 && len(path) < 50 || len(trail.Metrics["b"]) != 0 || len(trail.Together) != 0 {
			rt.Fatalf("%d marks of %d looks", len(path), n)
		}
		if !path[0].At.Equal(at(0)) || path[0].Looks != 1 || !path[len(path)-1].At.Equal(at(n-1)) {
			rt.Fatalf("from %s to %s", path[0].At, path[len(path)-1].At)
		}
		looks, lost, total := 0, 0, 0.0
		for i, m := range path {
			if i > 0 && !m.At.After(path[i-1].At) {
				rt.Fatal("the marks are not in the order of time")
			}
			looks += m.Looks
			lost += m.Gaps
			if math.IsNaN(m.Experiment) != (m.Gaps == m.Looks) || !math.IsNaN(m.Control) || !math.IsNaN(m.Ratio) || !math.IsNaN(m.LogE) {
				rt.Fatalf("got %+v", m)
			}
			if m.Gaps < m.Looks {
				total += m.Experiment * float64(m.Looks-m.Gaps)
			}
		}
		if looks != n || lost != gaps || math.Abs(total-sum) > 1e-6*(1+sum) {
			rt.Fatalf("%d looks, %d gaps and a sum of %v; want %d, %d and %v", looks, lost, total, n, gaps, sum)
		}
	})
}

func TestTrail_ShowsTheEvidence(t *testing.T) {
	t.Parallel()
	p := panel(t, minutely(3, errorCounts("errors"), kayenta("latency")))
	for i := range 20 {
		p.Observe(map[string]judge.Sample{
			"errors":  {At: at(i), Experiment: onNodes(60, 6000), Control: onNodes(12, 6000)},
			"latency": {At: at(i), Experiment: reading(2), Control: reading(1)},
		})
	}
	trail, v := p.Trail(), p.Verdict()
	newest := trail.Metrics["errors"][19]
	if math.Abs(newest.Experiment-0.01) > 1e-9 || math.Abs(newest.Control-0.002) > 1e-9 || newest.LogE <= 0 || newest.Lower > newest.Ratio || newest.Ratio > newest.Upper {
		t.Errorf("got %+v", newest)
	}
	if together := trail.Together[19]; trail.Limit != v.Limit || together.LogE != v.LogE || v.LogE <= 0 {
		t.Errorf("got %+v, limit %v; want %v of %v", together, trail.Limit, v.LogE, v.Limit)
	}
	if latency := trail.Metrics["latency"][0]; latency.Experiment != 2 || latency.Control != 1 || !math.IsNaN(latency.LogE) {
		t.Errorf("got %+v", latency)
	}
}

func TestMark_IsRestored(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{nan, math.Inf(1), 0}))
		m := judge.Mark{
			At:    time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "at")).UTC(),
			Looks: rapid.IntRange(1, 100).Draw(t, "looks"), Experiment: v.Draw(t, "experiment"), Control: v.Draw(t, "control"),
			Ratio: v.Draw(t, "ratio"), Lower: v.Draw(t, "lower"), Upper: v.Draw(t, "upper"), LogE: v.Draw(t, "log e"),
		}
		m.Gaps = rapid.IntRange(0, m.Looks).Draw(t, "gaps")
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var got judge.Mark
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := json.Marshal(got)
		if err != nil || string(again) != string(text) {
			t.Fatalf("%s became %s, %v", text, again, err)
		}
		if !got.At.Equal(m.At) || got.Looks != m.Looks || math.Abs(m.LogE) < 1e300 && math.Abs(got.LogE-m.LogE) > 1e-4*math.Abs(m.LogE) {
			t.Fatalf("got %+v, want %+v", got, m)
		}
	})
	for _, text := range []string{`{}`, `[]`, `[1,2]`, `[1,0,0,1,1,1,1,1,1]`, `[1,1,2,1,1,1,1,1,1]`, `[1e300,1,0,1,1,1,1,1,1]`, `[null,1,0,1,1,1,1,1,1]`, `[1,1.5,0,1,1,1,1,1,1]`} {
		if err := json.Unmarshal([]byte(text), new(judge.Mark)); err == nil {
			t.Errorf("%s was read", text)
		}
	}
}
