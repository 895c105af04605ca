package judge

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"switchd/judge/sequential"
	"switchd/spec"
)

// standing is where one edge stands.
type standing struct {
	edge     *edge
	name     string
	logE     float64
	unit     string // the node without which logE is that little, "" for none
	ratio    float64
	band     sequential.Interval
	passed   bool          // it is known to be no worse
	harmless bool          // its share of bad events is known to be harmless
	wait     time.Duration // until then; 0: not known
	never    string        // why that may never be
	all      bool          // band and ratio are about all that was seen
}

// Finding says what the samples so far show.
func (e *events) Finding() Finding {
	p := e.state.progress
	f := e.finding(&p)
	if p.Samples == 0 {
		f.Why = p.nothing()
		f.Need = e.need(p, e.patience(p))
		return e.distrust(f)
	}
	edges, logs := make([]standing, len(e.edges)), make([]float64, len(e.edges))
	for i := range edges {
		edges[i] = e.weigh(i)
		logs[i] = edges[i].logE
	}
	f.LogE = sequential.Average(logs, nil)
	lead := worst(edges)
	f.Ratio, f.Band = lead.ratio, lead.band
	switch {
	case f.LogE >= suspicious:
		f.Why = fmt.Sprintf("%s; allowed is %s", e.describe(lead), times(e.metric.Allowed))
	case e.metric.Require == spec.RequireNoRegression:
		f.Why = e.describe(lead)
		e.unhurt(p, &f)
	default:
		e.compare(p, &f, edges, lead)
	}
	return e.distrust(f)
}

// evidence returns the log e-value alone.
func (e *events) evidence() float64 {
	logs := make([]float64, len(e.state.Edges))
	for i, g := range e.state.Edges {
		logs[i], _ = e.against(g)
	}
	return sequential.Average(logs, nil)
}

// against returns an edge's log e-value and the node without which it is that little.
// A harmless share of bad events is no evidence.
func (e *events) against(g *edge) (float64, string) {
	logE, unit := g.Evidence.LogE()
	if g.badShare() <= e.metric.Harmless {
		logE = min(logE, 0)
	}
	return logE, unit
}

// distrust has a metric that failed its self-test say nothing.
func (t trial) distrust(f Finding) Finding {
	if f.Untrusted != "" {
		f.Outcome, f.LogE, f.Need = Undecided, 0, Need{Never: f.Untrusted}
		f.Why = "not judged: " + f.Untrusted
	}
	return f
}

// nothing says that there was no sample yet.
func (p progress) nothing() string {
	if p.Gaps == 0 {
		return "nothing was seen yet"
	}
	return fmt.Sprintf("no data in %s: %s", plural(p.Gaps, "step"), p.Missing)
}

// weigh tells where an edge stands.
func (e *events) weigh(i int) standing {
	g, p := e.state.Edges[i], e.state.progress
	s := standing{edge: g, name: e.name(i)}
	s.logE, s.unit = e.against(g)
	// A pass is about the present share, an alarm about all that was seen.
	tally := &g.Share
	if s.logE >= suspicious || p.Share.Settled == 0 {
		tally = &g.All
	}
	s.all = tally == &g.All
	r := tally.Ratio()
	s.band = r.Interval(e.analysis.Alpha)
	if estimate, ok := r.Estimate(); ok {
		s.ratio = estimate
	}
	if s.all {
		return s
	}
	s.harmless = e.metric.Harmless > 0 && g.Bad.AtMost(e.metric.Harmless, e.analysis.Alpha, e.mixture)
	limit, looks := 1+e.metric.Margin, float64(p.Share.Settled)
	s.passed = s.harmless || s.band.Upper < limit
	if s.passed || e.metric.Require == spec.RequireNoRegression {
		return s
	}
	more := g.Share.LooksUntil(limit, e.analysis.Alpha, looks, r)
	if e.metric.Harmless > 0 {
		more = min(more, g.Bad.LooksUntil(e.metric.Harmless, e.analysis.Alpha, looks, e.mixture))
	}
	switch {
	case !math.IsInf(more, 1):
		s.wait = e.looks(more)
	case g.Share.Events() == 0:
		s.never = "without a bad event on either side, there is no ratio to know, and no share was said to be harmless"
	default:
		s.never = fmt.Sprintf("unless it gets better, it can't be known to be below %s", times(limit))
	}
	return s
}

