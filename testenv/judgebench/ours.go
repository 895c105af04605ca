package main

import (
	"fmt"
	"math"
	"time"

	"switchd/judge"
	"switchd/spec"
)

// ours is switchd's sequential judge with its defaults.
type ours struct {
	analysis spec.Analysis
	blind    bool // it gets no history
}

func (o ours) name() string {
	if o.blind {
		return "switchd, no history"
	}
	return "switchd"
}

// backgrounds are those of our metrics, by name.
type backgrounds map[string]judge.Background

// configuration is what our judge is set up with: all is as by default, but for the
// edges, which are those of the world's histogram.
const configuration = `
analysis {
  prometheus = "http://127.0.0.1:9090"
  errors {}
  latency {
    edges = ["100ms", "250ms", "500ms", "1s", "2500ms"]
  }
}`

// analysis compiles the configuration.
func analysis() (spec.Analysis, error) {
	a, err := spec.ParseAnalysis("judgebench", []byte(configuration))
	if err != nil {
		return a, fmt.Errorf("our own configuration: %w", err)
	}
	return a, nil
}

// begin is when a rollout begins.
var begin = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// selfTest learns from the past what our judge learns before a release.
func selfTest(a spec.Analysis, p past) backgrounds {
	b := backgrounds{}
	histories := map[string][]judge.Sample{}
	for i, l := range p.looks {
		at := begin.Add(time.Duration(i-history+1) * time.Minute)
		for name, reading := range readings(l) {
			histories[name] = append(histories[name], judge.Sample{At: at, Experiment: reading})
		}
	}
	for _, m := range a.Metrics {
		b[m.Name] = judge.SelfTest(m, a, histories[m.Name])
	}
	return b
}

// readings are those of our two metrics of a pool.
func readings(p pool) map[string]judge.Reading {
	if p == nil {
		gap := judge.Reading{Missing: "no data"}
		return map[string]judge.Reading{"errors": gap, "latency": gap}
	}
	errors, latency := map[string]judge.Counts{}, map[string]judge.Counts{}
	for i, c := range p {
		errors[nodeNames[i]] = judge.Counts{Total: c.total, Bad: []float64{c.errors}}
		latency[nodeNames[i]] = judge.Counts{Total: c.total, Bad: c.slow[:]}
	}
	return map[string]judge.Reading{"errors": {Nodes: errors}, "latency": {Nodes: latency}}
}

// nodeNames are those of a pool's nodes.
var nodeNames = [poolNodes]string{"node-1", "node-2", "node-3", "node-4"}

// watch has the log of the e-value as its knob.
func (o ours) watch(r *rollout, k *knowledge) (t trace) {
	known := k.backgrounds
	if o.blind {
		known = nil
	}
	panel, err := judge.NewPanel(o.analysis, known)
	if err != nil {
		panic(fmt.Sprintf("our own configuration is refused: %v", err)) // it is a constant
	}
	most := math.Inf(-1)
	for i, l := range r {
		at := begin.Add(time.Duration(i+1) * time.Minute)
		samples := map[string]judge.Sample{}
		live := readings(l.control)
		for name, reading := range readings(l.experiment) {
			samples[name] = judge.Sample{At: at, Experiment: reading, Control: live[name]}
		}
		panel.Observe(samples)
		v := panel.Verdict()
		most = max(most, v.LogE)
		t.evidence[i] = most
		switch {
		case t.halt == 0 && v.Outcome == judge.Regressed:
			t.halt = i + 1
		case t.pass == 0 && v.Outcome == judge.NoWorse:
			t.pass = i + 1
		}
	}
	return t
}
