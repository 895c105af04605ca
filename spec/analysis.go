package spec

import (
	"cmp"
	"slices"
	"strings"
)

// What a new version is compared with.
const (
	// CompareLive is the live pool, at the same time, under its share of the
	// same traffic.
	CompareLive = "live"
	// CompareWarmup is the live pool, while the new one is under the warm-up's
	// load.
	CompareWarmup = "warmup"
	// CompareFormer is the service itself at the same time of former days.
	CompareFormer = "former"
)

// maxMetrics bounds what is asked of Prometheus at each look.
const maxMetrics = 1000

// Analysis judges the new version on Prometheus while it has its share.
type Analysis struct {
	Prometheus string   `json:"prometheus"` // base URL; the environment's if not set
	Interval   Duration `json:"interval"`   // the step between two looks, which are at its multiples
	Looks      int      `json:"looks"`      // least looks at each share
	// Alpha is the probability of a false alarm by the sequential judge, over
	// all its metrics and looks of one rollout together.
	Alpha float64 `json:"alpha"`
	// Compare is one of the Compare constants; Fallback is one or "": what to
	// compare with if the new version gets no share of the traffic.
	Compare  string `json:"compare"`
	Fallback string `json:"fallback,omitempty"`
	// Days are the former days that CompareFormer looks at, and Wider the
	// factor by which allowed and margin are widened for it.
	Days  int     `json:"days"`
	Wider float64 `json:"wider"`
	// Settle is the time in which a new pool may be up to SettleFactor times
	// as bad as allowed otherwise, less and less so: caches are cold.
	Settle       Duration `json:"settle"`
	SettleFactor float64  `json:"settle_factor"`
	// History is the live pool's time before the release that noise is
	// estimated from, and that the A/A self-test runs on; 0: none.
	History Duration `json:"history"`
	// Noise is by how much the nodes of one version differ where no history
	// tells: a standard deviation, 0.3 for 30 %.
	Noise   float64  `json:"noise"`
	Score   Score    `json:"score"`
	Metrics []Metric `json:"metrics"` // sorted by name
}

// Score sums up the metrics of the judge mannwhitney.
type Score struct {
	Pass     float64            `json:"pass"`     // least one that passes, 0 to 100
	Marginal float64            `json:"marginal"` // least one that doesn't fail
	Weights  map[string]float64 `json:"weights,omitempty"`
}

func (a *Analysis) form() form {
	metrics := listed("metric", labelRule(), &a.Metrics, defaultMetric, func(m Metric) string { return m.Name })
	metrics.top = true // a service has one analysis
	blocks := []nested{single("score", &a.Score), metrics}
	for _, kind := range readyKinds() {
		blocks = append(blocks, readyMade(kind, &a.Metrics))
	}
	return form{
		attrs: []attr{
			text("prometheus", &a.Prometheus, urlRule()),
			span("interval", &a.Interval, shortest),
			whole("looks", &a.Looks, 1, 10000),
			number("alpha", &a.Alpha, 1e-6, 0.5),
			text("compare", &a.Compare, oneOf(CompareLive, CompareWarmup, CompareFormer)),
			text("fallback", &a.Fallback, oneOf(CompareWarmup, CompareFormer)),
			whole("days", &a.Days, 1, 31),
			number("wider", &a.Wider, 1, 100),
			span("settle", &a.Settle, 0),
			number("settle_factor", &a.SettleFactor, 1, 100),
			span("history", &a.History, 0),
			number("noise", &a.Noise, 0, 10),
		},
		blocks: blocks,
		check:  a.validate,
	}
}

func (s *Score) form() form {
	return form{
		attrs: []attr{
			number("pass", &s.Pass, 0, 100),
			number("marginal", &s.Marginal, 0, 100),
			numbers("weights", &s.Weights, groupRule(), 0, 100),
		},
		check: s.validate,
	}
}

func (s *Score) validate(at scope) {
	if s.Marginal > s.Pass {
		at.wrong("marginal", "Scores crossed", "marginal is %v and pass is %v: a score that passes must not be one that fails.", s.Marginal, s.Pass)
	}
	sum := 0.0
	for _, weight := range s.Weights {
		sum += weight
	}
	if sum > 100 {
		at.wrong("weights", "Weights too large", "The weights of the groups are %v together, and at most 100 are to be given: groups without one share what is left.", sum)
	}
}

