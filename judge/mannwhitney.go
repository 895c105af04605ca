package judge

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"switchd/judge/mannwhitney"
	"switchd/spec"
)

// maxPairs bounds the values of a step that mannWhitney keeps: the newest.
const maxPairs = 1000

// mannWhitney is Kayenta's judge on the values of one step, both sides aligned.
// It is made to be looked at once: it judges when a step has as many samples as
// the analysis wants looks, and not again in that step. What a Panel makes of
// several such metrics is their score.
type mannWhitney struct {
	metric spec.Metric
	config spec.Analysis
	rule   mannwhitney.Config
	state  mannWhitneyState
}

// mannWhitneyState is what survives a restart.
type mannWhitneyState struct {
	Course course `json:"course"`
	// Steps are those since the share began, with data and without.
	Steps      int    `json:"steps,omitempty"`
	Experiment series `json:"experiment,omitempty"`
	Control    series `json:"control,omitempty"`
	// Judged is what they were found to be; nil: not yet.
	Judged *judged `json:"judged,omitempty"`
}

// judged is what mannWhitney found.
type judged struct {
	Classification mannwhitney.Classification `json:"classification"`
	Critical       bool                       `json:"critical,omitempty"`
	Why            string                     `json:"why"`
	Ratio          float64                    `json:"ratio,omitempty"`
}

func newMannWhitney(m spec.Metric, a spec.Analysis) (Judge, error) {
	if m.MannWhitney == nil {
		return nil, fmt.Errorf("metric %q has no mannwhitney block", m.Name)
	}
	c := m.MannWhitney
	rule := mannwhitney.Config{
		Direction: mannwhitney.Direction(c.Direction), NaN: mannwhitney.NaNStrategy(c.NaN), Outliers: mannwhitney.OutlierStrategy(c.Outliers),
		OutlierFactor: c.OutlierFactor, Critical: c.Critical, MustHaveData: c.MustHaveData, Tolerance: c.Tolerance, Confidence: c.Confidence,
		Effect: mannwhitney.DefaultEffect(mannwhitney.Measure(c.Measure)),
	}
	for _, bound := range []struct {
		from *float64
		to   *float64
	}{
		{c.AllowedIncrease, &rule.Effect.AllowedIncrease}, {c.AllowedDecrease, &rule.Effect.AllowedDecrease},
		{c.CriticalIncrease, &rule.Effect.CriticalIncrease}, {c.CriticalDecrease, &rule.Effect.CriticalDecrease},
	} {
		if bound.from != nil {
			*bound.to = *bound.from
		}
	}
	if err := rule.Validate(); err != nil {
		return nil, fmt.Errorf("metric %q: %w", m.Name, err)
	}
	return &mannWhitney{metric: m, config: a, rule: rule}, nil
}

// Observe keeps the values of one step, if both sides have one, and judges when
// there are enough.
func (j *mannWhitney) Observe(s Sample) {
	x, errX := s.Experiment.raw(j.metric)
	y, errY := s.Control.raw(j.metric)
	st := &j.state
	gap := errX != nil || errY != nil || math.IsNaN(x) && math.IsNaN(y) && j.rule.NaN != mannwhitney.ReplaceNaN
	st.Course.add(s.At, gap)
	st.Steps++
	if st.Judged != nil {
		return
	}
	if !gap {
		st.Experiment, st.Control = st.Experiment.with(x), st.Control.with(y)
	}
	if j.samples() >= j.wanted() || j.rule.MustHaveData && j.samples() == 0 && st.Steps >= j.wanted() {
		j.judge()
	}
}

// wanted is the size of the sample.
func (j *mannWhitney) wanted() int { return min(max(1, j.config.Looks), maxPairs) }

// samples is how many values this step has on the side that has fewer.
func (j *mannWhitney) samples() int {
	if j.rule.NaN == mannwhitney.ReplaceNaN {
		return len(j.state.Experiment)
	}
	return min(j.state.Experiment.numbers(), j.state.Control.numbers())
}

func (j *mannWhitney) judge() {
	st := &j.state
	v := mannwhitney.Judge(j.rule, st.Control, st.Experiment)
	st.Judged = &judged{Classification: v.Classification, Critical: v.Critical, Why: j.explain(v)}
	if r := float64(v.Deviation); !math.IsNaN(r) && !math.IsInf(r, 0) {
		st.Judged.Ratio = r
	}
	st.Experiment, st.Control = nil, nil // nothing looks at them again
}

// explain says what was found and on what: the means, the shift with its
// interval, and the tolerance.
func (j *mannWhitney) explain(v mannwhitney.Verdict) string {
	reason := strings.NewReplacer("experiment", ExperimentSide, "control", ControlSide).Replace(v.Reason)
	why := fmt.Sprintf("%s: %s after %s: ", j.metric.Name, v.Classification, plural(j.samples(), "sample"))
	if v.Shift == nil {
		return why + reason
	}
	why += fmt.Sprintf("the mean is %s for %s and %s for %s; %s; the tolerance is %s %% of the shift",
		Short(float64(v.Experiment.Mean)), ExperimentSide, Short(float64(v.Control.Mean)), ControlSide, reason, Short(100*j.rule.Tolerance))
	if r := float64(v.Deviation); v.Classification == mannwhitney.Pass &&
		(r >= 2 && j.rule.Direction != mannwhitney.Decrease || r <= 0.5 && j.rule.Direction != mannwhitney.Increase) {
		why += "; the means are far apart all the same, as ranks say nothing of how far: another judge would see it"
	}
	return why
}

