package notify

import (
	"slices"
	"time"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// Facts are what is known of a service's rollout at one moment.
type Facts struct {
	Environment string
	Spec        spec.Service
	Record      *rollout.Record // nil: there never was one
	Live        *pools.Live     // nil: nothing is live, or it doesn't matter
	// Page is the URL of a status page, "" if there is none.
	Page string
}

// Event is something of a rollout that can be told.
type Event struct {
	Name  string // one of spec.Events
	About string
	Since time.Time
	// Standing tells that it still is so, and not only was.
	Standing bool
	// Gate is what is waited for.
	Gate *rollout.GateState
}

// Events are what became of a rollout, in that order, and what it waits for now.
func Events(f Facts) []Event {
	r := f.Record
	if r == nil {
		return nil
	}
	events := []Event{{Name: spec.EventBegun, Since: r.At}}
	if !r.Phase.Ended() && r.Phase != rollout.Halted {
		for _, g := range r.Waiting() {
			events = append(events, Event{Name: spec.EventWaiting, About: g.Name + " at " + g.Point, Since: g.Since, Standing: true, Gate: &g})
		}
	}
	if !r.ProvedAt.IsZero() {
		events = append(events, Event{Name: spec.EventSwitched, Since: r.ProvedAt})
	}
	switch r.Phase {
	case rollout.Halted:
		since := r.Entered
		if r.Halt != nil {
			since = r.Halt.At
		}
		events = append(events, Event{Name: spec.EventHalted, Since: since, Standing: true})
	case rollout.Done:
		events = append(events, Event{Name: spec.EventDone, Since: r.Entered})
	case rollout.Failed:
		events = append(events, Event{Name: spec.EventFailed, Since: r.Entered})
	case rollout.RolledBack:
		events = append(events, Event{Name: spec.EventRolledBack, Since: r.Entered})
	default:
	}
	// A rollback of a rollout that has ended leaves its record as it is.
	if l := f.Live; l != nil && l.RolledBack && l.Rollout == r.ID && r.Phase == rollout.Done {
		events = append(events, Event{Name: spec.EventRolledBack, Since: l.At})
	}
	return events
}

// NewEvents are those events of the later facts that the earlier ones didn't have.
func NewEvents(earlier, later Facts) []Event {
	had := Events(earlier)
	if earlier.Record != nil && later.Record != nil && earlier.Record.ID != later.Record.ID {
		had = nil
	}
	return slices.DeleteFunc(Events(later), func(e Event) bool {
		return slices.ContainsFunc(had, func(o Event) bool { return o.Name == e.Name && o.About == e.About && o.Since.Equal(e.Since) })
	})
}
