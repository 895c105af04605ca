package main

import (
	"math"
	"slices"
)

// How the knob of each judge is set, to compare them.
type calibration int

const (
	// asIs is as people set it.
	asIs calibration = iota
	// own has the rate of false halts in the very setting, as if it was known.
	own
	// mean has the rate of false halts over all settings together.
	mean
	// worst has at most the rate of false halts in each setting.
	worst
	calibrations
)

func (c calibration) String() string {
	return [...]string{"as set up", "own setting", "mean of settings", "worst setting"}[c]
}

// calibrate returns the lowest knob above which at most a rate of the final
// evidences is. It is never if nothing else does.
func calibrate(finals []float64, rate float64) float64 {
	sorted := slices.Sorted(slices.Values(finals))
	allowed := int(rate * float64(len(sorted)))
	if allowed >= len(sorted) {
		return math.Inf(-1)
	}
	return sorted[len(sorted)-1-allowed]
}

// knobs are the settings of one judge's knob.
type knobs struct {
	own         []float64 // by the index of the setting
	mean, worst float64
	// hopeless are the indexes of settings in which no knob helps. They don't
	// count for the others, to the judge's favour.
	hopeless []int
}

// calibrateAll takes the final evidences of one judge by setting, and which of
// the settings count for the others.
func calibrateAll(finals [][]float64, counts func(setting int) bool, rate float64) knobs {
	k := knobs{worst: math.Inf(-1)}
	var pooled []float64
	for i, f := range finals {
		knob := calibrate(f, rate)
		k.own = append(k.own, knob)
		if math.IsInf(knob, 1) {
			k.hopeless = append(k.hopeless, i)
			continue
		}
		if !counts(i) {
			continue
		}
		k.worst = max(k.worst, knob)
		pooled = append(pooled, f...)
	}
	k.mean = calibrate(pooled, rate)
	return k
}
