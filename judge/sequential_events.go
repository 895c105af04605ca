package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"switchd/judge/sequential"
	"switchd/spec"
)

// events is the sequential judge of counts: of errors, or of requests that are
// slower than edges of a histogram.
type events struct {
	trial
	edges   []int // the indexes into Counts.Bad
	mixture sequential.Mixture
	state   eventsState
}

type eventsState struct {
	progress
	Edges []*edge `json:"edges"`
}

// edge is what is known of one kind of bad event.
type edge struct {
	Evidence *sequential.OnsetJackknife `json:"evidence"`
	// Seen are the events of the experiment and the control.
	Seen [2]sequential.Sample `json:"seen"`
	// All is the likelihood of the ratio, and Share that at the present share of the
	// traffic, after the new pool has settled.
	All   sequential.Tally `json:"all"`
	Share sequential.Tally `json:"share"`
	// Bad is the experiment's share of bad events, like Share.
	Bad sequential.Bernoulli `json:"bad"`
	// Late tells since when a regression shows, Since what was seen since then,
	// and Worse the likelihood of the ratio.
	Late  cusum             `json:"late"`
	Since sequential.Sample `json:"since"`
	Worse sequential.Tally  `json:"worse"`
}

func newEvents(t trial) (*events, error) {
	e := &events{trial: t, edges: t.background.Edges}
	known := 1
	if t.metric.Buckets != "" {
		known = len(t.metric.Edges)
	}
	if e.edges == nil {
		for i := range known {
			e.edges = append(e.edges, i)
		}
	}
	if len(e.edges) == 0 {
		return nil, fmt.Errorf("metric %q: there is no edge to judge", t.metric.Name)
	}
	for _, i := range e.edges {
		if i < 0 || i >= known {
			return nil, fmt.Errorf("metric %q: the background has edge %d, the metric has %d edges", t.metric.Name, i, known)
		}
	}
	if h := t.metric.Harmless; h > 0 {
		// Tuned for the trials that it takes if there is hardly a bad event.
		var err error
		if e.mixture, err = sequential.NewMixture(10/h, t.analysis.Alpha); err != nil {
			return nil, fmt.Errorf("metric %q: %w", t.metric.Name, err)
		}
	}
	e.state = e.fresh()
	return e, nil
}

func (e *events) fresh() (s eventsState) {
	for range e.edges {
		s.Edges = append(s.Edges, &edge{Evidence: sequential.NewOnsetJackknife()})
	}
	return s
}

// Observe takes in the sample of one step.
func (e *events) Observe(s Sample) {
	experiment, why := e.pools(s.Experiment, "the new version's")
	control, whyNot := e.pools(s.Control, "the live one's")
	if why == "" {
		why = whyNot
	}
	requests := [2]float64{}
	if why == "" {
		requests = [2]float64{experiment[0].Sum().Total, control[0].Sum().Total}
		switch {
		case requests[0] == 0:
			why = "no requests to " + ExperimentSide
		case requests[1] == 0:
			why = "no requests to " + ControlSide
		}
	}
	if why != "" {
		e.state.gap(s.At, why)
		return
	}
	e.enter(&e.state.progress, s, requests)
	for i, edge := range e.state.Edges {
		edge.observe(e, experiment[i], control[i], e.background.noise(i, e.analysis))
	}
}

// pools returns the nodes of one side for each edge, or why there is nothing.
func (e *events) pools(r Reading, whose string) ([]sequential.Pool, string) {
	if r.Missing != "" {
		return nil, r.Missing
	}
	if len(r.Nodes) == 0 {
		return nil, "no data"
	}
	names := slices.Sorted(maps.Keys(r.Nodes))
	nodes := make(sequential.Pool, len(names)*len(e.edges))
	pools := make([]sequential.Pool, len(e.edges))
	for i, index := range e.edges {
		pool := nodes[i*len(names) : (i+1)*len(names)]
		bad, total := 0., 0.
		for j, name := range names {
			c := r.Nodes[name]
			if index >= len(c.Bad) {
				return nil, fmt.Sprintf("%s node %q has no counter of edge %d", whose, name, index)
			}
			if !isCount(c.Bad[index]) || !isCount(c.Total) {
				return nil, fmt.Sprintf("%s node %q has %v bad events of %v, which are no counts", whose, name, c.Bad[index], c.Total)
			}
			bad += c.Bad[index]
			total += c.Total
			// Counters aren't read at one instant: one may be ahead by a little.
			pool[j] = sequential.Node{Name: name, Sample: sequential.Sample{Bad: c.Bad[index], Total: max(c.Bad[index], c.Total)}}
		}
		if bad > 1.05*total+10 {
			return nil, fmt.Sprintf("%s bad events are more than its requests, %s of %s", whose, Count(bad), Count(total))
		}
		pools[i] = pool
	}
	return pools, ""
}

