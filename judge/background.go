package judge

import (
	"math"
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

// priorFades is the time in which a difference between nodes is taken to fade to 1/e
// of itself where nobody has measured it.
const priorFades = 100 * time.Second

// priorNoise is the noise that stands for a node's noise that nobody has measured: a
// difference of a.Noise that lasts a while. What it can't explain shows at once, however
// short the looks are; what it can, needs time.
func priorNoise(a spec.Analysis) sequential.Noise {
	return sequential.Lasting(a.Noise, math.Exp(-float64(a.Interval)/float64(priorFades)))
}

// standingNoise is the prior where a pool could be compared with nothing but itself: what
// stands between two nodes never showed, and may last.
func standingNoise(a spec.Analysis) sequential.Noise { return sequential.Lasting(a.Noise, 0.95) }

// noise returns the noise of the i-th judged edge, or of the metric.
func (b Background) noise(i int, a spec.Analysis) sequential.Noise {
	if i < len(b.Noise) {
		return b.Noise[i]
	}
	return priorNoise(a)
}
