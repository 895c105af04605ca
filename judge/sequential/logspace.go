package sequential

import "math"

// logSumExp returns log Σ wᵢ·exp(lᵢ); a nil w is all ones. It is −Inf for a sum
// of nothing.
func logSumExp(l, w []float64) float64 {
	top := math.Inf(-1)
	for i, v := range l {
		if w == nil || w[i] > 0 {
			top = max(top, v)
		}
	}
	if math.IsInf(top, 0) {
		return top
	}
	sum := 0.0
	for i, v := range l {
		switch {
		case w == nil:
			sum += math.Exp(v - top)
		case w[i] > 0:
			sum += w[i] * math.Exp(v-top)
		}
	}
	return top + math.Log(sum)
}

// logNormalCDF returns log Φ(z). Far left, where Φ is too small for a float64,
// it uses the asymptotic series of Abramowitz & Stegun 26.2.12.
func logNormalCDF(z float64) float64 {
	if z > -20 {
		return math.Log(0.5 * math.Erfc(-z/math.Sqrt2))
	}
	u := 1 / (z * z)
	return -z*z/2 - math.Log(-z) - 0.5*math.Log(2*math.Pi) + math.Log1p(-u*(1-3*u*(1-5*u)))
}

// stirlingError returns δ(z) = log Γ(z) − [(z−½)·log z − z + ½·log 2π], what
// Stirling's formula lacks (Loader, "Fast and accurate computation of binomial
// probabilities", 2000). Written with it, the terms of log Γ that are as large
// as the counts cancel on paper instead of in floating point.
func stirlingError(z float64) float64 {
	if z < 15 {
		lg, _ := math.Lgamma(z)
		return lg - ((z-0.5)*math.Log(z) - z + 0.5*math.Log(2*math.Pi))
	}
	// Abramowitz & Stegun 6.1.41; the term left out is below 2e-14 from 15 on.
	u := 1 / (z * z)
	return (1./12 - u*(1./360-u*(1./1260-u*(1./1680-u/1188)))) / z
}

// bisect returns a point within one float64 step, or 100 halvings, of where f
// changes its sign between lo and hi, on the side of hi. It assumes that f has
// one sign at lo and the other one at hi.
func bisect(lo, hi float64, f func(float64) float64) float64 {
	negative := math.Signbit(f(lo))
	for range 100 {
		mid := lo + (hi-lo)/2
		if mid == lo || mid == hi {
			break
		}
		if math.Signbit(f(mid)) == negative {
			lo = mid
		} else {
			hi = mid
		}
	}
	return hi
}
