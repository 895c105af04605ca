package judge_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// poolWorld makes up what two pools of one service show: bad events of a Poisson
// distribution whose rate has a mood, one of all nodes and one of each node.
type poolWorld struct {
	nodes    int     // of each pool
	requests float64 // a node and look
	rate     float64 // of bad ones
	phi, cv  float64 // of the nodes' moods, which are AR(1) processes
	trend    float64 // the size of a slow wave that all nodes share
	outlier  float64 // by what the new version's first node is worse
	cold     float64 // by what a new pool is worse at first, fading in 3 looks
	gap      float64 // the probability of a look without data
	onset    int     // the look at which the new version gets worse
	ratio    float64 // by what
}

type poolRun struct {
	poolWorld
	rng   *rand.Rand
	moods [2][]float64
	look  int
}

var worldBegan = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

func (w poolWorld) run(seed uint64) *poolRun {
	r := &poolRun{poolWorld: w, rng: rand.New(rand.NewPCG(seed, 11))}
	for side := range r.moods {
		for range w.nodes {
			r.moods[side] = append(r.moods[side], r.rng.NormFloat64())
		}
	}
	return r
}

func draw(rng *rand.Rand, mean float64) float64 {
	if mean > 40 {
		return max(0, math.Round(mean+math.Sqrt(mean)*rng.NormFloat64()))
	}
	n := 0.
	for sum := rng.ExpFloat64(); sum < mean; sum += rng.ExpFloat64() {
		n++
	}
	return n
}

// reading returns one look at one side, at which its rate is so many times the usual.
func (r *poolRun) reading(side int, ratio float64) judge.Reading {
	nodes := make(map[string]judge.Counts, r.nodes)
	wave := 1 + r.trend*math.Sin(float64(r.look)/40)
	for i, mood := range r.moods[side] {
		mood = r.phi*mood + math.Sqrt(1-r.phi*r.phi)*r.rng.NormFloat64()
		r.moods[side][i] = mood
		worse := ratio
		if i == 0 && side == 0 && r.outlier > 0 && ratio > 0 {
			worse *= r.outlier
		}
		mean := worse * r.rate * wave * r.requests * math.Exp(r.cv*mood-r.cv*r.cv/2)
		total := draw(r.rng, r.requests*wave)
		nodes[fmt.Sprintf("%c%d", "en"[side], i)] = judge.Counts{Total: total, Bad: []float64{min(total, draw(r.rng, mean))}}
	}
	return judge.Reading{Nodes: nodes}
}

// history returns looks at the live pool.
func (r *poolRun) history(looks int) []judge.Sample {
	history := make([]judge.Sample, looks)
	for i := range history {
		history[i] = judge.Sample{At: worldBegan.Add(time.Duration(i-looks) * time.Minute), Experiment: r.reading(1, 1)}
		r.look++
	}
	return history
}

// sample returns the i-th look of a rollout.
func (r *poolRun) sample(i int) judge.Sample {
	ratio := 1.
	if r.ratio > 0 && i >= r.onset {
		ratio = r.ratio
	}
	if r.cold > 1 {
		ratio *= 1 + (r.cold-1)*math.Max(0, 1-float64(i)/3)
	}
	s := judge.Sample{At: worldBegan.Add(time.Duration(i+1) * time.Minute), Experiment: r.reading(0, ratio), Control: r.reading(1, 1)}
	r.look++
	if r.rng.Float64() < r.gap {
		s.Control = judge.Reading{Missing: "timeout"}
	}
	return s
}

func errorsMetric() spec.Metric {
	return spec.Metric{
		Name: "errors", Judge: spec.JudgeSequential, Bad: "bad", Total: "total", Node: "instance",
		Allowed: 1.1, Margin: 0.5, Require: spec.RequireNoWorse, Weight: 1,
	}
}

func minuteAnalysis(metrics ...spec.Metric) spec.Analysis {
	return spec.Analysis{
		Noise:    0.3,
		Interval: spec.Duration(time.Minute), Looks: 5, Alpha: 0.02, Settle: spec.Duration(3 * time.Minute), SettleFactor: 3,
		History: spec.Duration(6 * time.Hour), Metrics: metrics,
	}
}
