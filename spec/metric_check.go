package spec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// validate also chooses the judge, and drops the defaults of the others.
func (m *Metric) validate(at scope) {
	m.chooseJudge()
	before := len(at.c.diags)
	m.refuse(at)
	if len(at.c.diags) > before {
		return // what follows would repeat it
	}
	m.validateAsked(at)
	if len(at.c.diags) > before {
		return
	}
	m.validateTraffic(at)
	switch m.Judge {
	case JudgeThreshold:
		m.validateThreshold(at)
	case JudgeMannWhitney:
		if m.MannWhitney == nil {
			m.MannWhitney = new(defaultMannWhitney())
		}
	case JudgeSequential:
		m.validateSequential(at)
	case JudgeExpr:
	}
}

// chooseJudge goes by what is asked, if the input doesn't say.
func (m *Metric) chooseJudge() {
	switch {
	case m.Judge != "":
	case m.MannWhitney != nil:
		m.Judge = JudgeMannWhitney
	case m.Expr != "" || m.Queries != nil:
		m.Judge = JudgeExpr
	case m.Bad != "" || m.Total != "" || m.Buckets != "":
		m.Judge = JudgeSequential
	default:
		m.Judge = JudgeThreshold
	}
}

// refuse complains about what is of other judges, and clears its defaults.
func (m *Metric) refuse(at scope) {
	for _, a := range m.attrs() {
		if slices.Contains(a.judges, m.Judge) {
			continue
		}
		if at.set(a.name) {
			m.notForJudge(at, a.name, a.judges)
		}
		reflect.ValueOf(a.to).Elem().SetZero()
	}
	if m.Judge != JudgeMannWhitney && m.MannWhitney != nil {
		m.notForJudge(at, "mannwhitney", []string{JudgeMannWhitney})
	}
}

func (m *Metric) notForJudge(at scope, name string, judges []string) {
	byDefault, way := "", fmt.Sprintf("set judge to one of %s", quoted(judges))
	if !at.set("judge") {
		byDefault = " by default"
	}
	if len(judges) == 1 {
		way = fmt.Sprintf("set judge = %q", judges[0])
	}
	at.wrong(name, "Not for this judge", "Metric %q has the judge %q%s, which takes no %s. Remove it, or %s.", m.Name, m.Judge, byDefault, name, way)
}

