package main

import "gonum.org/v1/gonum/stat/distuv"

// share is a number of runs out of all of them.
type share struct{ hits, runs int }

func (s share) rate() float64 {
	if s.runs == 0 {
		return 0
	}
	return float64(s.hits) / float64(s.runs)
}

// interval is that of Clopper and Pearson with 95 % confidence (Biometrika 26,
// 1934), which is never too narrow.
func (s share) interval() (lower, upper float64) {
	const tail = 0.025
	k, n := float64(s.hits), float64(s.runs)
	lower, upper = 0, 1
	if s.hits > 0 {
		lower = distuv.Beta{Alpha: k, Beta: n - k + 1}.Quantile(tail)
	}
	if s.hits < s.runs {
		upper = distuv.Beta{Alpha: k + 1, Beta: n - k}.Quantile(1 - tail)
	}
	return lower, upper
}
