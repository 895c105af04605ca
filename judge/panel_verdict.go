package judge

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"switchd/judge/mannwhitney"
	"switchd/judge/sequential"
	"switchd/spec"
)

// Verdict says what the samples so far come to:
//
//   - regressed, as soon as one metric of threshold or expr is, as the sequential
//     metrics together raise the alarm, or as the mannwhitney metrics' score or a
//     critical one of them fails;
//   - no worse, when all metrics are, and the score passes;
//   - undecided until then, with the need of the metric that takes longest.
//
// Nothing passes on what was seen once: while a metric's newest look is a gap, it is
// undecided. So is one that failed its self-test, for good. It is cheap, and made to be asked
// after every Observe: an alarm that nobody asked for may be gone with the next.
func (p *Panel) Verdict() Verdict {
	c := p.convene()
	v := Verdict{Findings: c.findings}
	v.LogE, v.Limit, _ = p.evidence()
	v.Outcome, v.Why, v.Need = c.decide()
	if v.Outcome == NoWorse { // what speaks against it has said so itself
		v.Why += ", " + p.course.after(p.analysis.Interval.Std())
	}
	v.Why, v.Need.Never = p.names.Replace(v.Why), p.names.Replace(v.Need.Never)
	for i := range v.Findings {
		f := &v.Findings[i]
		f.Why, f.Need.Never, f.Untrusted = p.names.Replace(f.Why), p.names.Replace(f.Need.Never), p.names.Replace(f.Untrusted)
	}
	return v
}

// evidence returns the log of the sequential metrics' weighted mean e-value and
// where it is an alarm; false if there are no such metrics. A metric without a
// sample has an e-value of 1.
func (p *Panel) evidence() (logE, limit float64, ok bool) {
	var logs, weights []float64
	for _, m := range p.members {
		if m.sequential() {
			logs, weights = append(logs, m.finding.LogE), append(weights, m.metric.Weight)
		}
	}
	if len(logs) == 0 {
		return 0, 0, false
	}
	return sequential.Average(logs, weights), sequential.Threshold(p.analysis.Alpha), true
}

// sequential tells whether the metric takes part in the alarm.
func (m *member) sequential() bool {
	return m.metric.Judge == spec.JudgeSequential && m.untrusted() == ""
}

// untrusted says why the metric can't be judged, "" if it can.
func (m *member) untrusted() string { return m.finding.Untrusted }

// carriers are the metrics that raise the alarm: the strongest, and those besides
// whose evidence is needed for it and speaks against the version by itself.
func (p *Panel) carriers() map[string]bool {
	logE, limit, ok := p.evidence()
	if !ok || logE < limit {
		return nil
	}
	var strongest []*member
	for _, m := range p.members {
		if m.sequential() {
			strongest = append(strongest, m)
		}
	}
	share := func(m *member) float64 { return math.Log(m.metric.Weight) + m.finding.LogE }
	slices.SortStableFunc(strongest, func(a, b *member) int { return cmp.Compare(share(b), share(a)) })
	carriers := make(map[string]bool)
	logs, weights := make([]float64, len(strongest)), make([]float64, len(strongest))
	for i, m := range strongest {
		logs[i], weights[i] = math.Inf(-1), m.metric.Weight
	}
	for i, m := range strongest {
		if i > 0 && m.finding.LogE < suspicious {
			break
		}
		carriers[m.metric.Name] = true
		logs[i] = m.finding.LogE
		if sequential.Average(logs, weights) >= limit {
			break
		}
	}
	return carriers
}

// council is the findings of one moment, sorted out.
type council struct {
	findings  []Finding
	regressed []Finding // by themselves or as carriers of the alarm
	undecided []Finding
	passing   []Finding
	ranked    []Finding       // of mannwhitney: their score decides
	unproven  map[string]bool // those that pass since no regression showed in a time
	score     spec.Score
}

func (p *Panel) convene() *council {
	c := &council{score: p.analysis.Score, unproven: make(map[string]bool)}
	carriers := p.carriers()
	for _, m := range p.members {
		f := m.finding
		if !strings.HasPrefix(f.Why, f.Metric) {
			f.Why = f.Metric + ": " + f.Why
		}
		if m.afresh != "" {
			f.Why += "; " + m.afresh
		}
		switch {
		case carriers[f.Metric]:
			f.Outcome, f.Need = Regressed, Need{}
		case f.Untrusted != "":
			f.Outcome = Undecided
			f.Why += "; give it another judge, such as threshold"
			f.Need = Need{Never: f.Why}
		case f.Blind && f.Outcome == NoWorse:
			f.Outcome = Undecided
			f.Why = fmt.Sprintf("%s: nothing was seen at the newest look; before, %s", f.Metric, strings.TrimPrefix(f.Why, f.Metric+": "))
		}
		if f.Blind && f.Need.Never == "" {
			f.Need = Need{} // at a rate of nothing, nobody knows
		}
		c.unproven[f.Metric] = f.Judge == spec.JudgeSequential && m.metric.Require == spec.RequireNoRegression
		c.findings = append(c.findings, f)
		switch {
		case f.Judge == spec.JudgeMannWhitney:
			c.ranked = append(c.ranked, f)
		case f.Outcome == Regressed:
			c.regressed = append(c.regressed, f)
		case f.Outcome == NoWorse:
			c.passing = append(c.passing, f)
		default:
			c.undecided = append(c.undecided, f)
		}
	}
	return c
}