func (a *Analysis) validate(at scope) {
	slices.SortFunc(a.Metrics, func(x, y Metric) int { return cmp.Compare(x.Name, y.Name) })
	switch {
	case len(a.Metrics) == 0:
		at.wrong("", "Nothing to analyse", "The analysis has no metric, so that it could never tell good from bad. Add an errors, latency, saturation or metric block, or remove the analysis.")
	case len(a.Metrics) > maxMetrics:
		at.wrong("", "Too many metrics", "The analysis has %d metrics, and at most %d are looked at. Leave out those that tell the least.", len(a.Metrics), maxMetrics)
	}
	top := scope{c: at.c}
	for i, m := range a.Metrics {
		if i > 0 && m.Name == a.Metrics[i-1].Name {
			top.wrong("metric."+m.Name, "Two metrics of one name", "The block %s (%s) makes a metric of the name %q too. Give this one another name, or remove one of the two.",
				m.Name, place(top.where(m.Name)), m.Name)
		}
	}
	if a.Fallback != "" && a.Compare != CompareLive {
		at.wrong("fallback", "Fallback without use", "fallback is what to compare with if the new version gets no share of the traffic, which compare = %q doesn't need. Remove one of the two.", a.Compare)
	}
	a.validateMannWhitney(at)
	for _, kind := range readyKinds() {
		if top.set(kind) {
			at.c.origins.move(kind, "metric."+kind)
		}
	}
}

// leastSamples is how many of each side the test of Mann and Whitney needs to
// tell anything that matters at the usual confidence.
const leastSamples = 10

func (a *Analysis) validateMannWhitney(at scope) {
	var groups []string
	for _, m := range a.Metrics {
		if m.MannWhitney == nil {
			continue
		}
		groups = append(groups, m.MannWhitney.Group)
		if a.Looks < leastSamples {
			at.wrong("looks", "Too few samples", "Metric %q has the judge %q, which compares looks samples of each side: %d are too few to tell anything. Set looks to %d or more (Kayenta advises 50).",
				m.Name, m.Judge, a.Looks, leastSamples)
			break
		}
	}
	slices.Sort(groups)
	for group := range a.Score.Weights {
		if !slices.Contains(groups, group) && len(at.c.diags) == 0 {
			at.wrong("score.weights", "Unknown group", "score.weights names the group %q, but no metric of the judge %q is in it.%s", group, JudgeMannWhitney, DidYouMean(group, slices.Compact(groups)))
		}
	}
}

func (a *Analysis) settle(e Environment, at scope) {
	if a.Prometheus == "" {
		a.Prometheus = e.Prometheus
	}
	if a.Prometheus == "" {
		at.wrong("analysis", "No Prometheus", "The analysis doesn't know what to ask: set prometheus here or in environment %q.", e.Name)
	}
}

// compares tells whether a metric sets the new version against another.
func (m *Metric) compares() bool {
	return m.Judge == JudgeSequential || m.Judge == JudgeMannWhitney
}

// validateAnalysis looks at what the analysis needs of the rest of the service.
func (s *Service) validateAnalysis(at scope) {
	a := s.Analysis
	if a == nil {
		return
	}
	i := slices.IndexFunc(a.Metrics, func(m Metric) bool { return m.compares() })
	if i >= 0 && len(s.Weights) == 0 && a.Fallback == "" && !at.set("analysis.compare") {
		at.wrong("analysis", "Nothing to compare with", "Metric %q is compared with the live pool under the same traffic, but without weights the new version gets no share of it. Set weights; or set compare or fallback to %q or %q; or, if the idle pool gets mirrored traffic, say compare = %q.",
			a.Metrics[i].Name, CompareWarmup, CompareFormer, CompareLive)
	}
	for _, name := range []string{"compare", "fallback"} {
		if s.Warmup == nil && map[string]string{"compare": a.Compare, "fallback": a.Fallback}[name] == CompareWarmup {
			at.wrong("analysis."+name, "No warm-up", "%s is %q, but service %q has no warmup block to put the new version under load.", name, CompareWarmup, s.Name)
		}
	}
	i = slices.IndexFunc(a.Metrics, func(m Metric) bool { return m.Name == readySaturation && m.compares() })
	if i >= 0 && at.set(readySaturation) && !at.set(readySaturation+".query") && len(s.Weights) > 0 && slices.Max(s.Weights) > 50 {
		at.wrong(readySaturation, "Shares not alike", "saturation compares the load of the pools' nodes, but at %d %% the new version has the larger part of the traffic: it would be halted for that. Judge it by itself, with judge = %q and max; or give it a query of the load a request.",
			slices.Max(s.Weights), JudgeThreshold)
	}
}

// least is how long a share is looked at, at least, and why. It is a Duration
// in floating point, because it may not fit otherwise.
func (a *Analysis) least() (span float64, why string) {
	span, why = float64(a.Interval)*float64(a.Looks), "looks × interval"
	for _, m := range a.Metrics {
		if float64(m.After) > span {
			span, why = float64(m.After), "after of metric "+m.Name
		}
	}
	return span, why
}

// settles tells whether a pass waits until a new pool has settled.
func (a *Analysis) settles() bool {
	return a.SettleFactor > 1 && slices.ContainsFunc(a.Metrics, func(m Metric) bool {
		return m.Judge == JudgeSequential && m.Require == RequireNoWorse
	})
}

// move renames what is below a path.
func (o Origins) move(from, to string) {
	for path, origin := range o {
		if rest, ok := strings.CutPrefix(path, from); ok && (rest == "" || rest[0] == '.') {
			delete(o, path)
			o[to+rest] = origin
		}
	}
}
