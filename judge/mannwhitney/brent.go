package mannwhitney

import "math"

// brent finds where f crosses zero between low and high, of which it is told the
// values: by Brent's method (Algorithms for Minimization without Derivatives,
// 1973, chapter 4), in the steps of netlib's zeroin, which R and Kayenta have it
// from. These matter: f is a step function here, so that the way to the crossing
// decides on which of its sides, and how far from it, the search ends.
func brent(f func(float64) float64, low, high, atLow, atHigh float64) float64 {
	const (
		tolerance  = 1e-4
		epsilon    = 0x1p-52
		iterations = 1001
	)
	if atLow == 0 {
		return low
	}
	if atHigh == 0 {
		return high
	}
	// The zero is between best and other; last was best before.
	last, best, other := low, high, low
	atLast, atBest, atOther := atLow, atHigh, atLow
	for range iterations {
		before := best - last
		if math.Abs(atOther) < math.Abs(atBest) {
			last, best, other = best, other, best
			atLast, atBest, atOther = atBest, atOther, atBest
		}
		least := 2*epsilon*math.Abs(best) + tolerance/2
		step := (other - best) / 2
		if math.Abs(step) <= least || atBest == 0 {
			return best
		}
		if math.IsNaN(step) { // the bracket is infinite on one side
			return step
		}
		if math.Abs(before) >= least && math.Abs(atLast) > math.Abs(atBest) {
			var p, q float64
			width := other - best
			if last == other { // two points: a secant
				s := atBest / atLast
				p, q = width*s, 1-s
			} else { // three: inverse quadratic interpolation
				r, s, t := atLast/atOther, atBest/atOther, atBest/atLast
				p = t * (width*r*(r-s) - (best-last)*(s-1))
				q = (r - 1) * (s - 1) * (t - 1)
			}
			if p > 0 {
				q = -q
			} else {
				p = -p
			}
			if p < 0.75*width*q-math.Abs(least*q)/2 && p < math.Abs(before*q/2) {
				step = p / q
			}
		}
		if math.Abs(step) < least {
			if step > 0 {
				step = least
			} else {
				step = -least
			}
		}
		last, atLast = best, atBest
		best += step
		atBest = f(best)
		if atBest > 0 && atOther > 0 || atBest < 0 && atOther < 0 {
			other, atOther = last, atLast
		}
	}
	return best
}
