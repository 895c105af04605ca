package mannwhitney

import (
	"cmp"
	"errors"
	"math"
	"slices"
)

// errTied is a comparison of which nothing is left but ties.
var errTied = errors.New("all values are tied, so that there is no interval: too few of them, or all the same but one")

// Shift is by how much the experiment is above the control, as found by a
// Mann-Whitney U test.
type Shift struct {
	// Estimate is that of Hodges and Lehmann: the median of all differences
	// between a value of the experiment and one of the control.
	Estimate Number `json:"estimate"`
	// Lower and Upper are the ends of its confidence interval.
	Lower Number `json:"lower"`
	Upper Number `json:"upper"`
	// Bound is what the whole interval must be beyond.
	Bound Number `json:"bound"`
}

// sides are the values of both sides in ascending order: x of the experiment, y
// of the control, and y's places on the scale of place.
type sides struct {
	x, y   []float64
	places []int64
}

func newSides(experiment, control []float64) sides {
	s := sides{x: slices.SortedFunc(slices.Values(experiment), order), y: slices.SortedFunc(slices.Values(control), order)}
	for _, v := range s.y {
		s.places = append(s.places, place(v))
	}
	return s
}

func order(a, b float64) int { return cmp.Compare(place(a), place(b)) }

// place maps values to integers of the same order, in which Java's
// Double.compare has them and Kayenta ranks them: -0 before 0, and NaN, which is
// ∞ − ∞ here, with ∞.
func place(v float64) int64 {
	if math.IsNaN(v) {
		v = math.Inf(1)
	}
	bits := int64(math.Float64bits(v))
	return bits ^ int64(uint64(bits>>63)>>1) // negative ones the other way round
}

func (s sides) sizes() (m, n float64) { return float64(len(s.x)), float64(len(s.y)) }

// rank ranks all values together after x was moved down by mu, tied ones with
// their average rank. It returns the sum of x's ranks and Σ(t³−t) over all
// groups of t ties. Both are exact, since they are multiples of one half. Moved
// values keep their order, so that a merge does it.
func (s sides) rank(mu float64) (rankSum, ties float64) {
	for i, j := 0, 0; i < len(s.x) || j < len(s.y); {
		next := int64(math.MaxInt64) // after every value
		if i < len(s.x) {
			next = place(s.x[i] - mu)
		}
		if j < len(s.y) {
			next = min(next, s.places[j])
		}
		before, first := i+j, i
		for i < len(s.x) && place(s.x[i]-mu) == next {
			i++
		}
		for j < len(s.y) && s.places[j] == next {
			j++
		}
		t := float64(i + j - before)
		rankSum += float64(i-first) * (float64(before) + (t+1)/2)
		ties += t*t*t - t
	}
	return rankSum, ties
}

// deviation is how many standard deviations the rank sum of x, moved down by mu,
// is above its expectation: with continuity correction and the variance for
// ties (Lehmann, Nonparametrics, 1975, section 1.4). It is a falling step
// function of mu, and NaN where all values are tied.
func (s sides) deviation(mu float64) float64 {
	m, n := s.sizes()
	rankSum, ties := s.rank(mu)
	above := rankSum - m*(m+1)/2 - m*n/2
	switch {
	case above > 0:
		above -= 0.5
	case above < 0:
		above += 0.5
	}
	return above / math.Sqrt((m*n/12)*((m+n+1)-ties/((m+n)*(m+n-1))))
}

// shift estimates the shift and its interval by inverting the test, as R's
// wilcox.test(x, y, conf.int=TRUE, exact=FALSE) does: where the deviation is 0,
// and where it is at the quantiles of the confidence. As in Kayenta, the estimate
// has the continuity correction too, and roots are found to 1e-4 only, so that
// shifts of this size are not told from none.
func (s sides) shift(confidence float64) (Shift, error) {
	lowX, highX := extent(s.x)
	lowY, highY := extent(s.y)
	low, high := lowX-highY, highX-lowY
	atLow, atHigh := s.deviation(low), s.deviation(high)
	if math.IsNaN(atLow) || math.IsNaN(atHigh) {
		return Shift{}, errTied
	}
	solve := func(z float64) float64 {
		return brent(func(mu float64) float64 { return s.deviation(mu) - z }, low, high, atLow-z, atHigh-z)
	}
	end := func(z float64) float64 {
		switch {
		case atLow-z <= 0:
			return low
		case atHigh-z >= 0:
			return high
		}
		return solve(z)
	}
	z := math.Sqrt2 * math.Erfinv(2*((1-confidence)/2)-1) // the lower quantile
	return Shift{Lower: Number(end(-z)), Upper: Number(end(z)), Estimate: Number(solve(0))}, nil
}

func extent(values []float64) (low, high float64) { return slices.Min(values), slices.Max(values) }
