package judge_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"switchd/judge"
	"switchd/spec"
)

func TestSelfTest_LearnsTheNoiseOfANode(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	a := minuteAnalysis(m)
	w := poolWorld{nodes: 8, requests: 15000, rate: 0.002, phi: 0.9, cv: 0.3}
	b := judge.SelfTest(m, a, w.run(1).history(1440))
	if len(b.Noise) != 1 || b.Untrusted != "" {
		t.Fatalf("got %+v", b)
	}
	// In the long run, an AR(1) process has (1+φ)/(1−φ) times its variance.
	if want := 0.09 * 19; b.Noise[0].Variance < 0.6*want || b.Noise[0].Variance > 1.5*want {
		t.Errorf("got a variance of %v, want about %v", b.Noise[0].Variance, want)
	}
	if got := b.Noise[0].Lasting; got < 0.8 || got > 0.95 {
		t.Errorf("got a noise of which %v lasts, want 0.9", got)
	}
	still := judge.SelfTest(m, a, poolWorld{nodes: 8, requests: 15000, rate: 0.002}.run(1).history(1440))
	if got := still.Noise[0].Variance; got > 0.01 {
		t.Errorf("independent requests: got a variance of %v", got)
	}
	if !strings.HasPrefix(b.Why, "self-test on 23 h 59 min of the live pool: halves of its 8 nodes differ by some ") {
		t.Errorf("got: %s", b.Why)
	}
}

func TestSelfTest_IsReproducible(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	a := minuteAnalysis(m)
	history := poolWorld{nodes: 5, requests: 1000, rate: 0.002, phi: 0.5, cv: 0.3}.run(1).history(240)
	if one, two := judge.SelfTest(m, a, history), judge.SelfTest(m, a, history); !reflect.DeepEqual(one, two) {
		t.Errorf("got %+v and %+v", one, two)
	}
}

func TestSelfTest_SaysWhenTheHistoryIsTooShort(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	a := minuteAnalysis(m)
	for looks, want := range map[int]string{
		0:  "the live pool's history has 0 looks with data and 72 are needed, so a noise of 30 % from node to node is assumed",
		20: "the live pool's history has 20 looks with data and 72 are needed, so a noise of 30 % from node to node is assumed",
	} {
		b := judge.SelfTest(m, a, poolWorld{nodes: 4, requests: 1000, rate: 0.002}.run(1).history(looks))
		if b.Why != want || b.Noise != nil || b.Untrusted != "" {
			t.Errorf("%d looks: got %+v", looks, b)
		}
	}
	few := judge.SelfTest(m, a, poolWorld{nodes: 4, requests: 1000}.run(1).history(240))
	if !strings.HasSuffix(few.Why, ", with an assumed noise of 30 %, as there are few bad events") || len(few.Noise) != 1 || few.Noise[0].Variance == 0 {
		t.Errorf("without a bad event: got %+v", few)
	}
}

// What is quiet for hours and bursts for minutes is no noise that a variance tells.
func TestSelfTest_DoesNotTrustWhatItCantTell(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	a := minuteAnalysis(m)
	wild := func(size float64) judge.Background {
		rng := rand.New(rand.NewPCG(41, 1))
		history := make([]judge.Sample, 360)
		for i := range history {
			nodes := make(map[string]judge.Counts)
			for n := range 6 {
				bad := 1.
				// Half of the nodes burst together, for some looks of each hour.
				if n < 3 && i%60 > 50 {
					bad = size * (1 + rng.Float64())
				}
				nodes[fmt.Sprint(n)] = judge.Counts{Total: 1e6, Bad: []float64{bad}}
			}
			history[i] = judge.Sample{At: minute(i - 400), Experiment: judge.Reading{Nodes: nodes}}
		}
		return judge.SelfTest(m, a, history)
	}
	if b := wild(5); b.Untrusted == "" && b.Widened <= 1 {
		t.Errorf("a lottery is trusted as it is: %+v", b)
	}
}

func TestSelfTest_ChoosesEdgesWhereTheRequestsAre(t *testing.T) {
	t.Parallel()
	m := bucketsMetric()
	m.Edges = nil
	for edge := 0.001; edge < 70; edge *= 1.25 {
		m.Edges = append(m.Edges, edge)
	}
	b := judge.SelfTest(m, minuteAnalysis(m), latencies(m.Edges, 4, 240))
	if len(b.Edges) != 6 || len(b.Noise) != 6 {
		t.Fatalf("got edges %v and %d noises", b.Edges, len(b.Noise))
	}
	for i, edge := range b.Edges {
		if share := math.Exp(-m.Edges[edge] / 0.1); share < 0.0008 || share > 0.55 || i > 0 && edge <= b.Edges[i-1] {
			t.Errorf("edges %v: %v %% of the requests are above %v s", b.Edges, 100*share, m.Edges[edge])
		}
	}
	j := newJudge(t, m, minuteAnalysis(m), b)
	for i, s := range latencies(m.Edges, 4, 20) {
		j.Observe(judge.Sample{At: minute(i), Experiment: s.Experiment, Control: s.Experiment})
	}
	if f := j.Finding(); f.Outcome != judge.NoWorse {
		t.Errorf("got %s: %s", f.Outcome, f.Why)
	}
}

// latencies makes up a history of an exponential distribution with a mean of 100 ms.
func latencies(edges []float64, nodes, looks int) []judge.Sample {
	rng := rand.New(rand.NewPCG(42, 1))
	history := make([]judge.Sample, looks)
	for i := range history {
		r := judge.Reading{Nodes: make(map[string]judge.Counts)}
		for n := range nodes {
			c := judge.Counts{Total: 2000, Bad: make([]float64, len(edges))}
			mood := math.Exp(0.1 * rng.NormFloat64())
			left := c.Total
			for e, edge := range edges {
				left = min(left, draw(rng, mood*c.Total*math.Exp(-edge/0.1)))
				c.Bad[e] = left
			}
			r.Nodes[fmt.Sprint(n)] = c
		}
		history[i] = judge.Sample{At: minute(i - looks), Experiment: r}
	}
	return history
}

func TestSelfTest_IgnoresGapsAndOtherJudges(t *testing.T) {
	t.Parallel()
	m := errorsMetric()
	a := minuteAnalysis(m)
	history := poolWorld{nodes: 4, requests: 1000, rate: 0.002}.run(1).history(240)
	var gaps []judge.Sample
	for i, s := range history {
		gaps = append(gaps, s)
		if i%3 == 0 {
			gaps = append(gaps, judge.Sample{At: s.At, Experiment: judge.Reading{Missing: "timeout"}}, judge.Sample{At: s.At})
		}
	}
	if got, want := judge.SelfTest(m, a, gaps), judge.SelfTest(m, a, history); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	m.Judge = spec.JudgeThreshold
	if got := judge.SelfTest(m, a, history); !reflect.DeepEqual(got, judge.Background{}) {
		t.Errorf("threshold: got %+v", got)
	}
}

func BenchmarkSelfTest(b *testing.B) {
	m := bucketsMetric()
	m.Edges = []float64{0.05, 0.1, 0.2, 0.3, 0.4, 0.6}
	a := minuteAnalysis(m)
	a.Interval = spec.Duration(15 * time.Second)
	history := latencies(m.Edges, 20, 6*60*4)
	for b.Loop() {
		judge.SelfTest(m, a, history)
	}
}
