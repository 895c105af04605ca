package spec

import "slices"

// The judges that a metric may have.
const (
	JudgeThreshold   = "threshold"
	JudgeMannWhitney = "mannwhitney"
	JudgeSequential  = "sequential"
	JudgeExpr        = "expr"
)

// What a metric of the sequential judge requires of a pass.
const (
	// RequireNoWorse is that the ratio is known to be within the margin.
	RequireNoWorse = "no_worse"
	// RequireNoRegression is that no regression was found in a time (After).
	RequireNoRegression = "no_regression"
)

// The units of a histogram.
const (
	UnitSeconds      = "s"
	UnitMilliseconds = "ms"
)

const (
	maxEdges   = 64
	maxQueries = 64
)

// Metric is one thing that is looked at. The ready-made ones (errors, latency,
// saturation) are compiled into metrics as well, their queries spelled out.
type Metric struct {
	Name  string `json:"name"`
	Judge string `json:"judge"`

	// What is asked. {{pool}} is the new version's pool, and the live one's for
	// the control. One of Query; Bad and Total; Buckets; Queries.

	// Query gives one value a pool: for threshold, mannwhitney, and for
	// sequential's mean.
	Query string `json:"query,omitempty"`
	// Bad and Total are selectors of counters, without rate or increase, of
	// any number of series.
	Bad   string `json:"bad,omitempty"`
	Total string `json:"total,omitempty"`
	// Buckets is a selector of a classic histogram's _bucket counters, and
	// Edges are the latencies from which on a request is slow, in the
	// histogram's Unit; nil: chosen from the history.
	Buckets string    `json:"buckets,omitempty"`
	Edges   []float64 `json:"edges,omitempty"`
	Unit    string    `json:"unit,omitempty"` // one of the Unit constants; only with Buckets
	// Queries are those of an expression, by name.
	Queries map[string]string `json:"queries,omitempty"`
	// Node is the label that tells nodes apart; only of counters.
	Node string `json:"node,omitempty"`

	// Of the judge threshold; Min and Max are what passes. Between them and
	// FailMin and FailMax a look is inconclusive; without those, it fails.
	Min     *float64 `json:"min,omitempty"`
	Max     *float64 `json:"max,omitempty"`
	FailMin *float64 `json:"fail_min,omitempty"`
	FailMax *float64 `json:"fail_max,omitempty"`
	// Expr is of the judge expr: a boolean expression that holds if all is well.
	Expr string `json:"expr,omitempty"`
	// FailureLimit is the number of failed looks that are forgiven;
	// InconclusiveLimit that of inconclusive ones and ErrorLimit that of
	// consecutive ones without an answer, nil: any number, as they are unknown.
	FailureLimit      int  `json:"failure_limit"`
	InconclusiveLimit *int `json:"inconclusive_limit,omitempty"`
	ErrorLimit        *int `json:"error_limit,omitempty"`
	// MissingFails has a look without an answer count as a failed one.
	MissingFails bool `json:"missing_fails,omitempty"`
	// Traffic is a query for the number of requests behind the value, which
	// counters tell by themselves; a look with fewer than MinTraffic is unknown.
	// With CompareFormer it tells which pool was live.
	Traffic    string  `json:"traffic,omitempty"`
	MinTraffic float64 `json:"min_traffic,omitempty"`

	// Of the judge sequential. Allowed is the ratio of the experiment's rate to
	// the control's above which it has regressed; it is no worse when the ratio
	// is below 1+Margin. A share of bad events up to Harmless is never a
	// regression, and no worse.
	Allowed  float64 `json:"allowed,omitempty"`
	Margin   float64 `json:"margin,omitempty"`
	Harmless float64 `json:"harmless,omitempty"`
	// Require is one of the Require constants, After the time of
	// RequireNoRegression.
	Require string   `json:"require,omitempty"`
	After   Duration `json:"after,omitempty"`
	// Weight is the metric's part of alpha, in units of the other metrics'.
	Weight float64 `json:"weight,omitempty"`

	// MannWhitney is of the judge mannwhitney.
	MannWhitney *MannWhitney `json:"mannwhitney,omitempty"`
}

