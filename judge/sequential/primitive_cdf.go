package sequential

import (
	"errors"
	"fmt"
)

// CDFArgs are the arguments of the primitive "cdf". Either T or Cumulative is
// required.
type CDFArgs struct {
	// T is the number of observations so far.
	T *float64 `json:"t"`
	// Cumulative are the counts of a histogram as Prometheus has them: the
	// observations at or below each edge, the last one of all observations.
	Cumulative []float64 `json:"cumulative"`
	// Alpha is the error probability over all times and values. Between 0 and 1,
	// default 0.05.
	Alpha float64 `json:"alpha"`
	// TMin is the number of observations from which the band is to hold. At least
	// 1, default 1.
	TMin float64 `json:"tMin"`
	// Tight takes the smallest constant that the theorem allows instead of its
	// closed form. Default false.
	Tight bool `json:"tight"`
}

// CDFResult is the result of the primitive "cdf".
type CDFResult struct {
	// HalfWidth is the band's half-width, null before TMin.
	HalfWidth *float64 `json:"halfWidth"`
	// Constant is C in 0.85·√((log log(e·t/tMin) + C)/t).
	Constant float64 `json:"constant"`
	// Shares are the empirical shares at the edges of Cumulative, with Bands
	// around them.
	Shares []float64  `json:"shares,omitempty"`
	Bands  []Interval `json:"bands,omitempty"`
}

func defaultCDFArgs() CDFArgs { return CDFArgs{Alpha: 0.05, TMin: 1} }

func (a CDFArgs) compute() (CDFResult, error) {
	makeBand := NewBand
	if a.Tight {
		makeBand = NewTightBand
	}
	band, err := makeBand(a.TMin, a.Alpha)
	if err != nil {
		return CDFResult{}, err
	}
	t, err := a.total()
	if err != nil {
		return CDFResult{}, err
	}
	result := CDFResult{HalfWidth: finite(band.HalfWidth(t)), Constant: band.constant}
	if t == 0 {
		return result, nil
	}
	for _, below := range a.Cumulative {
		result.Shares = append(result.Shares, below/t)
		result.Bands = append(result.Bands, band.Around(below, t))
	}
	return result, nil
}

// total returns the number of observations.
func (a CDFArgs) total() (float64, error) {
	switch {
	case (a.T == nil) == (len(a.Cumulative) == 0):
		return 0, errors.New("either t or cumulative is required")
	case a.T != nil:
		return *a.T, checkCount("t", *a.T)
	}
	before := 0.0
	for i, below := range a.Cumulative {
		if err := checkCount(fmt.Sprintf("cumulative[%d]", i), below); err != nil {
			return 0, err
		}
		if below < before {
			return 0, fmt.Errorf("cumulative must not fall, got %v after %v at [%d]", below, before, i)
		}
		before = below
	}
	return before, nil
}
