package warmup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/gate"
	"switchd/spec"
)

// jitter is the difference of latencies that never counts.
const jitter = time.Millisecond

// steady tells whether latencies differ by no more than tolerance, as a share
// of the smallest, or by less than a millisecond.
func steady(latencies []time.Duration, tolerance float64) bool {
	low, high := slices.Min(latencies), slices.Max(latencies)
	return high-low < jitter || float64(high-low) <= tolerance*float64(low)
}

// judge follows the windows of one node. It knows neither time nor the network.
type judge struct {
	cfg    spec.Warmup
	first  *window
	recent []*window // the newest cfg.Windows at most
	seen   int       // windows
	bad    int       // how many windows in a row it has been steady, but bad
}

// add takes in a closed window and returns the outcome for the node so far. It
// passes when it is steady with errors and latency within bounds. It fails when
// it is steady out of bounds, and stays so for as many windows again: what is
// still getting better gets that much time.
func (j *judge) add(w *window) gate.Outcome {
	if j.first == nil {
		j.first = w
	}
	j.seen++
	j.recent = append(j.recent, w)
	if len(j.recent) > j.windows() {
		j.recent = slices.Delete(j.recent, 0, 1)
	}
	switch {
	case j.unsteady() != "":
		j.bad = 0
		return gate.Unknown
	case j.complaint() == "":
		j.bad = 0
		return gate.Pass
	}
	j.bad++
	if j.bad > j.windows() {
		return gate.Fail
	}
	return gate.Unknown
}

// windows is how many windows in a row must be alike.
func (j *judge) windows() int { return max(1, j.cfg.Windows) }

// unsteady says why the latency isn't steady, "" if it is.
func (j *judge) unsteady() string {
	if len(j.recent) < j.windows() {
		return fmt.Sprintf("%d of %d windows at full rate seen", len(j.recent), j.windows())
	}
	var latencies []time.Duration
	for _, w := range j.recent {
		if !w.full() {
			return fmt.Sprintf("it answered %d of %.0f requests in a window", w.answered, w.planned)
		}
		latencies = append(latencies, w.p95())
	}
	if !steady(latencies, j.cfg.Tolerance) {
		texts := make([]string, len(latencies))
		for i, l := range latencies {
			texts[i] = short(l).String()
		}
		return fmt.Sprintf("p95 of the last %d windows differ by more than %g %%: %s",
			len(latencies), j.cfg.Tolerance*100, strings.Join(texts, ", "))
	}
	return ""
}

// complaint says what is out of bounds in the recent windows, "" for nothing.
func (j *judge) complaint() string {
	var answered, failed int
	var failure string
	var slowest time.Duration
	for _, w := range j.recent {
		answered += w.answered
		failed += w.failed
		if w.failed > 0 {
			failure = w.failure
		}
		slowest = max(slowest, w.p95())
	}
	if float64(failed) > j.cfg.MaxErrors*float64(answered) {
		return fmt.Sprintf("%d of %d requests failed (%.120s), allowed are %g %%", failed, answered, failure, j.cfg.MaxErrors*100)
	}
	if limit := j.cfg.MaxLatency.Std(); limit > 0 && slowest > limit {
		return fmt.Sprintf("its steady p95 is %s, allowed is %s", short(slowest), limit)
	}
	return ""
}

// missing says what the node lacks for a pass.
func (j *judge) missing() string {
	if why := j.unsteady(); why != "" {
		return "not steady yet: " + why
	}
	return j.complaint()
}
