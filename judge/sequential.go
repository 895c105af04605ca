package judge

import (
	"fmt"
	"math"
	"time"

	"switchd/spec"
)

// suspicious is the log e-value from which on a metric does not pass, though it is
// no alarm: a p-value of 0.2.
var suspicious = math.Log(5)

// newSequential returns the judge that may be looked at any time: its chance of a
// false alarm holds over all looks together. Its findings are no worse or
// undecided; the alarm is raised by a Panel, by the evidence of all metrics.
func newSequential(m spec.Metric, a spec.Analysis, b Background) (Judge, error) {
	if !(a.Alpha > 0 && a.Alpha < 1) {
		return nil, fmt.Errorf("metric %q: alpha must be between 0 and 1, got %v", m.Name, a.Alpha)
	}
	if !(m.Allowed > 0) || math.IsInf(m.Allowed, 0) {
		return nil, fmt.Errorf("metric %q: allowed must be a finite number above 0, got %v", m.Name, m.Allowed)
	}
	if m.Require != spec.RequireNoRegression && !(m.Margin > 0) {
		return nil, fmt.Errorf("metric %q: margin must be above 0, got %v", m.Name, m.Margin)
	}
	t := trial{metric: m, analysis: a, background: b}
	if m.Query != "" {
		return newMeans(t)
	}
	return newEvents(t)
}

// trial is what the sequential judges of events and of means have in common: the
// rules, which never change.
type trial struct {
	metric     spec.Metric
	analysis   spec.Analysis
	background Background
}

// progress is how far they have come.
type progress struct {
	course
	// Began is the end of the first step with data: a pool that nobody has seen yet
	// doesn't settle.
	Began time.Time `json:"began,omitzero"`
	// Missing says why the newest gap is one.
	Missing string `json:"missing,omitempty"`
	// Requests are those of the experiment and the control.
	Requests [2]float64 `json:"requests"`
	// Share is the present share of the traffic.
	Share stage `json:"share"`
}

// stage is how far they have come at one share of the traffic.
type stage struct {
	Began    time.Time `json:"began,omitzero"` // the beginning of its first step
	Samples  int       `json:"samples"`
	Settled  int       `json:"settled"`  // samples after the new pool has settled
	Requests float64   `json:"requests"` // of the experiment, in settled samples
}

func (t trial) interval() time.Duration { return time.Duration(t.analysis.Interval) }

// enter takes note of a sample that says something.
func (t trial) enter(p *progress, s Sample, requests [2]float64) {
	p.add(s.At, false)
	if p.Began.IsZero() {
		p.Began = s.At.UTC()
	}
	for side, n := range requests {
		p.Requests[side] = math.Round((p.Requests[side]+n)*1e3) / 1e3
	}
	if p.Share.Began.IsZero() {
		p.Share.Began = s.At.UTC().Add(-t.interval())
	}
	p.Share.Samples++
	if t.settled(*p) {
		p.Share.Settled++
		p.Share.Requests = math.Round((p.Share.Requests+requests[0])*1e3) / 1e3
	}
}

// gap takes note of a sample that says nothing.
func (p *progress) gap(at time.Time, why string) {
	p.add(at, true)
	p.Missing = why
}

// grace returns by how much the experiment may be worse than allowed at the newest
// sample, as a new pool's caches are cold: a factor that falls from SettleFactor to 1 in
// the time of Settle, fast at first, as caches fill. The hypothesis only gets wider by
// it, so no alarm is false that was not false before, and a gross fault shows at once
// all the same.
func (t trial) grace(p progress) float64 {
	if t.settled(p) {
		return 1
	}
	left := 1 - p.Until.Sub(p.Began).Seconds()/time.Duration(t.analysis.Settle).Seconds()
	return 1 + left*left*(t.analysis.SettleFactor-1)
}

// settled tells whether the newest sample is after the time of Settle. A pass rests
// on those alone.
func (t trial) settled(p progress) bool {
	return t.analysis.SettleFactor <= 1 || !p.Began.IsZero() && p.Until.Sub(p.Began) >= time.Duration(t.analysis.Settle)
}

// finding begins a finding.
func (t trial) finding(p *progress) Finding {
	f := p.finding(t.metric)
	f.Weight, f.Confidence = t.metric.Weight, 1-t.analysis.Alpha
	if f.Weight <= 0 {
		f.Weight = 1
	}
	f.Requests = p.Requests
	f.Untrusted, f.Widened = t.background.Untrusted, t.background.Widened
	return f
}

// patience is how long the share has to be looked at, whatever it shows: the looks
// of the analysis, and the time of RequireNoRegression.
func (t trial) patience(p progress) time.Duration {
	samples := p.Share.Samples
	if t.metric.Require == spec.RequireNoWorse {
		samples = p.Share.Settled
	}
	wait := time.Duration(max(0, t.analysis.Looks-samples)) * t.interval()
	if t.metric.Require == spec.RequireNoRegression {
		wait = max(wait, time.Duration(t.metric.After)-t.watched(p))
	}
	return wait
}

// watched is how long the share has been looked at.
func (t trial) watched(p progress) time.Duration {
	if p.Share.Began.IsZero() {
		return 0
	}
	return p.Until.Sub(p.Share.Began)
}

// unhurt comes to the outcome of RequireNoRegression: it passes by time.
func (t trial) unhurt(p progress, f *Finding) {
	wait := t.patience(p)
	switch {
	case wait > 0:
		f.Need = t.need(p, wait)
		f.Why = fmt.Sprintf("no regression so far, to be watched for %s more: %s", span(wait), f.Why)
	default:
		f.Outcome = NoWorse
		f.Why = fmt.Sprintf("no regression in %s, which is no proof that there is none: %s", span(t.watched(p)), f.Why)
	}
}

// need tells what a time brings at the present rate.
func (t trial) need(p progress, wait time.Duration) Need {
	// Looks are at multiples of the interval.
	wait = (wait + t.interval() - 1) / t.interval() * t.interval()
	return Need{Time: wait, Requests: math.Ceil(t.pace(p) * wait.Seconds() / t.interval().Seconds())}
}

// pace is the experiment's requests a look.
func (t trial) pace(p progress) float64 {
	if p.Share.Settled > 0 {
		return p.Share.Requests / float64(p.Share.Settled)
	}
	return p.Requests[0] / float64(max(1, p.Samples))
}

// maxWait bounds a forecast: what takes longer is said to take more than that.
const maxWait = 30 * 24 * time.Hour

// looks is the time of so many looks, at most maxWait.
func (t trial) looks(n float64) time.Duration {
	return time.Duration(min(math.Ceil(n)*float64(t.interval()), float64(maxWait)))
}

// cusum tells since when a regression shows: it adds up the evidence for it and
// begins anew whenever that is used up (Page, "Continuous inspection schemes",
// Biometrika 41 (1954)).
type cusum struct {
	Score float64   `json:"score,omitempty"`
	Since time.Time `json:"since,omitzero"` // the beginning of its first step
}

// cusumRatio is the ratio that the evidence is for, in units of the null.
const cusumRatio = 1.5

// add takes in the log-likelihood ratio of a step and tells whether it is the first
// of a new beginning.
func (c *cusum) add(logRatio float64, began time.Time) bool {
	fresh := c.Score <= 0
	if fresh {
		c.Since = began.UTC()
	}
	c.Score = math.Round(max(0, c.Score+logRatio)*1e6) / 1e6
	return fresh
}

// late tells whether a regression began some looks after the first.
func (t trial) late(c cusum, p progress) bool {
	return c.Score > 0 && c.Since.Sub(p.Since) >= 2*t.interval()
}
