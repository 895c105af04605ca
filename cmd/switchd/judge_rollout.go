package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"switchd/analysis"
	"switchd/judge"
	"switchd/judge/replay"
	"switchd/rollout"
	"switchd/spec"
)

// rollout shows the evidence that a rollout's record has kept. What it was judged
// by is the service's present analysis, unless --config says otherwise.
func (c *judgeCmd) rollout(a *app) error {
	l, err := a.ledger()
	if err != nil {
		return err
	}
	name, id, _ := strings.Cut(c.Rollout, "/")
	service, err := l.Service(a.ctx, name)
	if err != nil {
		return err
	}
	records, err := a.rollouts(l, name)
	if err != nil {
		return err
	}
	record, err := meant(records, name, id)
	if err != nil {
		return err
	}
	r := replayed{source: "rollout " + record.ID + " in " + l.Keys.Env, asked: true}
	switch {
	case c.Config != "":
		if r.config, r.text, err = c.config(nil); err != nil {
			return err
		}
	case c.quickNamed() != "":
		return &usageError{fmt.Sprintf("--%s says how samples are judged, and a rollout was judged already", c.quickNamed())}
	case service.Analysis == nil:
		return &usageError{fmt.Sprintf("service %s has no analysis any more; name the one that the rollout was judged by with --config", name)}
	default:
		r.config = *service.Analysis
		text, err := json.MarshalIndent(r.config, "", "  ")
		if err != nil {
			return fmt.Errorf("write the analysis: %w", err)
		}
		r.text = string(text)
	}
	c.Service, c.Release, c.Experiment, c.Control = name, record.Version, record.Pool, record.From.Pool
	task := analysis.Task{Config: r.config, Vars: c.vars(), State: record.Evidence, Share: 1, Since: record.At, Began: record.At}
	evidence, err := analysis.ReadEvidence(task)
	if err != nil {
		return fmt.Errorf("rollout %s: %w", record.ID, err)
	}
	r.config, r.backgrounds, r.trail, r.notes = evidence.Config, evidence.Backgrounds, evidence.Trail, evidence.Notes
	r.result = soFar(evidence.Verdict, r.config.Interval)
	return c.show(a, r)
}

// meant is the rollout of an ID, or the newest one that was analysed.
func meant(records []*rollout.Record, service, id string) (*rollout.Record, error) {
	for _, r := range slices.Backward(records) {
		switch {
		case id == "" && len(r.Evidence) > 0:
			return r, nil
		case id == "" || r.ID != id:
		case len(r.Evidence) == 0:
			return nil, fmt.Errorf("rollout %s of %s has kept no evidence: it was not analysed", id, service)
		default:
			return r, nil
		}
	}
	if id == "" {
		return nil, fmt.Errorf("no rollout of %s has kept any evidence: none was analysed", service)
	}
	return nil, &usageError{fmt.Sprintf("%s has no rollout %q in its history; `switchd history %s --json` shows their IDs", service, id, service)}
}

// soFar is what is known of the looks behind a verdict that was not replayed.
func soFar(v judge.Verdict, interval spec.Duration) replay.Result {
	r := replay.Result{Verdict: v}
	for _, f := range v.Findings {
		if r.From.IsZero() || !f.Since.IsZero() && f.Since.Before(r.From) {
			r.From = f.Since
		}
		if f.Until.After(r.To) {
			r.To = f.Until
		}
		r.Looks = max(r.Looks, f.Samples+f.Gaps)
	}
	if !r.From.IsZero() {
		r.From = r.From.Add(-interval.Std())
	}
	if v.Outcome != judge.Undecided && !r.To.IsZero() {
		r.Decisions = []replay.Decision{r.Decision(v)}
	}
	return r
}
