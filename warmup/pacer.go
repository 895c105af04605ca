package warmup

import (
	"math"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// slack is how far the load may fall behind its plan and still catch up. What
// is later than that is left out: a node that stood still isn't to be punished
// with all at once what it missed.
const slack = time.Second

// pacer ramps the load up linearly to rate within ramp and keeps it there. It
// begins at one request a second, so that no pause is longer than that.
type pacer struct {
	rate   float64 // requests per second
	ramp   time.Duration
	missed float64 // requests left out so far
}

var _ vegeta.Pacer = (*pacer)(nil)

func newPacer(rate int, ramp time.Duration) *pacer {
	return &pacer{rate: float64(rate), ramp: ramp}
}

// Pace returns how long to wait for the next request. It never ends the load.
func (p *pacer) Pace(elapsed time.Duration, hits uint64) (wait time.Duration, stop bool) {
	due := p.due(float64(hits) + p.missed)
	if elapsed-due > slack {
		p.missed = p.planned(elapsed) - float64(hits)
		return 0, false
	}
	return due - elapsed, false
}

// Rate returns the requests per second that are planned after elapsed.
func (p *pacer) Rate(elapsed time.Duration) float64 {
	if elapsed >= p.ramp {
		return p.rate
	}
	return p.begin() + p.slope()*elapsed.Seconds()
}

func (p *pacer) begin() float64 { return min(1, p.rate) }

// slope is by how much the rate rises in a second of the ramp.
func (p *pacer) slope() float64 { return (p.rate - p.begin()) / p.ramp.Seconds() }

// planned is the number of requests that are due by elapsed: the area under
// the rate.
func (p *pacer) planned(elapsed time.Duration) float64 {
	rising := min(elapsed, p.ramp).Seconds()
	level := max(0, elapsed-p.ramp).Seconds()
	if rising == 0 {
		return p.rate * level
	}
	return p.begin()*rising + p.slope()*rising*rising/2 + p.rate*level
}

// due is the inverse of planned: when request number n, from 0 on, is sent.
func (p *pacer) due(n float64) time.Duration {
	ramped := p.planned(p.ramp)
	if n >= ramped {
		return p.ramp + seconds((n-ramped)/p.rate)
	}
	a, b := p.slope()/2, p.begin()
	if a == 0 {
		return seconds(n / b)
	}
	return seconds((math.Sqrt(b*b+4*a*n) - b) / (2 * a))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
