package sequential

import (
	"errors"
	"math"
)

// Band is the half-width of a band around the empirical distribution function of
// t independent observations that holds for all values and at all times t from a
// start on (Howard & Ramdas, "Sequential estimation of quantiles with applications
// to A/B testing and best-arm identification", Bernoulli 28 (2022), theorem 2):
//
//	0.85·√((log log(e·t/start) + C)/t)
type Band struct {
	start, constant float64
}

// lilFactor is the factor before the root. It has to be above 1/√2, where the law
// of the iterated logarithm has it; 0.85 is the authors' choice.
const lilFactor = 0.85

// NewBand returns the band with the authors' closed form of the constant,
// C = 0.8·log(1612/α). It is what the theorem gives for α up to 0.3; at 0.5, the
// error bound is 0.5014.
func NewBand(start, alpha float64) (Band, error) {
	if err := checkBand(start, alpha); err != nil {
		return Band{}, err
	}
	return Band{start: start, constant: 0.8 * math.Log(1612/alpha)}, nil
}

// NewTightBand returns the band with the smallest constant that the theorem
// allows. It is some 1 % narrower and found numerically.
func NewTightBand(start, alpha float64) (Band, error) {
	if err := checkBand(start, alpha); err != nil {
		return Band{}, err
	}
	excess := func(constant float64) float64 { return lilLogError(constant) - math.Log(alpha) }
	lo, hi := 4., 8. // at 4, the error bound is above 1
	for excess(hi) > 0 {
		hi *= 2
	}
	return Band{start: start, constant: bisect(lo, hi, excess)}, nil
}

func checkBand(start, alpha float64) error {
	if !(start >= 1 && start <= maxCount) {
		return errors.Join(checkAbove("tMin", start, 1), checkCount("tMin", start))
	}
	return checkAlpha("alpha", alpha)
}

// lilLogError returns the log of the least bound on the error probability that
// the theorem gives for a constant C, over its free parameter η:
//
//	4·e^(−γ²C)·(1 + 1/((γ²−1)·log η)),  γ² = (2/η)·(A − √(2(η−1)/C))²
func lilLogError(constant float64) float64 {
	bound := func(eta float64) float64 {
		root := lilFactor - math.Sqrt(2*(eta-1)/constant)
		gamma2 := 2 / eta * root * root
		if root < 0 || gamma2 <= 1 {
			return math.Inf(1)
		}
		return math.Log(4) - gamma2*constant + math.Log1p(1/((gamma2-1)*math.Log(eta)))
	}
	// γ² falls in η, from 2A² at 1, to 1 at the upper end of what is allowed.
	upper := bisect(2*lilFactor*lilFactor, 1, func(eta float64) float64 {
		return math.Sqrt(eta/2) + math.Sqrt(2*(eta-1)/constant) - lilFactor
	})
	return bound(minimize(1, upper, bound))
}

// minimize returns where f, which has one minimum between lo and hi, is least, by
// golden section search.
func minimize(lo, hi float64, f func(float64) float64) float64 {
	const section = 1 / math.Phi
	a, b := hi-(hi-lo)*section, lo+(hi-lo)*section
	fa, fb := f(a), f(b)
	for range 80 {
		if fa <= fb {
			hi, b, fb = b, a, fa
			a = hi - (hi-lo)*section
			fa = f(a)
		} else {
			lo, a, fa = a, b, fb
			b = lo + (hi-lo)*section
			fb = f(b)
		}
	}
	return lo + (hi-lo)/2
}

// HalfWidth returns the half-width after t observations; it is infinite before
// the start.
func (b Band) HalfWidth(t float64) float64 {
	if !(t >= b.start) {
		return math.Inf(1)
	}
	return lilFactor * math.Sqrt((math.Log1p(math.Log(t/b.start))+b.constant)/t)
}

// Around returns the shares that the share below some value may be, if below of
// total observations are.
func (b Band) Around(below, total float64) Interval {
	if total == 0 {
		return Interval{Lower: 0, Upper: 1}
	}
	share, half := below/total, b.HalfWidth(total)
	return Interval{Lower: max(0, share-half), Upper: min(1, share+half)}
}
