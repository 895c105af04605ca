package sequential

import "math"

// Threshold returns log 1/α: the log e-value that an e-process reaches under its
// null hypothesis, ever, with a probability of at most α (Ville's inequality).
func Threshold(alpha float64) float64 { return -math.Log(alpha) }

// PValue returns the p-value that is valid at any time, 1/max E, from the largest
// log E so far.
func PValue(maxLogE float64) float64 { return math.Exp(-max(maxLogE, 0)) }

// Average returns the log of the weighted mean of e-values. The mean of e-values
// is one, whatever their dependence (Vovk & Wang, "E-values: calibration,
// combination and applications", Annals of Statistics 49 (2021), prop. 3.1), so
// any number of metrics and buckets shares one α without a Bonferroni factor for
// each, as long as the weights were fixed before. Nil weights are equal ones. The
// average of nothing is 0, that is E = 1: no evidence.
func Average(logE, weights []float64) float64 {
	if len(logE) == 0 {
		return 0
	}
	if weights == nil {
		return logSumExp(logE, nil) - math.Log(float64(len(logE)))
	}
	total := 0.0
	for _, w := range weights {
		total += w
	}
	return logSumExp(logE, weights) - math.Log(total)
}
