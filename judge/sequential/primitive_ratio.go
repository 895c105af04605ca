package sequential

import (
	"errors"
	"fmt"
)

// RatioArgs are the arguments of the primitive "ratio".
type RatioArgs struct {
	// Alpha is the error probability over all times. Between 0 and 1, default 0.05.
	Alpha float64 `json:"alpha"`
	// Dispersion is κ, which divides the log-increments. At least 1, default 1.
	Dispersion float64 `json:"dispersion"`
	// Null is a ratio to test. Above 0, optional.
	Null *float64 `json:"null"`
	// Looks are the observations in the order of time: events and requests since
	// the look before. Required.
	Looks []Look `json:"looks"`
}

// RatioResult is the result of the primitive "ratio".
type RatioResult struct {
	// Estimate is the likeliest ratio, null before any event.
	Estimate *float64 `json:"estimate"`
	// Interval holds the ratios that the looks don't contradict.
	Interval Interval `json:"interval"`
	// LogEAbove is the log e-value against a ratio of at most Null and LogEBelow
	// against one of at least Null; both are null without one.
	LogEAbove *float64 `json:"logEAbove"`
	LogEBelow *float64 `json:"logEBelow"`
}

func defaultRatioArgs() RatioArgs { return RatioArgs{Alpha: 0.05, Dispersion: 1} }

func (a RatioArgs) compute() (RatioResult, error) {
	if err := errors.Join(checkAlpha("alpha", a.Alpha), checkDispersion(a.Dispersion), required("looks", a.Looks != nil)); err != nil {
		return RatioResult{}, err
	}
	r := NewRatio()
	for i, look := range a.Looks {
		if err := r.Observe(look, a.Dispersion); err != nil {
			return RatioResult{}, fmt.Errorf("looks[%d]: %w", i, err)
		}
	}
	result := RatioResult{Interval: r.Interval(a.Alpha)}
	if estimate, ok := r.Estimate(); ok {
		result.Estimate = &estimate
	}
	if a.Null != nil {
		if err := checkAbove("null", *a.Null, 0); err != nil {
			return RatioResult{}, err
		}
		result.LogEAbove, result.LogEBelow = finite(r.LogEAbove(*a.Null)), finite(r.LogEBelow(*a.Null))
	}
	return result, nil
}
