package sequential

import (
	"errors"
)

// BernoulliArgs are the arguments of the primitive "bernoulli".
type BernoulliArgs struct {
	// Successes and Trials are the counts so far. Required.
	Successes *float64 `json:"successes"`
	Trials    *float64 `json:"trials"`
	// Alpha is the error probability over all times. Between 0 and 1, default 0.05.
	Alpha float64 `json:"alpha"`
	// TOpt is the number of trials that the mixture is tuned for. Above 0, default
	// 1000.
	TOpt float64 `json:"tOpt"`
	// AlphaOpt is the error probability that it is tuned for. Between 0 and 1,
	// default 0.05.
	AlphaOpt float64 `json:"alphaOpt"`
	// P is a probability to test, between 0 and 1. Optional.
	P *float64 `json:"p"`
}

// BernoulliResult is the result of the primitive "bernoulli".
type BernoulliResult struct {
	// Estimate is the share of successes, null without trials.
	Estimate *float64 `json:"estimate"`
	// Interval holds the probabilities that the trials don't contradict.
	Interval Interval `json:"interval"`
	// LogE is the log e-value against P, null without one.
	LogE *float64 `json:"logE"`
}

func defaultBernoulliArgs() BernoulliArgs {
	return BernoulliArgs{Alpha: 0.05, TOpt: 1000, AlphaOpt: 0.05}
}

func (a BernoulliArgs) compute() (BernoulliResult, error) {
	if err := errors.Join(checkAlpha("alpha", a.Alpha), required("successes", a.Successes != nil), required("trials", a.Trials != nil)); err != nil {
		return BernoulliResult{}, err
	}
	mixture, err := NewMixture(a.TOpt, a.AlphaOpt)
	if err != nil {
		return BernoulliResult{}, err
	}
	var b Bernoulli
	if err := b.Observe(*a.Successes, *a.Trials); err != nil {
		return BernoulliResult{}, err
	}
	result := BernoulliResult{Estimate: finite(b.Successes / b.Trials), Interval: b.Interval(a.Alpha, mixture)}
	if a.P != nil {
		if err := checkAlpha("p", *a.P); err != nil {
			return BernoulliResult{}, err
		}
		result.LogE = finite(b.LogE(*a.P, mixture))
	}
	return result, nil
}