// badShare returns the experiment's share of bad events, since a regression shows,
// or of all.
func (g *edge) badShare() float64 {
	s := g.Seen[0]
	if g.Late.Score > 0 {
		s = g.Since
	}
	if s.Total == 0 {
		return 0
	}
	return s.Bad / s.Total
}

// worst returns the edge to speak of: the one with the most evidence against it, if
// that is suspicious, else the one whose ratio may be the largest.
func worst(edges []standing) standing {
	lead := edges[0]
	for _, s := range edges[1:] {
		if lead.logE >= suspicious || s.logE >= suspicious {
			if s.logE > lead.logE {
				lead = s
			}
			continue
		}
		// What isn't known at all is no example for anything.
		if known := !math.IsInf(s.band.Upper, 1); known && (s.band.Upper > lead.band.Upper || math.IsInf(lead.band.Upper, 1)) {
			lead = s
		}
	}
	return lead
}

// impatience is in units of the samples so far: an edge that needs as many more is
// left out of a pass, if another one is known.
const impatience = 10

// compare comes to the outcome of RequireNoWorse; lead is the edge to speak of while
// none is open.
func (e *events) compare(p progress, f *Finding, edges []standing, lead standing) {
	known, open, leftOut := []standing(nil), []standing(nil), []string(nil)
	hope := false // for an edge that isn't known yet
	for _, s := range edges {
		if s.passed {
			known = append(known, s)
		}
		hope = hope || !s.passed && s.never == ""
	}
	for _, s := range edges {
		silent := s.never != "" && s.edge.Share.Events() == 0
		rare := silent || s.wait > time.Duration(impatience*p.Share.Settled)*e.interval()
		switch {
		case s.passed:
		case (len(known) > 0 && rare || hope && silent) && s.logE < suspicious && s.ratio < 1+e.metric.Margin:
			leftOut = append(leftOut, strings.TrimPrefix(s.name, "share of requests "))
		default:
			open = append(open, s)
		}
	}
	if wait := e.patience(p); wait > 0 {
		f.Need = e.need(p, wait)
	}
	if len(open) > 0 {
		lead = open[0]
		for _, s := range open[1:] {
			if lead.never == "" && (s.never != "" || s.wait > lead.wait) {
				lead = s
			}
		}
		f.Ratio, f.Band = lead.ratio, lead.band
		if lead.never != "" {
			f.Need = Need{Never: lead.never}
			f.Why = e.describe(lead) + "; " + lead.never
			return
		}
		if lead.wait > f.Need.Time {
			f.Need = e.need(p, lead.wait)
		}
	}
	if f.Need.Time > 0 || len(open) > 0 { // while it settles, there is nothing to forecast from
		f.Why = "not enough data yet: " + e.describe(lead)
		return
	}
	f.Outcome = NoWorse
	lead = worst(known)
	f.Ratio, f.Band = lead.ratio, lead.band
	if lead.harmless && !(lead.band.Upper < 1+e.metric.Margin) {
		upper := lead.edge.Bad.Interval(e.analysis.Alpha, e.mixture).Upper
		f.Why = fmt.Sprintf("%s's %s is at most %s with %s confidence, %s; up to %s is harmless",
			ExperimentSide, lead.name, percent(upper), percent(f.Confidence), e.after(p, lead.all), percent(e.metric.Harmless))
	} else {
		f.Why = fmt.Sprintf("%s; below %s is no worse", e.describe(lead), times(1+e.metric.Margin))
	}
	if len(leftOut) > 0 {
		f.Why += fmt.Sprintf(" (too few to tell: requests %s)", list(leftOut))
	}
}

