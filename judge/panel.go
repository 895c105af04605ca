package judge

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"switchd/judge/sequential"
	"switchd/spec"
)

// Panel judges all metrics of one analysis together. It is not safe for
// concurrent use.
type Panel struct {
	analysis    spec.Analysis
	backgrounds map[string]Background
	members     []*member // sorted by name
	course      course
	together    Path
	names       *strings.Replacer // of the sides, in sentences
}

// member is one metric of a panel.
type member struct {
	metric  spec.Metric
	judge   Judge
	finding Finding // as of the newest look
	path    Path
	// afresh says why the metric begins anew in the middle of a rollout.
	afresh string
}

// Verdict is what all metrics together come to.
type Verdict struct {
	Outcome Outcome `json:"outcome,omitempty"`
	// Why is a sentence on what decides, or on what is missing, without a final
	// stop.
	Why      string    `json:"why"`
	Findings []Finding `json:"findings"` // sorted by the metrics' names
	// LogE is the log of the sequential metrics' weighted mean e-value, and Limit
	// log 1/alpha, from which on it is an alarm; both 0 without such metrics.
	LogE  float64 `json:"log_e,omitempty"`
	Limit float64 `json:"limit,omitempty"`
	// Need is that of the undecided metric that takes longest.
	Need Need `json:"need,omitzero"`
}

// NewPanel returns a panel before any look. The backgrounds are those of the
// metrics by name; any may be missing. An error is a mistake in the analysis.
func NewPanel(a spec.Analysis, backgrounds map[string]Background) (*Panel, error) {
	if len(a.Metrics) == 0 {
		return nil, errors.New("analysis: there is no metric to look at")
	}
	if a.Looks < 1 {
		return nil, fmt.Errorf("analysis: looks must be at least 1, got %d", a.Looks)
	}
	if a.Interval <= 0 {
		return nil, fmt.Errorf("analysis: interval must be above 0, got %s", a.Interval)
	}
	p := &Panel{analysis: a, backgrounds: backgrounds, names: strings.NewReplacer()}
	for _, m := range a.Metrics {
		if err := checkShared(a, m); err != nil {
			return nil, err
		}
		j, err := New(m, a, backgrounds[m.Name])
		if err != nil {
			return nil, fmt.Errorf("analysis: %w", err)
		}
		p.members = append(p.members, &member{metric: m, judge: j, finding: j.Finding()})
	}
	slices.SortFunc(p.members, func(a, b *member) int { return cmp.Compare(a.metric.Name, b.metric.Name) })
	for i, m := range p.members[1:] {
		if m.metric.Name == p.members[i].metric.Name {
			return nil, fmt.Errorf("analysis: there are two metrics %q", m.metric.Name)
		}
	}
	return p, nil
}

// checkShared refuses what metrics of one judge have in common and can't be.
func checkShared(a spec.Analysis, m spec.Metric) error {
	switch {
	case m.Judge == spec.JudgeSequential && !(a.Alpha > 0 && a.Alpha < 1):
		return fmt.Errorf("analysis: alpha must be between 0 and 1 for the sequential judge of metric %q, got %v", m.Name, a.Alpha)
	case m.Judge == spec.JudgeSequential && !(m.Weight > 0 && !math.IsInf(m.Weight, 0)):
		return fmt.Errorf("analysis: weight of metric %q must be a number above 0, got %v", m.Name, m.Weight)
	case m.Judge == spec.JudgeMannWhitney && !(a.Score.Pass > 0 && a.Score.Marginal <= a.Score.Pass && a.Score.Marginal >= 0):
		return fmt.Errorf("analysis: score must have a pass above 0 and a marginal from 0 to pass for the judge of metric %q, got %v and %v",
			m.Name, a.Score.Pass, a.Score.Marginal)
	}
	return nil
}

// Call gives the sides the names that sentences are to have for them, such as
// green and blue.
func (p *Panel) Call(experiment, control string) {
	p.names = strings.NewReplacer(ExperimentSide, cmp.Or(experiment, ExperimentSide), ControlSide, cmp.Or(control, ControlSide))
}

// Observe takes in one look: the samples of the metrics by name, of one and the
// same step. A metric that isn't there is left out of it.
func (p *Panel) Observe(samples map[string]Sample) {
	var at time.Time
	most := marksOf(len(p.members) + 1)
	for _, m := range p.members {
		if s, ok := samples[m.metric.Name]; ok {
			m.observe(s, most)
			at = s.At
		}
	}
	if at.IsZero() {
		return
	}
	p.course.add(at, false)
	if logE, _, ok := p.evidence(); ok {
		mark := blank(at)
		mark.LogE = logE
		p.together.add(mark, most)
	}
}

// observe takes in the metric's sample.
func (m *member) observe(s Sample, most int) {
	gaps := m.finding.Gaps
	m.judge.Observe(s)
	m.finding = m.judge.Finding()
	m.path.add(m.mark(s, m.finding.Gaps-gaps), most)
}

// mark is the point that the newest look adds to the metric's path.
func (m *member) mark(s Sample, gaps int) Mark {
	f := m.finding
	mark := blank(s.At)
	mark.Gaps = gaps
	if len(m.metric.Queries) == 0 {
		if v, err := s.Experiment.value(m.metric); err == nil {
			mark.Experiment = v
		}
		if v, err := s.Control.value(m.metric); err == nil && f.Judge != spec.JudgeThreshold {
			mark.Control = v
		}
	}
	if f.Ratio != 0 {
		mark.Ratio = f.Ratio
	}
	if f.Band != (sequential.Interval{}) {
		mark.Lower, mark.Upper = f.Band.Lower, f.Band.Upper
	}
	if f.Judge == spec.JudgeSequential {
		mark.LogE = f.LogE
	}
	return mark
}

// Step begins a new share of the traffic: what a pass needs is to be shown anew,
// evidence against the version stays.
func (p *Panel) Step() {
	for _, m := range p.members {
		m.judge.Step()
		m.finding = m.judge.Finding()
	}
}

// Trail returns the way so far.
func (p *Panel) Trail() Trail {
	t := Trail{Together: slices.Clone(p.together), Metrics: make(map[string]Path, len(p.members))}
	if _, limit, ok := p.evidence(); ok {
		t.Limit = limit
	}
	for _, m := range p.members {
		t.Metrics[m.metric.Name] = slices.Clone(m.path)
	}
	return t
}
