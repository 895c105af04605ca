package main

import (
	"math"
	"sync/atomic"
	"time"
)

// coldLatency is how slow the first answer after a cold start is.
const coldLatency = 800 * time.Millisecond

// faults decides what goes wrong with which request.
type faults struct {
	rate     float64
	latency  time.Duration
	cold     time.Duration
	start    time.Time
	requests atomic.Uint64
}

// fails counts a request and tells whether it gets an error: exactly the
// share rate of the first n requests does, rounded down, for every n.
func (f *faults) fails() bool {
	n := float64(f.requests.Add(1))
	return math.Floor(n*f.rate) > math.Floor((n-1)*f.rate)
}

// delay is how long an answer takes at the time now: the latency, and while
// the start is cold an extra that falls in a straight line to nothing.
func (f *faults) delay(now time.Time) time.Duration {
	left := f.cold - now.Sub(f.start)
	if f.cold == 0 || left <= 0 {
		return f.latency
	}
	return f.latency + time.Duration(float64(coldLatency)*(float64(left)/float64(f.cold)))
}

// burn keeps a core busy for a time.
func burn(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}