// describe says what an edge shows: "the new version's share of bad requests is 2.3
// to 4.1 times the live one's with 98 % confidence, after 7 min and 41,200 requests".
func (e *events) describe(s standing) string {
	g, after := s.edge, e.after(e.state.progress, s.all)
	subject := fmt.Sprintf("%s's %s", ExperimentSide, s.name)
	if g.Seen[0].Bad+g.Seen[1].Bad == 0 {
		return fmt.Sprintf("%s is 0, as %s's, %s", subject, ControlSide, after)
	}
	confidence := 1 - e.analysis.Alpha
	if s.logE >= suspicious && e.late(g.Late, e.state.progress) {
		if ratio, ok := g.Worse.Ratio().Estimate(); ok {
			return latePhrase(subject, g.Late.Since, ratio, s.band, confidence, after)
		}
	}
	text := phrase(subject, s.band, confidence, after)
	if s.logE >= suspicious {
		text = suspicion(subject+shares(g.Seen), s.ratio, e.metric.Allowed, s.band, confidence, after)
	}
	if s.unit != "" && s.logE < suspicious && g.Evidence.All.LogE >= suspicious {
		text += fmt.Sprintf("; that it is worse hangs on node %s alone", s.unit)
	}
	return text
}

// shares writes the shares of bad events of both sides.
func shares(seen [2]sequential.Sample) string {
	for _, s := range seen {
		if s.Total == 0 {
			return ""
		}
	}
	return fmt.Sprintf(" (%s against %s)", percent(seen[0].Bad/seen[0].Total), percent(seen[1].Bad/seen[1].Total))
}

// suspicion says what a ratio may be that is most likely too large. The evidence of
// one side weighs more than a band that looks at both, which may be wide still.
func suspicion(subject string, ratio, allowed float64, i sequential.Interval, confidence float64, after string) string {
	if i.Lower > allowed || ratio == 0 {
		return phrase(subject, i, confidence, after)
	}
	return fmt.Sprintf("%s is some %s times %s's (%s with %s confidence, %s)", subject, times(ratio), ControlSide, between(i), percent(confidence), after)
}

// phrase says what a ratio may be.
func phrase(subject string, i sequential.Interval, confidence float64, after string) string {
	return fmt.Sprintf("%s is %s %s's with %s confidence, %s", subject, between(i), ControlSide, percent(confidence), after)
}

// latePhrase says it of a ratio that has become worse: the band is that of all
// that was seen, good or bad, as one for a time that was chosen by what it shows
// would claim too much.
func latePhrase(subject string, since time.Time, ratio float64, i sequential.Interval, confidence float64, after string) string {
	return fmt.Sprintf("%s is some %s times %s's since about %s (on the whole, %s with %s confidence, %s)",
		subject, times(ratio), ControlSide, clock(since), between(i), percent(confidence), after)
}

// after says how much a band rests on: all that was seen, or what was at the present
// share of the traffic, after the new pool has settled.
func (t trial) after(p progress, all bool) string {
	took, requests := p.Until.Sub(p.Since)+t.interval(), p.Requests[0]
	if !all {
		took, requests = time.Duration(p.Share.Settled)*t.interval(), p.Share.Requests
	}
	if requests == 0 {
		return "after " + span(took)
	}
	return fmt.Sprintf("after %s and %s requests", span(took), Count(requests))
}

// between writes a band of ratios.
func between(i sequential.Interval) string {
	switch lower, upper := i.Lower > 0, !math.IsInf(i.Upper, 1); {
	case lower && upper:
		return fmt.Sprintf("%s to %s times", times(i.Lower), times(i.Upper))
	case upper:
		return fmt.Sprintf("at most %s times", times(i.Upper))
	case lower:
		return fmt.Sprintf("at least %s times", times(i.Lower))
	default:
		return "an unknown number of times"
	}
}

// times writes a ratio.
func times(v float64) string {
	digits := 2
	switch {
	case v >= 20:
		digits = 0
	case v >= 2:
		digits = 1
	}
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 3, 64) + " %" }

// clock writes the time of day.
func clock(t time.Time) string { return t.UTC().Format("15:04:05Z") }