// judged is an attribute with the judges that know it.
type judged struct {
	attr
	judges []string
}

// valueJudges are those that take values, counters and histograms.
func valueJudges() []string { return []string{JudgeSequential, JudgeThreshold, JudgeMannWhitney} }

// asked are the attributes that say what Prometheus is asked.
func (m *Metric) asked() []judged {
	values := valueJudges()
	return []judged{
		{query("query", &m.Query), values},
		{selector("bad", &m.Bad), values},
		{selector("total", &m.Total), values},
		{selector("buckets", &m.Buckets), values},
		{queries("queries", &m.Queries), []string{JudgeExpr}},
		{text("expr", &m.Expr, expressionRule()), []string{JudgeExpr}},
		{text("node", &m.Node, labelNameRule()), values},
	}
}

// histogram are the attributes that only metrics with buckets have. The unit
// stands first, because edges are converted to it.
func (m *Metric) histogram() []judged {
	values := valueJudges()
	return []judged{
		{text("unit", &m.Unit, oneOf(UnitSeconds, UnitMilliseconds)), values},
		{edges("edges", &m.Edges, &m.Unit), values},
	}
}

// weighed are the attributes that say how the answers are judged.
func (m *Metric) weighed() []judged {
	threshold, sequential := []string{JudgeThreshold}, []string{JudgeSequential}
	limits := []string{JudgeThreshold, JudgeExpr}
	return []judged{
		{bound("min", &m.Min), threshold},
		{bound("max", &m.Max), threshold},
		{bound("fail_min", &m.FailMin), threshold},
		{bound("fail_max", &m.FailMax), threshold},
		{whole("failure_limit", &m.FailureLimit, 0, 10000), limits},
		{limit("inconclusive_limit", &m.InconclusiveLimit, 0, 10000), limits},
		{limit("error_limit", &m.ErrorLimit, 0, 10000), limits},
		{missing("missing", &m.MissingFails), limits},
		{query("traffic", &m.Traffic), append(valueJudges(), JudgeExpr)},
		{number("min_traffic", &m.MinTraffic, 0, 1e12), limits},
		{number("allowed", &m.Allowed, 1, 1000), sequential},
		{number("margin", &m.Margin, 0.01, 1000), sequential},
		{number("harmless", &m.Harmless, 0, 1), sequential},
		{text("require", &m.Require, oneOf(RequireNoWorse, RequireNoRegression)), sequential},
		{span("after", &m.After, shortest), sequential},
		{number("weight", &m.Weight, 0.001, 1000), sequential},
	}
}

// form has what every judge knows as long as the metric's isn't known, as in an
// input; and what its own judge knows after that.
func (m *Metric) form() form {
	return m.formOf(oneOf(JudgeSequential, JudgeThreshold, JudgeMannWhitney, JudgeExpr), m.attrs(), m.validate)
}

func (m *Metric) attrs() []judged { return slices.Concat(m.asked(), m.histogram(), m.weighed()) }

func (m *Metric) formOf(judges rule, attrs []judged, check func(scope)) form {
	f := form{check: check, attrs: []attr{text("judge", &m.Judge, judges)}}
	for _, a := range attrs {
		if m.Judge == "" || slices.Contains(a.judges, m.Judge) {
			f.attrs = append(f.attrs, a.attr)
		}
	}
	if m.Judge == "" || m.Judge == JudgeMannWhitney {
		f.blocks = []nested{optional("mannwhitney", &m.MannWhitney, defaultMannWhitney)}
	}
	return f
}

// EdgeText is an edge as people write it, such as "300ms".
func (m *Metric) EdgeText(edge float64) string {
	if m.Unit == UnitMilliseconds {
		edge /= 1000
	}
	return Duration(edge*1e9 + 0.5).String()
}
