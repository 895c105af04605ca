package analysis

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/judge"
	"switchd/spec"
)

// state is what an analysis needs to go on with the same evidence.
type state struct {
	// Step is the share that it was at.
	Step    int               `json:"step"`
	Metrics map[string]cursor `json:"metrics"`
	// Prepared says that the history was read, and Tries how often in vain.
	Prepared    bool                        `json:"prepared,omitempty"`
	Tries       int                         `json:"tries,omitempty"`
	Backgrounds map[string]judge.Background `json:"backgrounds,omitempty"`
	// Compared is what the new version was compared with.
	Compared string `json:"compared,omitempty"`
	// Lost is the first look of the present outage.
	Lost time.Time `json:"lost,omitzero"`
	// Notes are sentences for the evidence.
	Notes []string `json:"notes,omitempty"`
	// Panel is the evidence itself.
	Panel json.RawMessage `json:"panel,omitempty"`
}

// cursor is how far a metric has been asked for.
type cursor struct {
	Seen time.Time `json:"seen"` // what comes after it is new
	// Answered says that its queries were, once.
	Answered bool `json:"answered,omitempty"`
	// Edges are those of a histogram whose spec names none, and Guessed says
	// that it had no data to take them from.
	Edges   []float64 `json:"edges,omitempty"`
	Guessed bool      `json:"guessed,omitempty"`
}

// edged returns the metric with its edges.
func (c cursor) edged(m spec.Metric) spec.Metric {
	if m.Buckets != "" && len(m.Edges) == 0 {
		m.Edges = c.Edges
	}
	return m
}

// restore takes up the state that the task brings, if it is one.
func (w *watch) restore() error {
	cfg := w.task.Config
	restored := len(w.task.State) > 0
	if restored {
		if err := json.Unmarshal(w.task.State, &w.state); err != nil {
			w.state = state{Notes: []string{fmt.Sprintf("the evidence so far can't be read, so that it begins anew: %v", err)}}
			restored = false
		}
	}
	since := ceil(w.task.Since, w.interval)
	next := restored && w.state.Step != w.task.Step
	metrics := make(map[string]cursor, len(cfg.Metrics)) // without those that the spec has no more
	for _, m := range cfg.Metrics {
		c := w.state.Metrics[m.Name]
		if c.Seen.Before(since) {
			c.Seen = since
		}
		metrics[m.Name] = c
	}
	w.state.Metrics = metrics
	w.state.Step = w.task.Step
	w.state.Compared = w.task.Compares()

	// A panel of what the analysis says, to have its mistakes told at once, and
	// to take up the evidence.
	if err := w.newPanel(); err != nil {
		return err
	}
	if restored && w.state.Panel != nil {
		if err := w.panel.UnmarshalJSON(w.state.Panel); err != nil {
			w.note("the evidence so far can't be read, so that it begins anew: %v", err)
			return w.newPanel()
		}
	}
	if next {
		w.panel.Step()
	}
	return nil
}

// judged is the analysis with what has been learnt of its metrics by now.
func (w *watch) judged() spec.Analysis {
	cfg := widened(w.task.Config, w.state.Compared)
	for i, m := range cfg.Metrics {
		cfg.Metrics[i] = w.state.Metrics[m.Name].edged(m)
		if m.Buckets != "" && len(cfg.Metrics[i].Edges) == 0 {
			cfg.Metrics[i].Edges = prometheus.DefBuckets // until the history is read
		}
	}
	return cfg
}

// newPanel makes a panel of it.
func (w *watch) newPanel() error {
	panel, err := judge.NewPanel(w.judged(), w.state.Backgrounds)
	if err != nil {
		return err
	}
	panel.Call(w.task.Vars.Pool, w.control())
	w.panel, w.found = panel, nil
	return nil
}

// rebuild makes the panel anew for what has been learnt of its metrics since. The
// evidence of those that are the same as before stays.
func (w *watch) rebuild() error {
	evidence, err := w.panel.MarshalJSON()
	if err != nil {
		return fmt.Errorf("write the evidence: %w", err)
	}
	if err := w.newPanel(); err != nil {
		return err
	}
	if err := w.panel.UnmarshalJSON(evidence); err != nil {
		return fmt.Errorf("take up the evidence: %w", err)
	}
	return nil
}

// maxNotes bounds the notes of one analysis.
const maxNotes = 20

// note adds a sentence to the evidence, once.
func (w *watch) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(w.state.Notes) < maxNotes && !slices.Contains(w.state.Notes, text) {
		w.state.Notes = append(w.state.Notes, text)
	}
}
