package window

import (
	"time"

	"switchd/spec"
)

// Together is the first moment, now or later, at which all windows are open; zero
// if there is none within Horizon, or one of them can't be read.
func Together(windows []spec.Window, now time.Time) time.Time {
	all := make([]hours, len(windows))
	for i, w := range windows {
		var err error
		if all[i], err = read(w); err != nil {
			return time.Time{}
		}
	}
	for at := now; at.Sub(now) <= Horizon; {
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
