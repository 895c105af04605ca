package window

import (
	"time"

	"switchd/spec"
)

// Together is the first moment, now or later, at which all windows are open; zero
// if there is none within Horizon, or one of them can't be read.
func Together(windows []spec.Window, now time.Time) time.Time {
	all, err := readAll(windows)
	if err != nil {
		return time.Time{}
	}
	return all.opens(now, now.Add(Horizon))
}

// After is the moment at which all windows will have been open for a time since
// another moment: a clock that stands still while one of them is shut. It is zero
// if they aren't within Horizon, or one of them can't be read.
func After(windows []spec.Window, since time.Time, d time.Duration) time.Time {
	all, err := readAll(windows)
	if err != nil {
		return time.Time{}
	}
	end := since.Add(Horizon)
	for at := since; ; {
		opens := all.opens(at, end)
		if opens.IsZero() {
			return time.Time{}
		}
		closes := all.closes(opens)
		if closes.IsZero() || !opens.Add(d).After(closes) {
			return opens.Add(d)
		}
		d -= closes.Sub(opens)
		at = closes
	}
}

// allHours are windows of which each must be open.
type allHours []hours

func readAll(windows []spec.Window) (allHours, error) {
	all := make(allHours, len(windows))
	for i, w := range windows {
		var err error
		if all[i], err = read(w); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// opens is the first moment at which all are open, zero if there is none before
// the end.
func (all allHours) opens(now, end time.Time) time.Time {
	for at := now; !at.After(end); {
		opens := at
		for _, h := range all {
			if h.open(wallAt(at, h.zone)) {
				continue
			}
			changes := h.changes(at)
			if changes.IsZero() {
				return time.Time{}
			}
			if changes.After(opens) {
				opens = changes
			}
		}
		if opens.Equal(at) {
			return at
		}
		at = opens
	}
	return time.Time{}
}

// closes is when the first one closes of those that are all open now; zero: none
// does within Horizon.
func (all allHours) closes(now time.Time) time.Time {
	var first time.Time
	for _, h := range all {
		if closes := h.changes(now); first.IsZero() || !closes.IsZero() && closes.Before(first) {
			first = closes
		}
	}
	return first
}
