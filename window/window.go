// Package window tells whether a rollout may go on now, by days, times of day and
// freezes, and if not, when.
//
// What counts is what a clock on the wall of the window's time zone shows. Where
// that clock is put forward over the time at which a window opens, the window
// opens at that moment; where it is put back, what it shows twice holds twice.
package window

import (
	"time"

	// The zones must be known wherever a replica runs, also where the system has no
	// time zone database, as in most containers.
	_ "time/tzdata"

	"switchd/spec"
)

// Horizon is how far At looks for the next change. One that is further away is
// none.
const Horizon = 2 * 366 * 24 * time.Hour

// State is what a window says at one moment.
type State struct {
	Open bool
	// Changes is when that changes: when a closed window opens, when an open one
	// closes; zero: not within Horizon.
	Changes time.Time
	// Why is one sentence, such as "outside of mon-fri 09:00-17:00 Europe/Berlin" or
	// the freeze's reason.
	Why string
}

// At is the window's state at a time. It is pure but for the time zone database.
// An error names what of the window can't be read.
func At(w spec.Window, now time.Time) (State, error) {
	h, err := read(w)
	if err != nil {
		return State{}, err
	}
	wall := wallAt(now, h.zone)
	s := State{Open: h.open(wall), Changes: h.changes(now)}
	frozen := h.frozen(wall)
	switch {
	case s.Open:
		s.Why = "within " + h.words
	case frozen != nil:
		s.Why = frozen.words(h.zone)
	default:
		s.Why = "outside of " + h.words
	}
	if !s.Open && s.Changes.IsZero() {
		s.Why += "; it does not open within two years"
	}
	return s, nil
}

// changes is the first moment after now at which the window opens or closes, zero
// if there is none within Horizon.
//
// Between two changes of the zone's offset the clock on the wall goes evenly, so
// that something can only happen at the edges of hours, days and freezes, and at
// the change of the offset itself.
func (h hours) changes(now time.Time) time.Time {
	open := h.open(wallAt(now, h.zone))
	for at := now; at.Sub(now) <= Horizon; {
		wall := wallAt(at, h.zone)
		next := time.Unix(at.Unix()+int64(h.edge(wall)-wall), 0)
		if _, end := at.In(h.zone).ZoneBounds(); !end.IsZero() && end.Before(next) {
			next = end
		}
		if h.open(wallAt(next, h.zone)) != open {
			return next.In(h.zone)
		}
		at = next
	}
	return time.Time{}
}
