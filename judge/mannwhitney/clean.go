package mannwhitney

import (
	"math"
	"math/rand/v2"
	"slices"
)

// clean returns the values to compare, in their order: first NaN, then outliers
// are dealt with.
func clean(c Config, values []float64) []float64 {
	values = slices.Clone(values)
	if c.NaN == ReplaceNaN {
		for i, v := range values {
			if math.IsNaN(v) {
				values[i] = 0
			}
		}
	} else {
		values = slices.DeleteFunc(values, math.IsNaN)
	}
	if c.Outliers == RemoveOutliers && len(values) > 0 {
		low, high := fences(values, c.OutlierFactor)
		values = slices.DeleteFunc(values, func(v float64) bool { return v < low || v > high })
	}
	return values
}

// fences are those of Tukey (Exploratory Data Analysis, 1977, section 2D), moved
// outwards to the first and last percentile where these are farther away: of
// many values some always are far out.
func fences(values []float64, factor float64) (low, high float64) {
	sorted := slices.Sorted(slices.Values(values))
	q1, q3 := quantile(sorted, 0.25), quantile(sorted, 0.75)
	reach := factor * (q3 - q1)
	// math.Min and math.Max, since a fence of NaN, which infinite values lead
	// to, must not let the percentile win.
	return math.Min(quantile(sorted, 0.01), q1-reach), math.Max(quantile(sorted, 0.99), q3+reach)
}

// quantile is type 7 of Hyndman and Fan (Sample Quantiles in Statistical
// Packages, 1996): linear between the values around 1 + (n−1)p.
func quantile(sorted []float64, p float64) float64 {
	at := 1 + float64(len(sorted)-1)*p
	below := int(at)
	if below >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	low, high := sorted[below-1], sorted[below]
	return low + (at-math.Floor(at))*(high-low)
}

// constant tells whether all values are the same.
func constant(values ...float64) bool {
	return !slices.ContainsFunc(values, func(v float64) bool { return v != values[0] })
}

// noise spreads two constant sides a little, by a Gaussian of 1e-5 times their
// value, since ranks that are all tied have no variance. It is the same noise
// each time, so that a verdict can be repeated; Kayenta's differs from run to
// run. Infinite sides stay as they are.
func noise(experiment, control []float64) (x, y []float64) {
	const scale = 1e-5
	rng := rand.New(rand.NewPCG(1, 2))
	spread := func(values []float64) []float64 {
		sigma := values[0] * scale
		if math.IsInf(sigma, 0) {
			return values
		}
		noisy := make([]float64, len(values))
		for i, v := range values {
			noisy[i] = v + rng.NormFloat64()*sigma
		}
		return noisy
	}
	return spread(experiment), spread(control)
}