// isCount tells whether a number can be one of events in a step.
func isCount(v float64) bool { return v >= 0 && v <= 1e12 }

// observe takes in what both pools did in one step. What is wrong with it was found
// by pools, so nothing is refused here.
func (g *edge) observe(e *events, experiment, control sequential.Pool, noise sequential.Noise) {
	look := sequential.Look{Experiment: experiment.Sum(), Control: control.Sum()}
	dispersion := noise.Between(experiment, control).Dispersion(look)
	refused := []error{g.Evidence.Observe(experiment, control, e.metric.Allowed, e.grace(e.state.progress), noise), g.All.Observe(look, dispersion)}
	for side, sum := range []sequential.Sample{look.Experiment, look.Control} {
		g.Seen[side].Bad += sum.Bad
		g.Seen[side].Total += sum.Total
	}
	if e.settled(e.state.progress) {
		refused = append(refused, g.Share.Observe(look, dispersion))
		if h := e.metric.Harmless; h > 0 {
			// By the events that are to be expected at the most, not by those that
			// were seen: else, bad steps would count the less the worse they are.
			n := look.Experiment.Total
			spread := 1 + h*n*noise.Variance*experiment.Spread()
			refused = append(refused, g.Bad.Observe(rounded(look.Experiment.Bad/spread), rounded(n/spread)))
		}
	}
	allowed := e.metric.Allowed
	if fresh := g.Late.add(look.LogRatio(cusumRatio*allowed, allowed)/dispersion, e.state.Until.Add(-e.interval())); fresh {
		g.Since, g.Worse = sequential.Sample{}, sequential.Tally{}
	}
	g.Since.Bad += look.Experiment.Bad
	g.Since.Total += look.Experiment.Total
	refused = append(refused, g.Worse.Observe(look, dispersion))
	if err := errors.Join(refused...); err != nil {
		e.state.Missing = err.Error()
	}
}

func rounded(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// Step begins a new share of the traffic.
func (e *events) Step() {
	e.state.Share = stage{}
	for _, g := range e.state.Edges {
		g.Share, g.Bad = sequential.Tally{}, sequential.Bernoulli{}
	}
}

// MarshalJSON writes the state.
func (e *events) MarshalJSON() ([]byte, error) { return json.Marshal(e.state) }

// UnmarshalJSON reads the state and refuses one of another metric.
func (e *events) UnmarshalJSON(data []byte) error {
	var s eventsState
	if err := strict(data, &s); err != nil {
		return fmt.Errorf("metric %q: read the evidence: %w", e.metric.Name, err)
	}
	if err := s.check(); err != nil {
		return fmt.Errorf("metric %q: read the evidence: %w", e.metric.Name, err)
	}
	if len(s.Edges) != len(e.edges) {
		return fmt.Errorf("metric %q: the evidence has %d edges, the metric %d", e.metric.Name, len(s.Edges), len(e.edges))
	}
	for i, g := range s.Edges {
		if err := g.check(); err != nil {
			return fmt.Errorf("metric %q: the evidence of edge %d: %w", e.metric.Name, i, err)
		}
	}
	e.state = s
	return nil
}

func (g *edge) check() error {
	if g == nil || g.Evidence == nil || g.Evidence.All == nil {
		return errors.New("it is missing")
	}
	for _, s := range []sequential.Sample{g.Seen[0], g.Seen[1], g.Since, {Bad: g.Bad.Successes, Total: g.Bad.Trials}} {
		if !(s.Bad >= 0 && s.Bad <= s.Total) {
			return fmt.Errorf("%v bad events of %v can't be", s.Bad, s.Total)
		}
	}
	return g.Late.check()
}

func (p progress) check() error {
	for name, n := range map[string]int{"samples": p.Samples, "gaps": p.Gaps, "share.samples": p.Share.Samples, "share.settled": p.Share.Settled} {
		if n < 0 {
			return fmt.Errorf("%s must be at least 0, got %d", name, n)
		}
	}
	for _, n := range []float64{p.Requests[0], p.Requests[1], p.Share.Requests} {
		if !(n >= 0) {
			return fmt.Errorf("requests must be at least 0, got %v", n)
		}
	}
	return nil
}

func (c cusum) check() error {
	if !(c.Score >= 0) {
		return fmt.Errorf("the score must be at least 0, got %v", c.Score)
	}
	return nil
}

// name says what an edge counts.
func (e *events) name(i int) string {
	if e.metric.Buckets == "" {
		return "share of bad requests"
	}
	edge := e.metric.Edges[e.edges[i]]
	if e.metric.Unit == spec.UnitMilliseconds {
		edge /= 1000
	}
	return "share of requests above " + edgeName(edge)
}

func edgeName(seconds float64) string {
	if seconds < 1 {
		return Short(seconds*1000) + " ms"
	}
	return span(time.Duration(seconds * float64(time.Second)))
}
