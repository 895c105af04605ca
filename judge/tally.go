package judge

import (
	"errors"
	"fmt"
	"time"

	"switchd/spec"
)

// look is what one look at a metric came to.
type look string

// The looks. What is not known, since there was no answer or too little traffic,
// counts neither for nor against the version.
const (
	passed       look = "passed"
	failed       look = "failed"
	inconclusive look = "inconclusive"
	missing      look = "missing" // no answer
	thin         look = "thin"    // too little traffic
)

// tally counts the looks at a metric by its limits. It serves the judges that
// come to an end with every look, which are threshold and expr.
type tally struct {
	// Passed looks are those of the present step, all others those of the
	// whole rollout: what speaks against a version is not forgotten.
	Passed       int `json:"passed,omitempty"`
	Failed       int `json:"failed,omitempty"`
	Inconclusive int `json:"inconclusive,omitempty"`
	Unknown      int `json:"unknown,omitempty"`
	// InARow is the number of newest looks that had no answer.
	InARow int `json:"in_a_row,omitempty"`
	// Newest is the newest look that was not unknown.
	Newest look `json:"newest,omitempty"`
	// Last says what the newest look showed, and Complaint what the newest
	// failed one did.
	Last      string `json:"last,omitempty"`
	Complaint string `json:"complaint,omitempty"`
}

// add counts a look and keeps what it showed, and says of a failed one what is
// complained of.
func (t *tally) add(m spec.Metric, l look, subject, showed string) {
	if l == missing {
		t.InARow++
		if m.MissingFails {
			l, showed = failed, "without an answer ("+showed+"), which counts as failed"
		}
	} else {
		t.InARow = 0
	}
	t.Last = showed
	switch l {
	case passed:
		t.Passed++
	case failed:
		t.Failed++
		t.Complaint = subject + showed
	case inconclusive:
		t.Inconclusive++
	case missing, thin:
		t.Unknown++
		return
	}
	t.Newest = l
}

// step begins a new step.
func (t *tally) step() { t.Passed = 0 }

// outcome is what the looks come to: regressed with more than FailureLimit
// failed ones, or more than ErrorLimit in a row without an answer; no worse with
// the wanted passing looks (at least one) of this step, of which the newest is not
// followed by another that is known.
func (t *tally) outcome(m spec.Metric, wanted int) Outcome {
	switch {
	case t.Failed > m.FailureLimit, t.silent(m):
		return Regressed
	case t.open(m):
		return Undecided
	case t.Passed >= max(1, wanted) && t.Newest == passed:
		return NoWorse
	}
	return Undecided
}

// silent tells whether more looks in a row had no answer than the metric takes.
func (t *tally) silent(m spec.Metric) bool { return m.ErrorLimit != nil && t.InARow > *m.ErrorLimit }

// open tells whether more looks were inconclusive than the metric takes, so that
// a person must decide.
func (t *tally) open(m spec.Metric) bool {
	return m.InconclusiveLimit != nil && t.Inconclusive > *m.InconclusiveLimit
}

// why says what the looks come to: "errors of the new version is 5, allowed at
// most 2" or "errors: 2 of 5 passing looks, last look: no data".
func (t *tally) why(m spec.Metric, wanted int, after string) string {
	switch {
	case t.Failed > m.FailureLimit:
		return t.Complaint + ", " + after
	case t.silent(m):
		return fmt.Sprintf("%s: %s in a row without an answer (the last: %s), allowed are %d, %s",
			m.Name, plural(t.InARow, "look"), t.Last, *m.ErrorLimit, after)
	}
	why := fmt.Sprintf("%s: %d of %d passing looks", m.Name, t.Passed, wanted)
	if t.Failed > 0 {
		why += fmt.Sprintf(", %d failed of %d forgiven", t.Failed, m.FailureLimit)
	}
	if t.Inconclusive > 0 {
		why += fmt.Sprintf(", %d inconclusive", t.Inconclusive)
		if m.InconclusiveLimit != nil {
			why += fmt.Sprintf(" of %d accepted", *m.InconclusiveLimit)
		}
	}
	if t.Unknown > 0 {
		why += fmt.Sprintf(", %d unknown", t.Unknown)
	}
	if t.Last == "" {
		return why + ", last look: none yet"
	}
	return why + ", last look: " + t.Last
}

// need is what is still needed for a pass, if all further looks pass.
func (t *tally) need(m spec.Metric, wanted int, interval time.Duration) Need {
	if t.open(m) {
		return Need{Never: fmt.Sprintf("inconclusive looks are %d, accepted are %d, so a person must decide", t.Inconclusive, *m.InconclusiveLimit)}
	}
	return Need{Time: time.Duration(max(1, wanted-t.Passed)) * interval}
}

// check refuses what no tally counts to.
func (t *tally) check() error {
	if min(t.Passed, t.Failed, t.Inconclusive, t.Unknown, t.InARow) < 0 {
		return errors.New("a number of looks is below 0")
	}
	switch t.Newest {
	case "", passed, failed, inconclusive:
		return nil
	default:
		return fmt.Errorf("the newest look is %q", t.Newest)
	}
}
