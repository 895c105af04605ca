package mannwhitney

import "math"

// Classification is what a metric is found to be.
type Classification string

// The classifications, by Kayenta's names.
const (
	// Pass: no change that matters was found.
	Pass Classification = "Pass"
	// High: the experiment is above the control.
	High Classification = "High"
	// Low: the experiment is below the control.
	Low Classification = "Low"
	// Nodata: one of the sides is empty.
	Nodata Classification = "Nodata"
	// NodataFailMetric: one of the sides is empty, and must not be.
	NodataFailMetric Classification = "NodataFailMetric"
	// Error: the metric can't be judged.
	Error Classification = "Error"
)

// Verdict is what is found about a metric, with the numbers behind it.
type Verdict struct {
	Classification Classification `json:"classification"`
	// Critical verdicts fail all metrics that are judged together.
	Critical bool `json:"critical"`
	// Reason is a sentence for a person.
	Reason string `json:"reason"`
	// Deviation is the ratio of the means; 1 where the sides were not compared,
	// NaN where a mean is zero.
	Deviation Number `json:"deviation"`
	// Effect is the size of the change; nil where the sides were not compared.
	Effect *EffectSize `json:"effect"`
	// Shift is what the test found; nil where the sides were not compared.
	Shift      *Shift  `json:"shift"`
	Control    Summary `json:"control"`
	Experiment Summary `json:"experiment"`
}

// EffectSize is the size of a change in a measure.
type EffectSize struct {
	Measure Measure `json:"measure"`
	Size    Number  `json:"size"`
}

// Summary describes the values of one side as they were compared: after NaN and
// outliers were removed or replaced. All but the counts are NaN for no values.
type Summary struct {
	Count   int    `json:"count"`
	Removed int    `json:"removed"`
	Min     Number `json:"min"`
	Max     Number `json:"max"`
	Mean    Number `json:"mean"`
	// StdDev is that of a sample.
	StdDev Number `json:"stdDev"`
}

func summarize(values []float64, given int) Summary {
	s := Summary{Count: len(values), Removed: given - len(values), Min: Number(math.NaN()), Max: Number(math.NaN()), Mean: Number(math.NaN()), StdDev: Number(math.NaN())}
	if len(values) == 0 {
		return s
	}
	low, high := extent(values)
	s.Min, s.Max = Number(low), Number(high)
	s.Mean, s.StdDev = Number(mean(values)), Number(stdDev(values))
	return s
}
