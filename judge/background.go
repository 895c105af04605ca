package judge

import (
	"time"

	"switchd/judge/sequential"
	"switchd/spec"
)

// Background is what is known of a metric from the live pool's recent history,
// before the release. The zero value knows nothing.
type Background struct {
	// Noise is by what nodes differ without any release: the long-run variance of
	// the log of one node's rate, per look, or of the pool's value for a mean. One
	// for each judged edge, else a single one; nil: unknown, a prior stands for it.
	Noise []sequential.Noise `json:"noise,omitempty"`
	// Edges are the indexes of the edges that are judged; nil: all.
	Edges []int `json:"edges,omitempty"`
	// Widened is the factor by which the A/A self-test widened the noise.
	Widened float64 `json:"widened,omitempty"`
	// Untrusted says why the metric can't be judged at all.
	Untrusted string `json:"untrusted,omitempty"`
	// Why is one sentence on what the self-test found, for a person.
	Why string `json:"why,omitempty"`
}

// priorLasts is for how many minutes a difference between nodes is taken to last
// where nobody has measured it.
const priorLasts = 10. / 3

// priorNoise is the noise per look that stands for a node's noise that nobody has
// measured: what lasts counts the more often, the shorter the looks are.
func priorNoise(a spec.Analysis) sequential.Noise {
	looks := float64(time.Minute) / float64(max(a.Interval, 1))
	return sequential.Noise{Variance: a.Noise * a.Noise * priorLasts * max(1, looks)}
}

// noise returns the noise of the i-th judged edge, or of the metric.
func (b Background) noise(i int, a spec.Analysis) sequential.Noise {
	if i < len(b.Noise) {
		return b.Noise[i]
	}
	return priorNoise(a)
}
