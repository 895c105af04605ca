// Package sequential holds tests and intervals that may be looked at any time:
// their error bound α holds over all looks together, however many there are and
// whatever makes one stop.
//
// Tests are e-processes. Under the null hypothesis an e-process E has an
// expectation of at most 1 at every stopping time, so that it ever reaches 1/α
// with a probability of at most α (Ville 1939). Everything is kept as log E,
// which neither overflows nor vanishes. Intervals are confidence sequences: the
// truth is inside all of them at once with a probability of at least 1−α.
//
// The package is mathematics without I/O and without time. Its states are a few
// numbers with JSON tags, so that evidence survives a restart; none of them is
// safe for concurrent use.
package sequential

import (
	"encoding/json"
	"fmt"
	"math"
)

// Interval is what a confidence sequence says at one look, both ends included.
// An end that is not known yet is infinite.
type Interval struct {
	Lower, Upper float64
}

// Contains tells whether v is in the interval.
func (i Interval) Contains(v float64) bool { return i.Lower <= v && v <= i.Upper }

// MarshalJSON writes {"lower":…,"upper":…} with null for an infinite end, which
// JSON can't say.
func (i Interval) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Lower *float64 `json:"lower"`
		Upper *float64 `json:"upper"`
	}{finite(i.Lower), finite(i.Upper)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (i *Interval) UnmarshalJSON(data []byte) error {
	var ends struct{ Lower, Upper *float64 }
	if err := json.Unmarshal(data, &ends); err != nil {
		return err
	}
	*i = Interval{Lower: math.Inf(-1), Upper: math.Inf(1)}
	if ends.Lower != nil {
		i.Lower = *ends.Lower
	}
	if ends.Upper != nil {
		i.Upper = *ends.Upper
	}
	return nil
}

// finite returns nil for what JSON has no number for.
func finite(v float64) *float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return nil
	}
	return &v
}

// checkAlpha refuses what is no error probability.
func checkAlpha(name string, alpha float64) error {
	if !(alpha > 0 && alpha < 1) {
		return fmt.Errorf("%s must be between 0 and 1, both excluded, got %v", name, alpha)
	}
	return nil
}

// checkAbove refuses v unless it is finite and above the bound.
func checkAbove(name string, v, bound float64) error {
	if !(v > bound) || math.IsInf(v, 0) {
		return fmt.Errorf("%s must be a finite number above %v, got %v", name, bound, v)
	}
	return nil
}

// checkCount refuses v unless it is a count that a float64 holds exactly.
// Fractions are allowed, since Prometheus extrapolates increases.
func checkCount(name string, v float64) error {
	if !(v >= 0 && v <= maxCount) {
		return fmt.Errorf("%s must be between 0 and %d, got %v", name, int64(maxCount), v)
	}
	return nil
}

// maxCount is where float64 stops to hold every integer.
const maxCount = 1 << 53
