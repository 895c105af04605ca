package analysis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchd/spec"
)

// Fault is what came of trying a query of an analysis, if it wasn't an answer.
type Fault struct {
	Metric    string
	Attribute string // of the metric: query, bad, total, buckets, edges, node, traffic or queries.NAME
	// Err is a [*SpecError] for a mistake, [ErrNoData] for a query that no series
	// matches now, which may be right; any other error says that Prometheus
	// couldn't be asked.
	Err error
}

// Mistake tells whether the fault is in the spec, so that no waiting helps.
func (f Fault) Mistake() bool {
	_, ok := errors.AsType[*SpecError](f.Err)
	return ok
}

// Note tells whether the fault is only worth a note: there is no data now.
func (f Fault) Note() bool { return errors.Is(f.Err, ErrNoData) }

// Error names the metric and its attribute.
func (f Fault) Error() string {
	return fmt.Sprintf("%s of metric %q: %v", f.Attribute, f.Metric, f.Err)
}

// Unwrap returns Err.
func (f Fault) Unwrap() error { return f.Err }

// Try asks each query of an analysis once, for either pool, and returns what was
// wrong with which. It ends with the first one for which Prometheus can't be
// asked, as the others would have to wait for the same. vars may leave out what
// only a rollout knows, such as the version.
func Try(ctx context.Context, cfg spec.Analysis, vars spec.Vars, src Source) []Fault {
	t := &trial{ctx: ctx, src: src, at: time.Now(), sampler: NewSampler(Task{Config: cfg, Vars: vars}, src)}
	for _, m := range cfg.Metrics {
		if !t.metric(m) {
			break
		}
	}
	return t.faults
}

// trial is one run through the queries.
type trial struct {
	ctx     context.Context
	src     Source
	sampler *Sampler
	at      time.Time
	faults  []Fault
}

// metric tries one metric and returns false if Prometheus can't be asked.
func (t *trial) metric(m spec.Metric) bool {
	apart := false
	for _, q := range queries(m) {
		series, ok := t.query(m, q)
		if !ok {
			return false
		}
		apart = apart || t.sampler.version.Expand(q.text) != t.sampler.live.Expand(q.text)
		if counter := q.attribute == "total" || q.attribute == "buckets"; counter && len(series) > 0 {
			t.labels(m, q, series)
		}
	}
	if controlled(m) && !apart && t.sampler.days == 0 {
		q := queries(m)[0]
		t.fault(m, q.attribute, &SpecError{Query: q.text, Reason: "it is the same query for both pools, so that they could not differ: use ${pool} in it"})
	}
	return true
}

// query tries one query for both pools, and returns the series of counters.
func (t *trial) query(m spec.Metric, q asked) (found []Series, ok bool) {
	raw := q.attribute == "bad" || q.attribute == "total" || q.attribute == "buckets"
	empty := true
	for _, vars := range t.sampler.pools(q.text) {
		promql := vars.Expand(q.text)
		var err error
		if raw {
			var series []Series
			series, err = t.src.Raw(t.ctx, promql, t.at.Add(-t.sampler.fresh), t.at)
			found = append(found, series...)
			empty = empty && len(series) == 0
		} else {
			var cells []cell
			cells, err = t.sampler.column(t.ctx, promql, []time.Time{t.at}, 0)
			empty = empty && (err != nil || errors.Is(cells[0].err, ErrNoData))
		}
		if _, wrong := errors.AsType[*SpecError](err); wrong {
			t.fault(m, q.attribute, err)
			return nil, true // once is enough
		}
		if err != nil {
			t.fault(m, q.attribute, err)
			return nil, false
		}
	}
	if empty {
		t.fault(m, q.attribute, ErrNoData)
	}
	return found, true
}

// labels checks those that a counter's series need.
func (t *trial) labels(m spec.Metric, q asked, series []Series) {
	if m.Node != "" {
		named := false
		for _, s := range series {
			named = named || s.Labels[m.Node] != ""
		}
		if !named {
			t.fault(m, "node", &SpecError{Query: q.text, Fleeting: true, Reason: fmt.Sprintf(
				"no series has the label %q that tells nodes apart, such as %s", m.Node, labelText(series[0].Labels))})
		}
	}
	if q.attribute != "buckets" {
		return
	}
	if bucketEdges(series) == nil {
		t.fault(m, q.attribute, &SpecError{Query: q.text, Fleeting: true, Reason: fmt.Sprintf(
			"no series has a label le, such as %s: select the _bucket series of a histogram", labelText(series[0].Labels))})
		return
	}
	if _, err := newHistogram(series, q.text, m.Node, m.Edges, t.sampler.fresh); err != nil {
		attribute := "edges"
		if strings.Contains(err.Error(), "le=\"") {
			attribute = q.attribute
		}
		t.fault(m, attribute, err)
	}
}

func (t *trial) fault(m spec.Metric, attribute string, err error) {
	t.faults = append(t.faults, Fault{Metric: m.Name, Attribute: attribute, Err: err})
}