func (m *Metric) validateAsked(at scope) {
	if m.Judge == JudgeExpr {
		switch {
		case m.Expr == "" || len(m.Queries) == 0:
			at.wrong("", "Half an expression", "Metric %q needs both expr and the queries that it names, such as: queries = { errors = \"…\" } and expr = \"errors < 0.01\".", m.Name)
		case len(m.Queries) > maxQueries:
			at.wrong("queries", "Too many queries", "Metric %q has %d queries, and at most %d are asked.", m.Name, len(m.Queries), maxQueries)
		}
		return
	}
	kinds := 0
	for _, asked := range []bool{m.Query != "", m.Bad != "" || m.Total != "", m.Buckets != ""} {
		if asked {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		at.wrong("", "Nothing to ask", "Metric %q needs one of: query, for a value; bad and total, for counters; buckets, for a histogram.", m.Name)
		return
	case kinds > 1:
		at.wrong("", "Asked in two ways", "Metric %q has more than one of: query, for a value; bad and total, for counters; buckets, for a histogram. Keep one.", m.Name)
		return
	case (m.Bad == "") != (m.Total == ""):
		at.wrong("", "Half a share", "Metric %q needs both bad and total: selectors of the counters of bad events and of all.", m.Name)
		return
	}
	m.validateCounters(at)
	m.validatePools(at)
}

// validateCounters also drops the defaults of what isn't counted.
func (m *Metric) validateCounters(at scope) {
	if m.Query != "" {
		if at.set("node") {
			at.wrong("node", "Node without counters", "Metric %q asks for one value a pool, in which nodes can't be told apart. Remove node.", m.Name)
		}
		m.Node = ""
	}
	switch {
	case m.Buckets == "":
		for _, name := range []string{"edges", "unit"} {
			if at.set(name) {
				at.wrong(name, "No histogram", "%s is for metrics with buckets, which metric %q doesn't have. Remove it.", name, m.Name)
			}
		}
	case m.Unit == "":
		m.Unit = UnitSeconds
	}
	if m.Buckets != "" && m.Judge != JudgeSequential && len(m.Edges) != 1 {
		at.wrong("edges", "Which edge?", "Metric %q has the judge %q, which takes one value: the share of requests slower than an edge. Give it one, such as edges = [\"300ms\"].", m.Name, m.Judge)
	}
}

// validatePools refuses what would compare the live pool with itself.
func (m *Metric) validatePools(at scope) {
	if !m.compares() {
		return
	}
	for _, asked := range []struct{ name, promql string }{{"query", m.Query}, {"bad", m.Bad}, {"total", m.Total}, {"buckets", m.Buckets}} {
		if asked.promql != "" && !tellsPools(asked.promql) {
			at.wrong(asked.name, "Pools not told apart", "Metric %q compares two pools, but its %s doesn't say which: both would have the same series. Use ${pool} (or ${version}), such as pool=\"${pool}\".", m.Name, asked.name)
			return
		}
	}
}

// tellsPools tells whether a query is another one for the other pool.
func tellsPools(promql string) bool {
	return strings.Contains(promql, "{{pool}}") || strings.Contains(promql, "{{version}}")
}

// validateTraffic leaves out the comparing judges: where former days are what
// is compared with, traffic tells them which pool was live.
func (m *Metric) validateTraffic(at scope) {
	counters := m.Bad != "" || m.Buckets != ""
	switch {
	case counters && m.Traffic != "":
		at.wrong("traffic", "Traffic said twice", "The counters of metric %q tell its traffic. Remove traffic; min_traffic holds without it.", m.Name)
	case !counters && !m.compares() && (m.Traffic == "") != (m.MinTraffic == 0):
		at.wrong("traffic", "Traffic half said", "Metric %q needs both traffic (a query) and min_traffic (more than 0), or neither.", m.Name)
	}
}

func (m *Metric) validateThreshold(at scope) {
	switch {
	case m.Min == nil && m.Max == nil:
		at.wrong("", "Metric without a bound", "Metric %q needs min, max or both: without one, no value would be bad.", m.Name)
	case m.Min != nil && m.Max != nil && *m.Min > *m.Max:
		at.wrong("min", "Bounds crossed", "min is %v and max is %v: no value could ever pass.", *m.Min, *m.Max)
	}
	outside := func(name, inner string, fail, pass *float64, crossed func(fail, pass float64) bool) {
		switch {
		case fail == nil:
		case pass == nil:
			at.wrong(name, "Half a zone", "Between %s and %s a look is inconclusive, but metric %q has no %s. Set it, or remove %s.", inner, name, m.Name, inner, name)
		case crossed(*fail, *pass):
			at.wrong(name, "Bounds crossed", "%s is %v and %s is %v: a value could pass and fail.", name, *fail, inner, *pass)
		}
	}
	outside("fail_min", "min", m.FailMin, m.Min, func(fail, pass float64) bool { return fail > pass })
	outside("fail_max", "max", m.FailMax, m.Max, func(fail, pass float64) bool { return fail < pass })
}

func (m *Metric) validateSequential(at scope) {
	if m.Query == "" && !at.set("harmless") {
		m.Harmless = defaultHarmless
	}
	switch {
	case m.Harmless > 0 && m.Query != "":
		at.wrong("harmless", "Harmless without counters", "harmless is a share of bad events, and metric %q asks for a value. Remove it.", m.Name)
	case 1+m.Margin < m.Allowed:
		at.wrong("margin", "Margin too narrow", "Metric %q has regressed above %v times, and is no worse below %v times: in between it would stay undecided for ever. Widen margin, or lower allowed.",
			m.Name, m.Allowed, 1+m.Margin)
	case (m.Require == RequireNoRegression) != (m.After > 0):
		at.wrong("", "Half a requirement", "require = %q passes when no regression was found in the time that after says: metric %q needs both or neither.", RequireNoRegression, m.Name)
	}
}
