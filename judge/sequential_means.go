package judge

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"switchd/judge/sequential"
	"switchd/spec"
)

// means is the sequential judge of a value that each side has at each look, such as
// the mean use of CPU. It judges the log of the ratio of both, so a look at which one
// isn't above 0 says nothing: such a metric is one for the judge threshold.
type means struct {
	trial
	gauss sequential.Gauss
	state meansState
}

type meansState struct {
	progress
	Evidence *sequential.Onset `json:"evidence"`
	// All are the logs of the ratio, and Share those at the present share of the
	// traffic, after the new pool has settled.
	All   sequential.Mean `json:"all"`
	Share sequential.Mean `json:"share_values"`
	// Late tells since when a regression shows, and Worse the logs since then.
	Late  cusum           `json:"late"`
	Worse sequential.Mean `json:"worse"`
}

// gaussLooks is the number of looks that the band of a mean is tuned for.
const gaussLooks = 30

// maxLogRatio bounds what a single look can say: a hundred times as much.
var maxLogRatio = math.Log(100)

func newMeans(t trial) (*means, error) {
	gauss, err := sequential.NewGauss(gaussLooks, t.analysis.Alpha)
	if err != nil {
		return nil, fmt.Errorf("metric %q: %w", t.metric.Name, err)
	}
	return &means{trial: t, gauss: gauss, state: meansState{Evidence: sequential.NewOnset()}}, nil
}

// Observe takes in the sample of one step.
func (m *means) Observe(s Sample) {
	experiment, why := above(s.Experiment, ExperimentSide)
	control, whyNot := above(s.Control, ControlSide)
	if why == "" {
		why = whyNot
	}
	if why != "" {
		m.state.gap(s.At, why)
		return
	}
	m.enter(&m.state.progress, s, [2]float64{})
	x := math.Log(experiment / control)
	x = math.Round(max(-maxLogRatio, min(x, maxLogRatio))*1e6) / 1e6
	noise := m.noise()
	refused := []error{m.state.Evidence.ObserveMean(x, m.metric.Allowed, m.grace(m.state.progress), noise), m.state.All.Observe(x)}
	if m.settled(m.state.progress) {
		refused = append(refused, m.state.Share.Observe(x))
	}
	shift := math.Log(cusumRatio)
	if fresh := m.state.Late.add(shift*(x-math.Log(m.metric.Allowed)-shift/2)/noise.Variance, m.state.Until.Add(-m.interval())); fresh {
		m.state.Worse = sequential.Mean{}
	}
	refused = append(refused, m.state.Worse.Observe(x))
	if err := errors.Join(refused...); err != nil {
		m.state.Missing = err.Error()
	}
}

// above returns a side's value, or why there is none.
func above(r Reading, side string) (float64, string) {
	switch {
	case r.Missing != "":
		return 0, r.Missing
	case math.IsNaN(r.Value) || math.IsInf(r.Value, 0):
		return 0, fmt.Sprintf("the value of %s is %v", side, r.Value)
	case r.Value <= 0:
		return 0, fmt.Sprintf("the value of %s is %s, and only values above 0 have a ratio", side, Short(r.Value))
	}
	return r.Value, ""
}

// noise returns that of the log of the ratio: that of two pools, or that of the looks
// before if it is more. It must not depend on the look that it is for.
func (m *means) noise() sequential.Noise {
	noise := m.background.noise(0, m.analysis)
	spread := m.state.All.StdDev()
	seen := sequential.Lasting(spread, noise.Lasting)
	noise.Variance = max(2*noise.Variance, seen.Variance, 1e-6)
	return noise
}

// Step begins a new share of the traffic.
func (m *means) Step() {
	m.state.progress.Share = stage{}
	m.state.Share = sequential.Mean{}
}

