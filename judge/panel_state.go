package judge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"switchd/spec"
)

// stateVersion is that of the form of a panel's state.
const stateVersion = 1

// panelState is what survives a restart: a few numbers a metric, and the trail.
type panelState struct {
	Version int                    `json:"v"`
	Course  course                 `json:"course"`
	Metrics map[string]memberState `json:"metrics"`
	Trail   Trail                  `json:"trail"`
}

// memberState is that of one metric.
type memberState struct {
	// Spec is the hash of the metric's spec that the evidence was gathered by.
	Spec   string          `json:"spec"`
	Judge  json.RawMessage `json:"judge"`
	Afresh string          `json:"afresh,omitempty"`
}

// MarshalJSON writes the state of all judges and the trail: some kilobytes a metric,
// packed if it would be long.
func (p *Panel) MarshalJSON() ([]byte, error) {
	s := panelState{Version: stateVersion, Course: p.course, Metrics: make(map[string]memberState, len(p.members)), Trail: p.Trail()}
	for _, m := range p.members {
		state, err := m.judge.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", m.metric.Name, err)
		}
		hash, err := hashOf(m.metric)
		if err != nil {
			return nil, err
		}
		s.Metrics[m.metric.Name] = memberState{Spec: hash, Judge: state, Afresh: m.afresh}
	}
	state, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return pack(state)
}

// UnmarshalJSON goes on with a state that a panel of the same analysis wrote. A
// metric that was added or changed since begins afresh, and its finding says so;
// one that is gone is forgotten. What no panel wrote is refused, and the panel
// stays as it was.
func (p *Panel) UnmarshalJSON(data []byte) error {
	state, err := unpack(data)
	if err != nil {
		return fmt.Errorf("state of the analysis: %w", err)
	}
	var s panelState
	if err := strict(state, &s); err != nil {
		return fmt.Errorf("state of the analysis: %w", err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("state of the analysis: it has the form %d, known is %d", s.Version, stateVersion)
	}
	if err := errors.Join(s.Course.check(), s.Trail.Together.check()); err != nil {
		return fmt.Errorf("state of the analysis: %w", err)
	}
	restored, err := NewPanel(p.analysis, p.backgrounds)
	if err != nil {
		return err
	}
	for _, m := range restored.members {
		if err := m.restore(s); err != nil {
			return fmt.Errorf("state of the analysis: metric %q: %w", m.metric.Name, err)
		}
	}
	p.members, p.course, p.together = restored.members, s.Course, s.Trail.Together
	return nil
}

// restore goes on with the metric's part of a state.
func (m *member) restore(all panelState) error {
	s, ok := all.Metrics[m.metric.Name]
	hash, err := hashOf(m.metric)
	switch {
	case err != nil:
		return err
	case !ok:
		m.afresh = "it begins afresh, since it was added to the spec on the way"
		return nil
	case s.Spec != hash:
		m.afresh = "it begins afresh, since its spec was changed on the way"
		return nil
	}
	if err := m.judge.UnmarshalJSON(s.Judge); err != nil {
		return err
	}
	m.path, m.afresh = all.Trail.Metrics[m.metric.Name], s.Afresh
	m.finding = m.judge.Finding()
	return m.path.check()
}

// hashOf tells specs of a metric apart.
func hashOf(m spec.Metric) (string, error) {
	text, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("metric %q: %w", m.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}
