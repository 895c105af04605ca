package sequential

import (
	"errors"
	"fmt"
	"math"
)

// MeanArgs are the arguments of the primitive "mean". Either Values or all of
// Count, Mean and StdDev are required.
type MeanArgs struct {
	// Values are the observations.
	Values []float64 `json:"values"`
	// Count, Mean and StdDev sum the observations up.
	Count  *float64 `json:"count"`
	Mean   *float64 `json:"mean"`
	StdDev *float64 `json:"stdDev"`
	// Alpha is the error probability over all times. Between 0 and 1, default 0.05.
	Alpha float64 `json:"alpha"`
	// TOpt is t*, the number of observations that the interval is tuned for. Above
	// 0, default 100.
	TOpt float64 `json:"tOpt"`
	// BurnIn is the number of observations from which the interval may be
	// believed. At least 2, default 30.
	BurnIn float64 `json:"burnIn"`
	// Null is a mean to test. Optional.
	Null *float64 `json:"null"`
}

// MeanResult is the result of the primitive "mean".
type MeanResult struct {
	Count  float64 `json:"count"`
	Mean   float64 `json:"mean"`
	StdDev float64 `json:"stdDev"`
	// Rho is the mixture's ρ.
	Rho float64 `json:"rho"`
	// HalfWidth is null while nothing is known about the variance.
	HalfWidth *float64 `json:"halfWidth"`
	// Interval holds the means that the observations don't contradict.
	Interval Interval `json:"interval"`
	// Ready tells whether the burn-in is over; before, the numbers are no promise.
	Ready bool `json:"ready"`
	// LogE is the log e-value against the mean Null, and LogEAbove against a mean
	// of at most Null; both are null without one.
	LogE      *float64 `json:"logE"`
	LogEAbove *float64 `json:"logEAbove"`
}

func defaultMeanArgs() MeanArgs {
	return MeanArgs{Alpha: 0.05, TOpt: 100, BurnIn: DefaultBurnIn}
}

func (a MeanArgs) compute() (MeanResult, error) {
	gauss, err := NewGauss(a.TOpt, a.Alpha)
	if err != nil {
		return MeanResult{}, err
	}
	if !(a.BurnIn >= 2) {
		return MeanResult{}, fmt.Errorf("burnIn must be at least 2, got %v", a.BurnIn)
	}
	m, err := a.mean()
	if err != nil {
		return MeanResult{}, err
	}
	result := MeanResult{
		Count: m.Count, Mean: m.Mean, StdDev: m.StdDev(), Rho: math.Sqrt(gauss.rho2),
		HalfWidth: finite(m.HalfWidth(a.Alpha, gauss)),
		Interval:  m.Interval(a.Alpha, gauss),
		Ready:     m.Count >= a.BurnIn && m.StdDev() > 0,
	}
	if a.Null != nil {
		if err := checkObservation("null", *a.Null); err != nil {
			return MeanResult{}, err
		}
		result.LogE, result.LogEAbove = finite(m.LogE(*a.Null, gauss)), finite(m.LogEAbove(*a.Null, gauss))
	}
	return result, nil
}

// mean sums the observations up.
func (a MeanArgs) mean() (Mean, error) {
	summed := a.Count != nil && a.Mean != nil && a.StdDev != nil
	if some := a.Count != nil || a.Mean != nil || a.StdDev != nil; some != summed || summed == (a.Values != nil) {
		return Mean{}, errors.New("either values or count, mean and stdDev are required")
	}
	var m Mean
	for i, v := range a.Values {
		if err := m.Observe(v); err != nil {
			return Mean{}, fmt.Errorf("values[%d]: %w", i, err)
		}
	}
	if !summed {
		return m, nil
	}
	if err := errors.Join(checkCount("count", *a.Count), checkObservation("mean", *a.Mean), checkObservation("stdDev", *a.StdDev)); err != nil {
		return Mean{}, err
	}
	if *a.StdDev < 0 {
		return Mean{}, fmt.Errorf("stdDev must not be below 0, got %v", *a.StdDev)
	}
	return Mean{Count: *a.Count, Mean: *a.Mean, Squares: *a.StdDev * *a.StdDev * max(*a.Count-1, 0)}, nil
}
