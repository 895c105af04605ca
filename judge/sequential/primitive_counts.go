package sequential

import (
	"errors"
	"fmt"
	"math"
)

// CountsArgs are the arguments of the primitive "counts".
type CountsArgs struct {
	// Null is r₀, the rate ratio of experiment to control that is allowed. Above
	// 0, default 1.
	Null float64 `json:"null"`
	// Grid holds the ratios r_k that are mixed, all above Null (or all below, to
	// test the other side). Default DefaultGrid(Null).
	Grid []float64 `json:"grid"`
	// Weights are the prior weights w_k of Grid, scaled to a sum of 1. Default
	// equal.
	Weights []float64 `json:"weights"`
	// Alpha is the false-alarm probability. Between 0 and 1, default 0.05.
	Alpha float64 `json:"alpha"`
	// Dispersion is κ, which divides the log-increments. At least 1, default 1.
	Dispersion float64 `json:"dispersion"`
	// Looks are the observations in the order of time: events and requests since
	// the look before. Required.
	Looks []Look `json:"looks"`
}

// CountsResult is the result of the primitive "counts".
type CountsResult struct {
	// E is the e-value after the last look, null if no float64 holds it.
	E *float64 `json:"e"`
	// LogE is its natural logarithm.
	LogE float64 `json:"logE"`
	// MaxLogE is the largest one so far, at least 0.
	MaxLogE float64 `json:"maxLogE"`
	// P is the p-value that is valid at any time, 1/max E.
	P float64 `json:"p"`
	// Alarm tells whether E ever reached 1/Alpha.
	Alarm bool `json:"alarm"`
	// AlarmAt is the first look that did, counted from 1; 0 for none.
	AlarmAt int `json:"alarmAt"`
	// Path is LogE after each look.
	Path []float64 `json:"path"`
}

func defaultCountsArgs() CountsArgs { return CountsArgs{Null: 1, Alpha: 0.05, Dispersion: 1} }

func (a CountsArgs) compute() (CountsResult, error) {
	if err := errors.Join(checkAlpha("alpha", a.Alpha), checkDispersion(a.Dispersion), required("looks", a.Looks != nil)); err != nil {
		return CountsResult{}, err
	}
	c, err := NewCounts(a.Null, a.Grid, a.Weights)
	if err != nil {
		return CountsResult{}, err
	}
	result := CountsResult{Path: make([]float64, len(a.Looks))}
	for i, look := range a.Looks {
		if err := c.Observe(look, a.Dispersion); err != nil {
			return CountsResult{}, fmt.Errorf("looks[%d]: %w", i, err)
		}
		result.Path[i] = c.LogE()
		if result.AlarmAt == 0 && c.LogE() >= Threshold(a.Alpha) {
			result.AlarmAt = i + 1
		}
	}
	result.LogE, result.MaxLogE = c.LogE(), c.Max
	result.E, result.P = finite(math.Exp(result.LogE)), PValue(c.Max)
	result.Alarm = result.AlarmAt > 0
	return result, nil
}
