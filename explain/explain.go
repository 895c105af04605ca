// Package explain tells in sentences why a service's rollout is where it is, what
// it waits for, since when, until when, and who can end the wait.
package explain

import (
	"time"

	"switchd/rollout"
)

// Facts are what is explained.
type Facts struct {
	rollout.Situation

	Environment string
	// Driver is the replica that holds the lease; empty: none does, and nothing
	// goes on by itself.
	Driver string
}

// Explanation is what there is to say, each entry one sentence or two.
type Explanation struct {
	Environment string        `json:"environment"`
	Service     string        `json:"service"`
	Version     string        `json:"version,omitempty"`
	Rollout     string        `json:"rollout,omitempty"`
	Phase       rollout.Phase `json:"phase,omitempty"`
	// Where is what users reach, and what is under way.
	Where []string `json:"where"`
	// Why is how it came to be there: the decisions, the last one with the facts
	// that it was made on.
	Why   []string `json:"why,omitempty"`
	Facts []string `json:"facts,omitempty"`
	// Waits is what it waits for; nil for a rollout that has ended.
	Waits *Waits `json:"waits,omitempty"`
	// Can is what people can do now, each with the command.
	Can []Way `json:"can,omitempty"`
}

// Waits is a wait with all that is known of it.
type Waits struct {
	For   []string  `json:"for"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // zero: for ever
	Then  string    `json:"then,omitempty"` // what happens at Until
	// Who can end it, or what.
	Who []string `json:"who"`
}

// Way is something that a person can do.
type Way struct {
	What    string `json:"what"`
	Command string `json:"command"`
}

// Explain is pure: the same facts give the same sentences. Times of day are in
// now's location.
func Explain(f Facts, now time.Time) Explanation {
	e := Explanation{Environment: f.Environment, Service: f.Spec.Name}
	t := teller{Facts: f, now: now}
	e.Where = append(t.live(), t.way()...)
	if f.Record == nil {
		return e
	}
	e.Version, e.Rollout, e.Phase = f.Record.Version, f.Record.ID, f.Record.Phase
	e.Why, e.Facts = t.why()
	if !f.Record.Phase.Ended() {
		e.Waits = t.waits()
	}
	e.Can = t.can()
	return e
}

// teller is one explanation in the making.
type teller struct {
	Facts

	now time.Time
}
