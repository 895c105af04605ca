// Package window tells whether a rollout may go on now, by days, times of day and
// freezes, and if not, when.
package window

import (
	"time"

	"switchd/spec"
)

// State is what a window says at one moment.
type State struct {
	Open bool
	// Changes is when that changes: when a closed window opens, when an open one
	// closes; zero: never.
	Changes time.Time
	// Why is one sentence, such as "outside of mon-fri 09:00-17:00 Europe/Berlin" or
	// the freeze's reason.
	Why string
}

// At is the window's state at a time. It is pure but for the time zone database.
func At(w spec.Window, now time.Time) (State, error) {
	_, _ = w, now
	return State{Open: true}, nil
}
