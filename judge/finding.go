package judge

import (
	"strings"
	"time"

	"switchd/judge/sequential"
)

// Outcome is what a judge found.
type Outcome string

// The outcomes. The zero value is Undecided on purpose: what was never judged
// has not passed.
const (
	Undecided Outcome = ""          // not enough data yet
	Regressed Outcome = "regressed" // worse than allowed
	NoWorse   Outcome = "no worse"  // known to be within the margin
)

// String names the outcome.
func (o Outcome) String() string {
	if o == Undecided {
		return "undecided"
	}
	return string(o)
}

// Finding is what the samples of one metric show so far.
type Finding struct {
	Metric  string  `json:"metric"`
	Judge   string  `json:"judge"`
	Outcome Outcome `json:"outcome,omitempty"`
	// Why is a sentence for a person, without a final stop. A Panel has it begin
	// with the metric's name. What is still needed is not in it; see String.
	Why string `json:"why"`

	// LogE is the log of the metric's e-value, and Weight its part of the
	// budget; only of the sequential judge, whose alarm is raised by a Panel over
	// all metrics together.
	LogE   float64 `json:"log_e,omitempty"`
	Weight float64 `json:"weight,omitempty"`
	// Ratio is the estimate of the experiment's rate in units of the control's,
	// and Band what it may be, at Confidence; zero if there is none.
	Ratio      float64             `json:"ratio,omitempty"`
	Band       sequential.Interval `json:"band,omitzero"`
	Confidence float64             `json:"confidence,omitempty"`

	// Samples is the number of steps with data; Gaps of those without.
	Samples int       `json:"samples"`
	Gaps    int       `json:"gaps,omitempty"`
	Since   time.Time `json:"since,omitzero"` // end of the first step
	Until   time.Time `json:"until,omitzero"` // end of the newest step
	// Blind says that the newest step is a gap: what was found is of before.
	Blind bool `json:"blind,omitempty"`
	// Requests are those behind it, of the experiment and the control.
	Requests [2]float64 `json:"requests,omitzero"`
	// Need is what is still needed for a decision at the present rate.
	Need Need `json:"need,omitzero"`
	// Critical fails the release by itself, and Group is for the score; only of
	// the judge mannwhitney.
	Critical bool   `json:"critical,omitempty"`
	Group    string `json:"group,omitempty"`
	// Classification is mannwhitney's own word for it.
	Classification string `json:"classification,omitempty"`
	// Untrusted says why the metric can't be judged: it failed its A/A
	// self-test.
	Untrusted string `json:"untrusted,omitempty"`
	// Widened is by how much the self-test widened the metric's noise, 0 or 1
	// for not at all.
	Widened float64 `json:"widened,omitempty"`
}

// Need is what a decision still needs, if all goes on as it does; zero if that
// isn't known.
type Need struct {
	Time     time.Duration `json:"time,omitempty"`
	Requests float64       `json:"requests,omitempty"` // of the experiment
	// Never says that no amount of it will do, and why.
	Never string `json:"never,omitempty"`
}

// String says what was found and what is still needed.
func (f Finding) String() string {
	if need := f.Need.String(); f.Outcome == Undecided && f.Untrusted == "" && need != "" && !strings.Contains(f.Why, need) {
		return f.Why + "; " + need
	}
	return f.Why
}

// String says what is needed: "still needs about 7 min and 41,200 requests". It is
// empty if that isn't known.
func (n Need) String() string {
	var parts []string
	if n.Time >= maxWait {
		return "still needs more than " + span(maxWait)
	}
	if n.Time > 0 {
		parts = append(parts, span(n.Time))
	}
	if n.Requests >= 1 {
		parts = append(parts, Count(n.Requests)+" requests")
	}
	switch {
	case n.Never != "":
		return n.Never
	case len(parts) == 0:
		return ""
	}
	return "still needs about " + list(parts)
}

// longer tells whether a decision takes longer than with another need: what will
// never do takes longest, then what isn't known.
func (n Need) longer(than Need) bool {
	rank := func(n Need) int {
		switch {
		case n.Never != "":
			return 2
		case n.Time == 0:
			return 1
		}
		return 0
	}
	if a, b := rank(n), rank(than); a != b {
		return a > b
	}
	return n.Time > than.Time
}
