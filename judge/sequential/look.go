package sequential

import (
	"errors"
	"fmt"
	"math"
)

// Sample is what one side did since the look before.
type Sample struct {
	// Bad is the number of bad events, such as errors, or requests slower than
	// the edge of a bucket.
	Bad float64 `json:"bad"`
	// Total is the number of requests.
	Total float64 `json:"total"`
}

// Look is one aligned observation of both sides.
type Look struct {
	Experiment Sample `json:"experiment"`
	Control    Sample `json:"control"`
}

// UnmarshalJSON reads a look and refuses one that lacks a number or has another
// field: a side that is missing by mistake must not pass for one without traffic.
func (l *Look) UnmarshalJSON(data []byte) error {
	type side struct {
		Bad   *float64 `json:"bad"`
		Total *float64 `json:"total"`
	}
	var in struct {
		Experiment side `json:"experiment"`
		Control    side `json:"control"`
	}
	if err := decode(data, &in); err != nil {
		return fmt.Errorf("look: %w", err)
	}
	if err := errors.Join(
		required("experiment.bad", in.Experiment.Bad != nil),
		required("experiment.total", in.Experiment.Total != nil),
		required("control.bad", in.Control.Bad != nil),
		required("control.total", in.Control.Total != nil),
	); err != nil {
		return fmt.Errorf("look: %w", err)
	}
	*l = Look{Sample{*in.Experiment.Bad, *in.Experiment.Total}, Sample{*in.Control.Bad, *in.Control.Total}}
	return nil
}

// check refuses what can't be counted.
func (l Look) check() error {
	if l.Experiment.sound() && l.Control.sound() {
		return nil
	}
	for _, side := range []struct {
		name string
		Sample
	}{{"experiment", l.Experiment}, {"control", l.Control}} {
		if err := errors.Join(
			checkCount(side.name+".bad", side.Bad),
			checkCount(side.name+".total", side.Total),
		); err != nil {
			return err
		}
		if side.Bad > side.Total {
			return fmt.Errorf("%s.bad must not be above %s.total, got %v of %v", side.name, side.name, side.Bad, side.Total)
		}
	}
	return nil
}

// sound tells whether check has nothing to say, which is nearly always.
func (s Sample) sound() bool { return s.Bad >= 0 && s.Bad <= s.Total && s.Total <= maxCount }

// silent tells whether the look can't say anything about a ratio.
func (l Look) silent() bool {
	return l.Experiment.Total == 0 || l.Control.Total == 0 || l.Experiment.Bad+l.Control.Bad == 0
}

// logRatio returns the log-likelihood ratio of the rate ratio r against r0,
//
//	x_e·log(r/r₀) − (x_e+x_c)·log((r·n_e + n_c)/(r₀·n_e + n_c)),
//
// of the share θ(r) = r·n_e/(r·n_e + n_c) that the experiment has in all bad
// events, given their number. logStep is log(r/r₀).
func (l Look) logRatio(r, r0, logStep float64) float64 {
	ne, nc := l.Experiment.Total, l.Control.Total
	return l.Experiment.Bad*logStep - (l.Experiment.Bad+l.Control.Bad)*math.Log1p((r-r0)*ne/(r0*ne+nc))
}

// LogRatio returns the log-likelihood ratio of the rate ratio r against r0, that
// Counts describes; 0 if the look says nothing.
func (l Look) LogRatio(r, r0 float64) float64 {
	if l.silent() {
		return 0
	}
	return l.logRatio(r, r0, math.Log(r/r0))
}

// expected returns the look with the bad events that are to be expected at its
// control's rate and a given ratio.
func (l Look) expected(ratio float64) Look {
	rate := l.Control.Bad / l.Control.Total
	l.Experiment.Bad = ratio * rate * l.Experiment.Total
	return l
}
