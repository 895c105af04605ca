package analysis_test

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/analysis"
	"switchd/judge"
	"switchd/spec"
)

// the epoch of tests without a clock.
var noon = time.Date(2020, 5, 5, 12, 0, 0, 0, time.UTC)

// errorsMetric counts 5xx by node.
func errorsMetric() spec.Metric {
	return spec.Metric{
		Name: "errors", Judge: spec.JudgeSequential, Bad: `bad{pool="{{pool}}"}`, Total: `total{pool="{{pool}}"}`, Node: "instance",
		Allowed: 1.1, Margin: 0.5, Require: spec.RequireNoWorse, Weight: 1,
	}
}

const (
	greenTotal = `total{pool="green"}`
	greenBad   = `bad{pool="green"}`
	blueTotal  = `total{pool="blue"}`
	blueBad    = `bad{pool="blue"}`
)

func task(interval time.Duration, metrics ...spec.Metric) analysis.Task {
	return analysis.Task{
		Config: spec.Analysis{
			Noise:    0.3,
			Interval: spec.Duration(interval), Looks: 5, Alpha: 0.02, Compare: spec.CompareLive, Days: 2, Wider: 2,
			Score: spec.Score{Pass: 95, Marginal: 75}, Metrics: metrics,
		},
		Vars: spec.Vars{Service: "web", Pool: "green", Other: "blue", Version: "2"}, LiveVersion: "1", Share: 10,
	}
}

// alone has a metric without a control, so that what one side counted is seen.
func alone() spec.Metric {
	m := errorsMetric()
	m.Judge = spec.JudgeThreshold
	return m
}

// at builds a series from points "seconds after noon: value".
func series(labels map[string]string, points ...[2]float64) analysis.Series {
	s := analysis.Series{Labels: labels}
	for _, p := range points {
		s.Points = append(s.Points, analysis.Point{At: noon.Add(time.Duration(p[0] * float64(time.Second))), Value: p[1]})
	}
	return s
}

func on(node string, more ...string) map[string]string {
	labels := map[string]string{"instance": node}
	for i := 0; i+1 < len(more); i += 2 {
		labels[more[i]] = more[i+1]
	}
	return labels
}