// Finding says what the values were found to be, or how many there are.
func (j *mannWhitney) Finding() Finding {
	st := &j.state
	f := st.Course.finding(j.metric)
	f.Group = j.metric.MannWhitney.Group
	if st.Judged == nil {
		f.Why = fmt.Sprintf("%s: %d of %s", j.metric.Name, j.samples(), plural(j.wanted(), "sample"))
		if gaps := st.Steps - j.samples(); gaps > 0 {
			f.Why += ", " + plural(gaps, "gap")
		}
		f.Need = j.need()
		return f
	}
	f.Why, f.Ratio = st.Judged.Why, st.Judged.Ratio
	f.Classification, f.Critical = string(st.Judged.Classification), st.Judged.Critical
	switch st.Judged.Classification {
	case mannwhitney.Pass:
		f.Outcome = NoWorse
	case mannwhitney.High, mannwhitney.Low, mannwhitney.NodataFailMetric:
		f.Outcome = Regressed
	case mannwhitney.Nodata, mannwhitney.Error:
		f.Need.Never = f.Why
	}
	return f
}

// need is the time until there are enough samples, if gaps go on as they do.
func (j *mannWhitney) need() Need {
	n := j.samples()
	if n == 0 && j.state.Steps > 0 {
		return Need{} // nobody knows
	}
	pace := 1.0
	if n > 0 {
		pace = float64(j.state.Steps) / float64(n)
	}
	return Need{Time: time.Duration(math.Ceil(pace*float64(j.wanted()-n))) * j.config.Interval.Std()}
}

// Step begins a new share of the traffic, with new values.
func (j *mannWhitney) Step() { j.state = mannWhitneyState{Course: j.state.Course} }

// MarshalJSON writes the state.
func (j *mannWhitney) MarshalJSON() ([]byte, error) { return json.Marshal(j.state) }

// UnmarshalJSON reads the state and refuses one that no mannWhitney wrote.
func (j *mannWhitney) UnmarshalJSON(data []byte) error {
	var s mannWhitneyState
	if err := strict(data, &s); err != nil {
		return fmt.Errorf("mannwhitney: %w", err)
	}
	if err := errors.Join(s.Course.check(), s.check()); err != nil {
		return fmt.Errorf("mannwhitney: %w", err)
	}
	j.state = s
	return nil
}

func (s mannWhitneyState) check() error {
	switch {
	case len(s.Experiment) != len(s.Control):
		return fmt.Errorf("there are %d values of one side and %d of the other", len(s.Experiment), len(s.Control))
	case s.Steps < len(s.Experiment):
		return fmt.Errorf("there are %d values of %d steps", len(s.Experiment), s.Steps)
	case s.Judged == nil:
		return nil
	case len(s.Experiment) > 0:
		return errors.New("there are values although they were judged")
	}
	switch s.Judged.Classification {
	case mannwhitney.Pass, mannwhitney.High, mannwhitney.Low, mannwhitney.Nodata, mannwhitney.NodataFailMetric, mannwhitney.Error:
		return nil
	default:
		return fmt.Errorf("there is no classification %q", s.Judged.Classification)
	}
}

// scored turns a finding back into what the score is made of. A metric without a
// group is in one with all others that have none.
func scored(f Finding) mannwhitney.Result {
	return mannwhitney.Result{
		Name: f.Metric, Groups: []string{cmp.Or(f.Group, "others")},
		Verdict: mannwhitney.Verdict{Classification: mannwhitney.Classification(f.Classification), Critical: f.Critical},
	}
}

// series are values of one side. JSON has them as base64 of their bits, since it
// has no NaN, and digits would take twice the room.
type series []float64

// with returns the series and one more value, of which the newest are kept.
func (s series) with(v float64) series {
	if len(s) >= maxPairs {
		s = slices.Delete(s, 0, len(s)-maxPairs+1)
	}
	return append(s, v)
}

// numbers counts the values that are one.
func (s series) numbers() (n int) {
	for _, v := range s {
		if !math.IsNaN(v) {
			n++
		}
	}
	return n
}

// MarshalJSON writes the values' bits.
func (s series) MarshalJSON() ([]byte, error) {
	bits := make([]byte, 0, 8*len(s))
	for _, v := range s {
		bits = binary.LittleEndian.AppendUint64(bits, math.Float64bits(v))
	}
	return json.Marshal(bits)
}

// UnmarshalJSON reads the values' bits.
func (s *series) UnmarshalJSON(data []byte) error {
	var bits []byte
	if err := json.Unmarshal(data, &bits); err != nil {
		return err
	}
	if len(bits)%8 != 0 || len(bits)/8 > maxPairs {
		return fmt.Errorf("%d bytes are no series of at most %d values", len(bits), maxPairs)
	}
	*s = make(series, 0, len(bits)/8)
	for ; len(bits) > 0; bits = bits[8:] {
		*s = append(*s, math.Float64frombits(binary.LittleEndian.Uint64(bits)))
	}
	return nil
}
