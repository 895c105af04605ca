package mannwhitney

import "math"

// effectSize measures how large the change from control to experiment is.
func effectSize(m Measure, control, experiment []float64) float64 {
	if m == CLES {
		return cles(newSides(experiment, control))
	}
	return meanRatio(control, experiment)
}

// meanRatio is NaN where a mean is zero, and there is no ratio to speak of.
func meanRatio(control, experiment []float64) float64 {
	c, e := mean(control), mean(experiment)
	if c == 0 || e == 0 {
		return math.NaN()
	}
	return e / c
}

// cles is the share of pairs in which the experiment is above the control, ties
// counting half: A = (2·R − m(m+1)) / 2mn with the experiment's rank sum R
// (Vargha and Delaney, A Critique and Improvement of the CL Common Language
// Effect Size Statistics of McGraw and Wong, 2000).
func cles(s sides) float64 {
	rankSum, _ := s.rank(0)
	m, n := s.sizes()
	return (2*rankSum - m*(m+1)) / (2 * m * n)
}

// mean corrects the rounding of the sum by a second pass over the residuals, as
// Apache Commons Math does: ratios are compared with bounds that they may meet
// exactly.
func mean(values []float64) float64 {
	n := float64(len(values))
	var sum, rest float64
	for _, v := range values {
		sum += v
	}
	about := sum / n
	for _, v := range values {
		rest += v - about
	}
	return about + rest/n
}

// stdDev is that of a sample, by the corrected two-pass algorithm (Chan, Golub
// and LeVeque, Algorithms for Computing the Sample Variance, 1983); 0 for a
// single value.
func stdDev(values []float64) float64 {
	if len(values) == 1 {
		return 0
	}
	n, about := float64(len(values)), mean(values)
	var squares, rest float64
	for _, v := range values {
		squares += (v - about) * (v - about)
		rest += v - about
	}
	return math.Sqrt((squares - rest*rest/n) / (n - 1))
}