func TestSampler_CountsWhatHappened(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		total, bad []analysis.Series
		want       judge.Reading // of the step from 12:01 until 12:02
	}{
		"plain": {
			total: []analysis.Series{series(on("a"), [2]float64{50, 100}, [2]float64{110, 160})},
			bad:   []analysis.Series{series(on("a"), [2]float64{50, 7}, [2]float64{110, 9})},
			want:  counted("a", 60, 2),
		},
		"the first bad one": {
			total: []analysis.Series{series(on("a"), [2]float64{50, 100}, [2]float64{110, 160})},
			bad:   []analysis.Series{series(on("a"), [2]float64{110, 3})},
			want:  counted("a", 60, 3),
		},
		"no bad one ever": {
			total: []analysis.Series{series(on("a"), [2]float64{50, 100}, [2]float64{110, 160})},
			want:  counted("a", 60, 0),
		},
		"a reset": {
			total: []analysis.Series{series(on("a"), [2]float64{50, 100}, [2]float64{80, 130}, [2]float64{110, 20})},
			bad:   []analysis.Series{series(on("a"), [2]float64{50, 7}, [2]float64{80, 9}, [2]float64{110, 1})},
			want:  counted("a", 50, 3),
		},
		"a new node begins with nothing": {
			total: []analysis.Series{series(on("a"), [2]float64{50, 100}, [2]float64{110, 160}), series(on("b"), [2]float64{80, 5000}, [2]float64{110, 5060})},
			bad:   []analysis.Series{series(on("b"), [2]float64{80, 40}, [2]float64{110, 42})},
			want:  counted("a", 60, 0),
		},
		"several label sets of a node": {
			total: []analysis.Series{
				series(on("a", "code", "200"), [2]float64{50, 100}, [2]float64{110, 160}),
				series(on("a", "code", "404"), [2]float64{70, 1}, [2]float64{110, 5}),
			},
			want: counted("a", 65, 0),
		},
		"a new label set that is bigger than the others": {
			total: []analysis.Series{
				series(on("a", "code", "200"), [2]float64{50, 3}, [2]float64{110, 5}),
				series(on("a", "code", "500"), [2]float64{110, 10}),
			},
			want: counted("a", 12, 0),
		},
		"labels changed, counters going on": {
			total: []analysis.Series{
				series(on("a", "zone", "x"), [2]float64{50, 5000}, [2]float64{80, 5030}),
				series(on("a", "zone", "y"), [2]float64{110, 5060}),
			},
			want: counted("a", 60, 0),
		},
		"labels changed by a restart": {
			total: []analysis.Series{
				series(on("a", "version", "1"), [2]float64{50, 5000}),
				series(on("a", "version", "2"), [2]float64{80, 4}, [2]float64{110, 34}),
			},
			bad: []analysis.Series{
				series(on("a", "version", "1"), [2]float64{50, 50}),
				series(on("a", "version", "2"), [2]float64{110, 2}),
			},
			want: counted("a", 34, 2),
		},
		"a label set is forgotten": {
			total: []analysis.Series{
				series(on("a", "path", "/x"), [2]float64{50, 100}),
				series(on("a", "path", "/y"), [2]float64{50, 10}, [2]float64{110, 20}),
			},
			want: counted("a", 10, 0),
		},
		"one node was not scraped": {
			total: []analysis.Series{series(on("a"), [2]float64{50, 100}, [2]float64{110, 160}), series(on("b"), [2]float64{50, 100})},
			bad:   []analysis.Series{series(on("b"), [2]float64{50, 9})},
			want:  counted("a", 60, 0),
		},
		"nothing there":   {want: judge.Reading{Missing: "no data"}},
		"only just begun": {total: []analysis.Series{series(on("a"), [2]float64{80, 100}, [2]float64{110, 160})}, want: judge.Reading{Missing: "only just begun: there is no earlier sample to count from"}},
		"stale":           {total: []analysis.Series{series(on("a"), [2]float64{-50, 100})}, want: judge.Reading{Missing: "stale: the newest sample is 2m50s old"}},
		"absurd": {
			total: []analysis.Series{series(on("a"), [2]float64{50, 100}, [2]float64{110, 2e12 + 100})},
			want:  judge.Reading{Missing: `the counters of node "a" grew by 2e+12 within 1m0s, which isn't believed`},
		},
		"not a number": {
			total: []analysis.Series{series(on("a"), [2]float64{50, 100}, [2]float64{80, math.NaN()}, [2]float64{110, 160})},
			want:  counted("a", 60, 0),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := newTSDB()
			db.series[greenTotal], db.series[greenBad] = tt.total, tt.bad
			sampler := analysis.NewSampler(task(time.Minute, alone()), db)
			samples, next, err := sampler.Samples(t.Context(), alone(), noon.Add(time.Minute), noon.Add(2*time.Minute))
			if err != nil || len(samples) != 1 || !next.Equal(noon.Add(2*time.Minute)) {
				t.Fatalf("%d samples, then %s: %v", len(samples), next, err)
			}
			if got := samples[0].Experiment; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func counted(node string, total, bad float64) judge.Reading {
	return judge.Reading{Nodes: map[string]judge.Counts{node: {Total: total, Bad: []float64{bad}}}}
}

// read asks for all samples of a time.
func read(ctx context.Context, s *analysis.Sampler, m spec.Metric, after, until time.Time) (samples []judge.Sample, err error) {
	for after.Before(until) {
		some, next, err := s.Samples(ctx, m, after, until)
		if err != nil {
			return nil, err
		}
		samples = append(samples, some...)
		if !next.After(after) {
			break
		}
		after = next
	}
	return samples, nil
}

func TestSampler_LosesNothingWhereScrapesAreRarerThanSteps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		db := newTSDB()
		until := noon.Add(20 * time.Minute)
		for i, pool := range []string{"green", "blue"} {
			every := time.Duration(rapid.IntRange(5, 60).Draw(t, "every "+pool)) * time.Second
			first := noon.Add(-time.Duration(rapid.IntRange(1, 60).Draw(t, "offset "+pool)) * time.Second)
			db.scrape(fmt.Sprintf(`total{pool="%s"}`, pool), on("a"), first, until, every, func(at time.Time) float64 {
				return float64(10+i) * at.Sub(first).Seconds()
			})
		}
		m := errorsMetric()
		samples, err := read(context.Background(), analysis.NewSampler(task(15*time.Second, m), db), m, noon, until)
		if err != nil {
			t.Fatal(err)
		}
		var sums [2]float64
		for _, s := range samples {
			for i, r := range []judge.Reading{s.Experiment, s.Control} {
				if r.Missing != "" || len(r.Nodes) != 1 {
					t.Fatalf("%s: %+v", s.At, r)
				}
				sums[i] += r.Nodes["a"].Total
			}
		}
		for i, got := range sums {
			if want := float64(10+i) * 1200; math.Abs(got-want) > float64(10+i)*150 {
				t.Fatalf("side %d: %g events of %g", i, got, want)
			}
		}
	})
}

// whatever happens to counters, the samples of a time are the same in one go as
// step by step, which is what a restart comes down to.
func TestSampler_SaysTheSameHoweverItIsAsked(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		db := newTSDB()
		until := noon.Add(10 * time.Minute)
		for _, selector := range []string{greenTotal, greenBad, blueTotal, blueBad} {
			for _, node := range []string{"a", "b"} {
				value, gap := 0.0, 0
				every := time.Duration(rapid.IntRange(3, 40).Draw(t, "every")) * time.Second
				what := rapid.SliceOfN(rapid.SampledFrom([]string{"", "", "", "", "", "reset", "gap"}), 1, 30).Draw(t, "what")
				n := 0
				db.scrape(selector, on(node), noon.Add(-time.Minute), until, every, func(time.Time) float64 {
					n++
					switch what[n%len(what)] {
					case "reset":
						value = 0
					case "gap":
						gap = 5
					}
					value += float64(n % 7)
					if gap--; gap > 0 {
						return math.NaN()
					}
					return value
				})
			}
		}
		m := errorsMetric()
		sampler := analysis.NewSampler(task(15*time.Second, m), db)
		whole, err := read(context.Background(), sampler, m, noon, until)
		if err != nil {
			t.Fatal(err)
		}
		var parts []judge.Sample
		after := noon
		for at := noon.Add(15 * time.Second); !at.After(until); at = at.Add(15 * time.Second) {
			some, next, err := sampler.Samples(context.Background(), m, after, at)
			if err != nil {
				t.Fatal(err)
			}
			parts, after = append(parts, some...), next
		}
		if !reflect.DeepEqual(whole, parts) {
			t.Fatalf("%d samples in one go, %d step by step, or not the same", len(whole), len(parts))
		}
		for _, s := range whole {
			for _, r := range []judge.Reading{s.Experiment, s.Control} {
				for node, c := range r.Nodes {
					if c.Total < 0 || c.Bad[0] < 0 {
						t.Fatalf("%s of %s: %+v", node, s.At, c)
					}
				}
			}
		}
	})
}
