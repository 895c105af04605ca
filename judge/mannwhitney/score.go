package mannwhitney

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
)

// Result is the verdict on a metric as a part of others.
type Result struct {
	Name string `json:"name"`
	// Groups are those that the metric counts in; without any, it can fail the
	// others but adds nothing.
	Groups []string `json:"groups,omitempty"`
	// Muted metrics are judged, but count nowhere.
	Muted bool `json:"muted,omitempty"`
	Verdict
}

// Grade is what a score is worth.
type Grade string

// The grades.
const (
	Passed   Grade = "Pass"
	Marginal Grade = "Marginal"
	Failed   Grade = "Fail"
)

// Thresholds are the least scores of the grades, from 0 to 100.
type Thresholds struct{ Pass, Marginal float64 }

// Score is what several metrics come to.
type Score struct {
	// Score is from 0 to 100, to two decimals.
	Score float64 `json:"score"`
	Grade Grade   `json:"grade"`
	// Reason tells why the score is 0 whatever the groups say; else it is empty.
	Reason string       `json:"reason,omitempty"`
	Groups []GroupScore `json:"groups"`
}

// GroupScore is what the metrics of one group come to.
type GroupScore struct {
	Name string `json:"name"`
	// Score is the share of metrics with data that passed, in percent; 100 where
	// none has data.
	Score float64 `json:"score"`
	// Weight is the group's share in the whole, in percent.
	Weight float64 `json:"weight"`
	// Metrics is how many are in the group, NoData how many of them were not
	// counted.
	Metrics int `json:"metrics"`
	NoData  int `json:"noData"`
}

// Sum scores the results, as Kayenta's WeightedSumScorer does. The weights are
// in percent; groups without one share evenly what the others leave. A critical
// verdict that is not Pass, or half of the metrics without data, make the score
// 0.
func Sum(results []Result, weights map[string]float64, least Thresholds) Score {
	results = slices.DeleteFunc(slices.Clone(results), func(r Result) bool { return r.Muted })
	s := Score{Groups: groups(results, weights)}
	critical := slices.IndexFunc(results, func(r Result) bool { return r.Critical && r.Classification != Pass })
	nodata := 0
	for _, r := range results {
		if r.Classification == Nodata {
			nodata++
		}
	}
	switch {
	case critical >= 0:
		s.Reason = fmt.Sprintf("%s is critical, and %s", results[critical].Name, results[critical].Classification)
	case nodata > 0 && 2*nodata >= len(results):
		s.Reason = fmt.Sprintf("%d of %d metrics have no data", nodata, len(results))
	default:
		var sum float64
		for _, g := range s.Groups {
			sum += g.Score * g.Weight / 100
		}
		s.Score = cents(sum)
	}
	switch {
	case s.Score >= least.Pass:
		s.Grade = Passed
	case s.Score >= least.Marginal:
		s.Grade = Marginal
	default:
		s.Grade = Failed
	}
	return s
}

// groups scores each group, in the order of their names.
func groups(results []Result, weights map[string]float64) []GroupScore {
	members := make(map[string][]Classification)
	for _, r := range results {
		for _, g := range r.Groups {
			members[g] = append(members[g], r.Classification)
		}
	}
	rest, without := 100.0, 0
	for _, g := range slices.Sorted(maps.Keys(weights)) {
		rest -= weights[g]
	}
	for g := range members {
		if _, ok := weights[g]; !ok {
			without++
		}
	}
	scores := make([]GroupScore, 0, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		weight, ok := weights[name]
		if !ok {
			weight = rest / float64(without)
		}
		g := GroupScore{Name: name, Score: 100, Weight: weight, Metrics: len(members[name])}
		passed, counted := 0, 0
		for _, class := range members[name] {
			switch class {
			case Pass:
				passed++
				counted++
			case High, Low, NodataFailMetric:
				counted++
			case Nodata, Error:
			}
		}
		g.NoData = g.Metrics - counted
		if counted > 0 {
			g.Score = 100 * (float64(passed) / float64(counted))
		}
		scores = append(scores, g)
	}
	return scores
}

// cents rounds to two decimals as people do: the shortest decimal of v, half
// away from zero.
func cents(v float64) float64 {
	exact, ok := new(big.Rat).SetString(strconv.FormatFloat(v, 'g', -1, 64))
	if !ok { // weights without bounds
		return v
	}
	rounded, _ := exact.Float64()
	if parsed, err := strconv.ParseFloat(exact.FloatString(2), 64); err == nil {
		rounded = parsed
	}
	return rounded
}
