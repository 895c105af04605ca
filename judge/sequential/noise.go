package sequential

import (
	"fmt"
	"math"
)

// Noise is what two sides of the same version differ by beyond chance: the
// long-run variance, per look, of the log of their rate ratio. Requests are not
// independent, and what makes one look noisy lasts into the next ones; a test
// that ignores it takes the node's mood for the release.
type Noise struct {
	Variance float64 `json:"variance"`
	// Lasting is how much of it lasts from one look to the next, the coefficient of
	// an AR(1) process; 0 if that isn't known, or nothing does.
	Lasting float64 `json:"lasting,omitempty"`
	// Incident says that a stretch of the history was left out, since it was many
	// times as noisy as the rest.
	Incident bool `json:"incident,omitempty"`
}

// maxLasting keeps a noise from being one that never ends.
const maxLasting = 0.95

// Lasting returns a noise of a standard deviation at a single look of which a part,
// below 1, lasts to the next.
func Lasting(stdDev, part float64) Noise {
	return Noise{Variance: stdDev * stdDev * (1 + part) / (1 - part), Lasting: part}
}

// single returns the noise's variance at a single look.
func (n Noise) single() float64 {
	return max(0, n.Variance) * (1 - n.Lasting) / (1 + n.Lasting)
}

// minBlocks is the number of blocks below which their variance says nothing.
const minBlocks = 12

// EstimateNoise estimates the noise from a history of looks at two sides that ran
// the same version. It merges the looks to blocks of 1, 2, 4, … looks, up to a
// twelfth of the history, and takes the block length that shows the most: if a
// block of l looks has d = x_e − θN bad events too many on the one side, with the
// information I = N·θ(1−θ), then E[d²] = I + I²·v/l defines the variance v (batch
// means of the score; McCullagh & Nelder, "Generalized linear models", 1989,
// section 4.5, for the form of the variance). Nothing is centred: a standing
// difference between the sides is noise as well.
//
// Noise that lasts longer than the longest block is underestimated: a block should
// be some ten times as long as the noise takes to fade. The second result is false
// if fewer than 12 looks have bad events, so that nothing can be said.
func EstimateNoise(history []Look) (Noise, bool) {
	informative := 0
	for _, l := range history {
		if !l.silent() {
			informative++
		}
	}
	noise, longest := Noise{}, len(history)/minBlocks
	for length := 1; length < longest; length *= 2 {
		noise.Variance = max(noise.Variance, blockVariance(history, length))
	}
	if longest > 0 {
		noise.Variance = max(noise.Variance, blockVariance(history, longest))
	}
	return noise, informative >= minBlocks
}

// blockVariance returns v as blocks of one length show it.
func blockVariance(history []Look, length int) float64 {
	excess, squares := 0.0, 0.0
	for start := 0; start+length <= len(history); start += length {
		surplus, information := 0.0, 0.0
		for _, l := range history[start : start+length] {
			if l.silent() {
				continue
			}
			events := l.Experiment.Bad + l.Control.Bad
			share := l.Experiment.Total / (l.Experiment.Total + l.Control.Total)
			surplus += l.Experiment.Bad - events*share
			information += events * share * (1 - share)
		}
		excess += surplus*surplus - information
		squares += information * information
	}
	if squares == 0 {
		return 0
	}
	return max(0, float64(length)*excess/squares)
}

// Dispersion returns the factor, at least 1, by which a look's evidence is to be
// divided: 1 + I·v. The busier the look, the less its counts are worth each, since
// traffic does not average the noise out, only time does.
func (n Noise) Dispersion(l Look) float64 {
	if l.silent() {
		return 1
	}
	share := l.Experiment.Total / (l.Experiment.Total + l.Control.Total)
	return 1 + max(0, n.Variance)*(l.Experiment.Bad+l.Control.Bad)*share*(1-share)
}

// StdDev returns the standard deviation of the log of the rate ratio over so many
// looks: about the relative difference that is usual between the sides.
func (n Noise) StdDev(looks float64) float64 { return math.Sqrt(n.Variance / looks) }

// check refuses what is no noise.
func (n Noise) check() error {
	if !(n.Variance >= 0 && n.Variance <= maxObservation && n.Lasting >= 0 && n.Lasting < 1) {
		return fmt.Errorf("noise must have a variance of at least 0 that lasts for a part of it, got %+v", n)
	}
	return nil
}
