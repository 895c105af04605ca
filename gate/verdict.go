// Package gate holds what every gate before a switch answers: a verdict of
// three outcomes. A gate that can't tell says so; it never guesses.
package gate

import (
	"encoding/json"
	"fmt"
	"time"
)

// Outcome is what a gate found.
type Outcome string

// The three outcomes. The zero value is Unknown on purpose: what was never
// judged, or was ended early, has not passed.
const (
	Unknown Outcome = ""
	Pass    Outcome = "pass"
	Fail    Outcome = "fail"
)

// String names the outcome, "unknown" for the zero value.
func (o Outcome) String() string {
	if o == Unknown {
		return "unknown"
	}
	return string(o)
}

// Verdict is a gate's answer with its reason.
type Verdict struct {
	Outcome Outcome `json:"outcome"`
	// Why is one sentence for a person, without a final stop.
	Why string `json:"why"`
	// Evidence is a bounded list of the facts the verdict was made on, one
	// line each.
	Evidence []string `json:"evidence,omitempty"`
	// Took is how long the gate looked.
	Took time.Duration `json:"took,omitempty"`
	// State is what the gate needs to go on with the same evidence after a
	// restart; nil: nothing. It is the gate's own, and nobody else reads it.
	State json.RawMessage `json:"state,omitempty"`
}

// Passed returns a passing verdict with its reason.
func Passed(format string, args ...any) Verdict {
	return Verdict{Outcome: Pass, Why: fmt.Sprintf(format, args...)}
}

// Failed returns a failing verdict with its reason.
func Failed(format string, args ...any) Verdict {
	return Verdict{Outcome: Fail, Why: fmt.Sprintf(format, args...)}
}

// Undecided returns an unknown verdict with its reason.
func Undecided(format string, args ...any) Verdict {
	return Verdict{Outcome: Unknown, Why: fmt.Sprintf(format, args...)}
}
