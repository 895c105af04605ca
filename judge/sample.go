package judge

import "time"

// Sample is what both sides of a comparison showed in one step: the time from
// the step before until At, the same for both.
type Sample struct {
	At         time.Time `json:"at"`
	Experiment Reading   `json:"experiment"`
	// Control is zero for a metric that is compared with nothing.
	Control Reading `json:"control,omitzero"`
}

// Reading is what one side of a metric showed in one step. What a kind of metric
// has no use for is zero. A reading with Missing says nothing else: it is a gap,
// and stays one.
type Reading struct {
	// Value is the metric's value at the end of the step.
	Value float64 `json:"value,omitempty"`
	// Named are the values of the queries of an expression, by name.
	Named map[string]float64 `json:"named,omitempty"`
	// Nodes are the events in the step by node, "" if nodes can't be told apart.
	Nodes map[string]Counts `json:"nodes,omitempty"`
	// Missing says why there is nothing: no data, NaN, a timeout, ….
	Missing string `json:"missing,omitempty"`
}

// Counts are the events of one node in one step. They need not be whole.
type Counts struct {
	Total float64 `json:"total"` // requests
	// Bad are the bad ones among them: one number for errors; for latencies
	// one for each edge, the requests that took longer than it.
	Bad []float64 `json:"bad"`
}
