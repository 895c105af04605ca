package analysis

import (
	"encoding/json"
	"errors"
	"fmt"

	"switchd/judge"
	"switchd/spec"
)

// Evidence is what an analysis saw and found, as its State has it.
type Evidence struct {
	// Config is the analysis as it was judged: see [Task.Judged].
	Config spec.Analysis
	// Compared is what the new version was compared with, one of spec's Compare
	// constants.
	Compared    string
	Backgrounds map[string]judge.Background // by metric
	Notes       []string
	Verdict     judge.Verdict
	Trail       judge.Trail
}

// ReadEvidence reads the State of a task. It is an error if the task has none, or
// one that no analysis wrote.
func ReadEvidence(t Task) (Evidence, error) {
	if len(t.State) == 0 {
		return Evidence{}, errors.New("read the evidence of an analysis: there is none")
	}
	var s state
	if err := json.Unmarshal(t.State, &s); err != nil {
		return Evidence{}, fmt.Errorf("read the evidence of an analysis: %w", err)
	}
	w := &watch{task: t, state: s}
	if err := w.newPanel(); err != nil {
		return Evidence{}, err
	}
	if s.Panel != nil {
		if err := w.panel.UnmarshalJSON(s.Panel); err != nil {
			return Evidence{}, fmt.Errorf("read the evidence of an analysis: %w", err)
		}
	}
	return Evidence{
		Config: w.judged(), Compared: s.Compared, Backgrounds: s.Backgrounds, Notes: s.Notes,
		Verdict: w.panel.Verdict(), Trail: w.panel.Trail(),
	}, nil
}
