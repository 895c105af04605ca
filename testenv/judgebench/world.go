package main

import (
	"math"
	"math/rand/v2"
)

// What every world has in common.
const (
	minutes    = 60     // of a rollout, and its looks
	history    = 6 * 60 // minutes of the live pool before it
	poolNodes  = 4      // nodes of either pool
	errorShare = 0.002  // of the requests, if all is well
	tailEdge   = 2      // index of the first edge that a tail regression is beyond
	mostSlow   = 0.9    // whatever happens, so many requests are slow at most
	coldStart  = 3.     // times as bad is a cold cache, at first
	coldFade   = 1.     // minutes in which what is left of it falls to 1/e
	outlier    = 5.     // times as bad is a node with bad hardware
	gapShare   = 0.05   // of the looks have no scrape of one pool
	outage     = 10     // minutes without Prometheus
	trendSize  = 0.7    // of the log of the rates, up and down
	trendSwing = 45.    // minutes from one top to the next
	nodeSpread = 0.3    // coefficient of variation of a noisy node's rates
)

// The latency histogram: its edges in seconds, and the share of the requests
// that takes longer, if all is well. Its p99 is 0.47 s.
var (
	edges = [...]float64{0.1, 0.25, 0.5, 1, 2.5}
	slow  = [...]float64{0.3, 0.05, 0.005, 0.002, 0.0004}
)

// world is a way in which two pools of one version differ. The zero value has
// nothing but chance.
type world struct {
	name string
	// spread is the coefficient of variation of each node's rates of errors and
	// slow requests, and memory the correlation from one minute to the next.
	spread, memory float64
	trend          bool // both pools' rates and traffic rise and fall together
	outlier        bool // one node of the new version has bad hardware
	cold           bool // the new version's caches are cold
	gaps           bool // scrapes are missed, and Prometheus is gone for a while
}

// worlds are those in which a halt without a regression is a false one.
func worlds() []world {
	return []world{
		{name: "iid"},
		{name: "trend", trend: true},
		{name: "noise", spread: nodeSpread},
		{name: "ar0.5", spread: nodeSpread, memory: 0.5},
		{name: "ar0.9", spread: nodeSpread, memory: 0.9},
		{name: "ar0.95", spread: nodeSpread, memory: 0.95},
		{name: "outlier", outlier: true},
		{name: "cold", cold: true},
		{name: "gaps", gaps: true},
	}
}

// usual is the same world without what only strikes a new version, or the way
// to Prometheus: what an operator knows from experience.
func (w world) usual() world {
	w.outlier, w.cold, w.gaps = false, false, false
	return w
}

// mood is the log of what a node's rates are multiplied by.
type mood struct{ errors, latency float64 }

// next goes on by a minute as an AR(1) process whose variance stays the same.
func (w world) next(rng *rand.Rand, m mood) mood {
	sigma := w.sigma()
	fresh := sigma * math.Sqrt(1-w.memory*w.memory)
	return mood{
		errors:  w.memory*m.errors + fresh*rng.NormFloat64(),
		latency: w.memory*m.latency + fresh*rng.NormFloat64(),
	}
}

// sigma is the standard deviation of the log of a rate with the spread.
func (w world) sigma() float64 { return math.Sqrt(math.Log1p(w.spread * w.spread)) }

// first draws a mood from the middle of the process.
func (w world) first(rng *rand.Rand) mood {
	return mood{errors: w.sigma() * rng.NormFloat64(), latency: w.sigma() * rng.NormFloat64()}
}

// factors are what moods multiply rates by: 1 on average.
func (w world) factors(m mood) (errors, latency float64) {
	correction := w.sigma() * w.sigma() / 2
	return math.Exp(m.errors - correction), math.Exp(m.latency - correction)
}

// tide is what both pools share at a minute.
func (w world) tide(minute int, phase float64) (rates, traffic float64) {
	if !w.trend {
		return 1, 1
	}
	angle := 2*math.Pi*float64(minute)/trendSwing + phase
	return math.Exp(trendSize * math.Sin(angle)), 1 + 0.3*math.Sin(angle/2)
}

// fresh is by what a new pool's rates are multiplied in its minute, the first
// being 0: on average over it.
func (w world) fresh(minute int) float64 {
	if !w.cold {
		return 1
	}
	from, to := float64(minute), float64(minute+1)
	return 1 + (coldStart-1)*coldFade*(math.Exp(-from/coldFade)-math.Exp(-to/coldFade))
}