// decide comes to one outcome.
func (c *council) decide() (Outcome, string, Need) {
	scored, sentence := c.sum()
	var complaints []string
	for _, f := range c.regressed {
		complaints = append(complaints, f.Why)
	}
	if scored == Regressed {
		complaints = append(complaints, sentence)
	}
	if len(complaints) > 0 {
		return Regressed, few(complaints, "; ", "complaints"), Need{}
	}
	waiting := c.undecided
	for _, f := range c.ranked {
		if f.Classification == "" {
			waiting = append(waiting, f)
		}
	}
	switch {
	case len(waiting) > 0:
		return c.wait(waiting)
	case len(c.ranked) == 0 || scored == NoWorse:
		return NoWorse, c.praise(sentence), Need{}
	case sentence == "": // nothing could be scored
		return c.wait(c.ranked)
	}
	return Undecided, sentence, Need{Never: sentence}
}

// wait names the metric that takes longest, and what it needs.
func (c *council) wait(waiting []Finding) (Outcome, string, Need) {
	longest := waiting[0]
	for _, f := range waiting[1:] {
		if f.Need.longer(longest.Need) {
			longest = f
		}
	}
	why := longest.String()
	if len(waiting) > 1 {
		why = fmt.Sprintf("%d of %d metrics are undecided; what takes longest is %s", len(waiting), len(c.findings), why)
	}
	return Undecided, why, longest.Need
}

// praise says of all metrics that they pass, by their judges' words.
func (c *council) praise(score string) string {
	const watched = "watched" // unlike those that are known to be no worse
	byJudge := make(map[string][]string)
	for _, f := range c.passing {
		judge := f.Judge
		if c.unproven[f.Metric] {
			judge = watched
		}
		byJudge[judge] = append(byJudge[judge], f.Metric)
	}
	var parts []string
	for _, judge := range []struct{ name, one, many string }{
		{spec.JudgeSequential, "is no worse than the margin", "are no worse than the margin"},
		{watched, "shows no regression, which is no proof,", "show no regression, which is no proof,"},
		{spec.JudgeThreshold, "is within bounds", "are within bounds"},
		{spec.JudgeExpr, "holds", "hold"},
	} {
		switch names := byJudge[judge.name]; len(names) {
		case 0:
		case 1:
			parts = append(parts, names[0]+" "+judge.one)
		default:
			parts = append(parts, few(names, ", ", "metrics")+" "+judge.many)
		}
	}
	if score != "" {
		parts = append(parts, score)
	}
	return list(parts) + " on " + ExperimentSide
}

// sum comes to a score of the mannwhitney metrics once all were judged, with a
// sentence on it. A critical metric needs not wait for the others. There is no
// sentence as long as there is no score.
func (c *council) sum() (Outcome, string) {
	var results []mannwhitney.Result
	var names, bad []string
	complete, told := true, false
	for _, f := range c.ranked {
		class := mannwhitney.Classification(f.Classification)
		if f.Critical && class != mannwhitney.Pass {
			return Regressed, f.Why + ", and it is critical"
		}
		names = append(names, f.Metric)
		results = append(results, scored(f))
		complete = complete && class != ""
		told = told || class != mannwhitney.Error
		if class != mannwhitney.Pass {
			bad = append(bad, f.Why)
		}
	}
	if len(results) == 0 || !complete || !told {
		return Undecided, ""
	}
	sum := mannwhitney.Sum(results, c.score.Weights, mannwhitney.Thresholds{Pass: c.score.Pass, Marginal: c.score.Marginal})
	sentence := fmt.Sprintf("the score of %s is %s of 100", few(names, ", ", "metrics"), Short(sum.Score))
	reasons := sum.Reason
	if reasons == "" {
		reasons = few(bad, "; ", "metrics")
	}
	switch sum.Grade {
	case mannwhitney.Passed:
		return NoWorse, sentence
	case mannwhitney.Failed:
		return Regressed, fmt.Sprintf("%s, at least %s is marginal: %s", sentence, Short(c.score.Marginal), reasons)
	default:
		return Undecided, fmt.Sprintf("%s, at least %s passes and below %s fails, so a person must decide: %s",
			sentence, Short(c.score.Pass), Short(c.score.Marginal), reasons)
	}
}

// few joins the first of many, so that a sentence stays one.
func few(texts []string, by, things string) string {
	const most = 5
	if len(texts) > most {
		return strings.Join(texts[:most], by) + fmt.Sprintf(" and %d more %s", len(texts)-most, things)
	}
	if by == ", " {
		return list(texts)
	}
	return strings.Join(texts, by)
}
