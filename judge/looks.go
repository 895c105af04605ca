package judge

import (
	"encoding/json"
	"errors"
	"fmt"

	"switchd/spec"
)

// looks is what the judges have in common that come to an end with every look.
type looks struct {
	metric spec.Metric
	config spec.Analysis
	state  looksState
}

// looksState is what survives a restart.
type looksState struct {
	Course course `json:"course"`
	Tally  tally  `json:"tally"`
}

// add counts one look.
func (l *looks) add(s Sample, came look, subject, showed string) {
	l.state.Course.add(s.At, came == missing || came == thin)
	l.state.Tally.add(l.metric, came, subject, showed)
}

// Finding says how the looks stand.
func (l *looks) Finding() Finding {
	t, interval := &l.state.Tally, l.config.Interval.Std()
	f := l.state.Course.finding(l.metric)
	f.Outcome = t.outcome(l.metric, l.config.Looks)
	f.Why = t.why(l.metric, l.config.Looks, l.state.Course.after(interval))
	if f.Outcome == Undecided {
		f.Need = t.need(l.metric, l.config.Looks, interval)
	}
	return f
}

// Step begins a new share of the traffic.
func (l *looks) Step() { l.state.Tally.step() }

// MarshalJSON writes the state.
func (l *looks) MarshalJSON() ([]byte, error) { return json.Marshal(l.state) }

// UnmarshalJSON reads the state and refuses one that wasn't written here.
func (l *looks) UnmarshalJSON(data []byte) error {
	var s looksState
	if err := strict(data, &s); err != nil {
		return fmt.Errorf("%s: %w", l.metric.Judge, err)
	}
	if err := errors.Join(s.Course.check(), s.Tally.check()); err != nil {
		return fmt.Errorf("%s: %w", l.metric.Judge, err)
	}
	l.state = s
	return nil
}
