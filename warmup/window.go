package warmup

import (
	"fmt"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// fullRate is the share of the planned requests that must have been answered
// for a window to be one at full rate.
const fullRate = 0.8

// window is what was measured within a stretch of time. It keeps a digest of
// the latencies, so its size doesn't depend on the rate.
type window struct {
	answered int // with whatever answer
	failed   int
	failure  string // the newest
	planned  float64
	latency  vegeta.LatencyMetrics
}

// add takes in one result.
func (w *window) add(r *vegeta.Result) {
	w.answered++
	w.latency.Add(r.Latency)
	if r.Error != "" {
		w.failed++
		w.failure = r.Error
	}
}

// close says how many requests were planned for the window.
func (w *window) close(rate int, took time.Duration) { w.planned = float64(rate) * took.Seconds() }

// full tells whether the node answered at full rate. One answer more or less
// than planned is a matter of where the window is cut.
func (w *window) full() bool {
	return w.answered > 0 && float64(w.answered+1) >= fullRate*w.planned
}

func (w *window) p95() time.Duration { return w.latency.Quantile(0.95) }

// String writes the window for people.
func (w *window) String() string {
	if w.answered == 0 {
		return "no answers"
	}
	text := fmt.Sprintf("p50 %s, p95 %s, p99 %s, %d of %d failed",
		short(w.latency.Quantile(0.5)), short(w.p95()), short(w.latency.Quantile(0.99)), w.failed, w.answered)
	if w.failed > 0 {
		text += fmt.Sprintf(" (%.120s)", w.failure)
	}
	return text
}

// short rounds a latency to what people read.
func short(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}
