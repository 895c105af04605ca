package mannwhitney

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Direction says which change of a metric is bad.
type Direction string

// The directions. Either is the default.
const (
	Increase Direction = "increase"
	Decrease Direction = "decrease"
	Either   Direction = "either"
)

// NaNStrategy says what becomes of values that are not a number.
type NaNStrategy string

// The strategies for NaN. RemoveNaN, the default, drops them: they are gaps.
// ReplaceNaN takes them for zero, as fits counts of rare events, and takes a
// side without any value for no reason to complain.
const (
	RemoveNaN  NaNStrategy = "remove"
	ReplaceNaN NaNStrategy = "replace"
)

// OutlierStrategy says what becomes of values far away from the others of their
// side.
type OutlierStrategy string

// The strategies for outliers. KeepOutliers is the default.
const (
	KeepOutliers   OutlierStrategy = "keep"
	RemoveOutliers OutlierStrategy = "remove"
)

// Measure says how the size of a change is measured.
type Measure string

// The measures. MeanRatio, the default, is the experiment's mean over the
// control's. CLES, the common language effect size, is the probability that a
// value of the experiment is above one of the control.
const (
	MeanRatio Measure = "meanRatio"
	CLES      Measure = "cles"
)

// Effect is the least size that a significant change must have to matter. The
// increases are reached from below, the decreases from above.
type Effect struct {
	Measure         Measure
	AllowedDecrease float64
	AllowedIncrease float64
	// The critical ones decide whether a critical metric fails all others.
	CriticalDecrease float64
	CriticalIncrease float64
}

// DefaultEffect lets every significant change matter: its bounds are the size of
// no change, which is 1 for MeanRatio and 0.5 for CLES.
func DefaultEffect(m Measure) Effect {
	none := 1.0
	if m == CLES {
		none = 0.5
	}
	return Effect{Measure: m, AllowedDecrease: none, AllowedIncrease: none, CriticalDecrease: none, CriticalIncrease: none}
}

// Config says how a metric is judged.
type Config struct {
	Direction Direction
	NaN       NaNStrategy
	Outliers  OutlierStrategy
	// OutlierFactor is the distance to the quartiles, in interquartile ranges,
	// from which on a value is an outlier.
	OutlierFactor float64
	// Critical metrics fail all others with them.
	Critical bool
	// MustHaveData makes a side without data a failure of the metric.
	MustHaveData bool
	// Tolerance is the share of the estimated shift that the whole confidence
	// interval must be beyond.
	Tolerance float64
	// Confidence is that of the interval, two-sided, from 0 to 1.
	Confidence float64
	Effect     Effect
}

// DefaultConfig is what Kayenta's NetflixACAJudge-v1.0 has built in or takes
// where nothing is set.
func DefaultConfig() Config {
	return Config{
		Direction:     Either,
		NaN:           RemoveNaN,
		Outliers:      KeepOutliers,
		OutlierFactor: 3,
		Tolerance:     0.25,
		Confidence:    0.98,
		Effect:        DefaultEffect(MeanRatio),
	}
}

// Validate tells the first setting that nothing can be judged with. Names are
// those of the input files.
func (c Config) Validate() error {
	for _, check := range []error{
		oneOf("direction", c.Direction, Increase, Decrease, Either),
		oneOf("nan", c.NaN, RemoveNaN, ReplaceNaN),
		oneOf("outliers", c.Outliers, KeepOutliers, RemoveOutliers),
		oneOf("effectSize.measure", c.Effect.Measure, MeanRatio, CLES),
		within("outlierFactor", c.OutlierFactor, math.SmallestNonzeroFloat64, math.MaxFloat64),
		within("tolerance", c.Tolerance, 0, math.MaxFloat64),
		within("confidence", c.Confidence, 0, 1),
		within("effectSize.allowedDecrease", c.Effect.AllowedDecrease, math.Inf(-1), math.Inf(1)),
		within("effectSize.allowedIncrease", c.Effect.AllowedIncrease, math.Inf(-1), math.Inf(1)),
		within("effectSize.criticalDecrease", c.Effect.CriticalDecrease, math.Inf(-1), math.Inf(1)),
		within("effectSize.criticalIncrease", c.Effect.CriticalIncrease, math.Inf(-1), math.Inf(1)),
	} {
		if check != nil {
			return check
		}
	}
	return nil
}

func oneOf[T ~string](name string, got T, want ...T) error {
	if slices.Contains(want, got) {
		return nil
	}
	var names []string
	for _, w := range want {
		names = append(names, string(w))
	}
	return fmt.Errorf("%s is %q, want one of %s", name, got, strings.Join(names, ", "))
}

func within(name string, got, low, high float64) error {
	switch {
	case got >= low && got <= high:
		return nil
	case high == 1:
		return fmt.Errorf("%s is %v, want a number from %v to %v", name, got, low, high)
	case low == 0:
		return fmt.Errorf("%s is %v, want a finite number that is not negative", name, got)
	case low > 0:
		return fmt.Errorf("%s is %v, want a finite number above 0", name, got)
	}
	return fmt.Errorf("%s is %v, want a number", name, got)
}