// Finding says what the samples so far show.
func (m *means) Finding() Finding {
	p := m.state.progress
	f := m.finding(&p)
	if p.Samples == 0 {
		f.Why = p.nothing()
		f.Need = m.need(p, m.patience(p))
		return m.distrust(f)
	}
	f.LogE = m.evidence()
	seen, all := m.state.Share, f.LogE >= suspicious || m.state.Share.Count == 0
	if all {
		seen = m.state.All
	}
	f.Ratio, f.Band = math.Exp(seen.Mean), m.band(seen)
	f.Why = phrase(ExperimentSide+"'s value", f.Band, f.Confidence, m.after(p, all))
	limit := 1 + m.metric.Margin
	switch {
	case f.LogE >= suspicious:
		f.Why = suspicion(ExperimentSide+"'s value", f.Ratio, m.metric.Allowed, f.Band, f.Confidence, m.after(p, all))
		if m.late(m.state.Late, p) {
			f.Why = latePhrase(ExperimentSide+"'s value", m.state.Late.Since, math.Exp(m.state.Worse.Mean), f.Band, f.Confidence, m.after(p, all))
		}
		f.Why += fmt.Sprintf("; allowed is %s", times(m.metric.Allowed))
	case m.metric.Require == spec.RequireNoRegression:
		m.unhurt(p, &f)
	case f.Band.Upper < limit && m.patience(p) <= 0:
		f.Outcome = NoWorse
		f.Why += fmt.Sprintf("; below %s is no worse", times(limit))
	default:
		m.compare(p, &f, limit)
	}
	return m.distrust(f)
}

// evidence returns the log e-value alone.
func (m *means) evidence() float64 { return m.state.Evidence.LogE }

// compare tells what a pass still needs.
func (m *means) compare(p progress, f *Finding, limit float64) {
	if f.Band.Upper >= limit && p.Share.Settled > 0 {
		wait, ok := m.wait(limit)
		if !ok {
			f.Need = Need{Never: fmt.Sprintf("unless it gets better, it can't be known to be below %s", times(limit))}
			f.Why += "; " + f.Need.Never
			return
		}
		f.Need = m.need(p, m.looks(wait))
	}
	if patience := m.patience(p); patience > f.Need.Time {
		f.Need = m.need(p, patience)
	}
	f.Why = "not enough data yet: " + f.Why
}

// wait returns how many further looks it takes until the band is below the limit;
// false if never.
func (m *means) wait(limit float64) (float64, bool) {
	now := m.state.Share
	if now.Mean >= math.Log(limit) {
		return 0, false
	}
	for more := 1.; more < 1e6; more *= 1.25 {
		later := now
		later.Count += more
		if m.band(later).Upper < limit {
			return more, true
		}
	}
	return 0, false
}

// band returns the ratios that the values so far don't contradict.
func (m *means) band(seen sequential.Mean) sequential.Interval {
	if seen.Count < 2 {
		return sequential.Interval{Lower: 0, Upper: math.Inf(1)}
	}
	// The spread within minutes says little of the spread over hours.
	seen.Squares = max(seen.Squares, m.noise().Variance*(seen.Count-1))
	i := seen.Interval(m.analysis.Alpha, m.gauss)
	return sequential.Interval{Lower: math.Exp(i.Lower), Upper: math.Exp(i.Upper)}
}

// MarshalJSON writes the state.
func (m *means) MarshalJSON() ([]byte, error) { return json.Marshal(m.state) }

// UnmarshalJSON reads the state and refuses one of another metric.
func (m *means) UnmarshalJSON(data []byte) error {
	var s meansState
	if err := strict(data, &s); err != nil {
		return fmt.Errorf("metric %q: read the evidence: %w", m.metric.Name, err)
	}
	if s.Evidence == nil || len(s.Evidence.Stakes) == 0 {
		return fmt.Errorf("metric %q: read the evidence: it is missing", m.metric.Name)
	}
	for _, v := range []sequential.Mean{s.All, s.Share, s.Worse} {
		if !(v.Count >= 0 && v.Squares >= 0) {
			return fmt.Errorf("metric %q: read the evidence: %v values of a spread of %v can't be", m.metric.Name, v.Count, v.Squares)
		}
	}
	if err := errors.Join(s.check(), s.Late.check()); err != nil {
		return fmt.Errorf("metric %q: read the evidence: %w", m.metric.Name, err)
	}
	m.state = s
	return nil
}
