package spec

import (
	"maps"
	"strings"
)

// The ready-made metrics, which need no PromQL.
const (
	readyErrors     = "errors"
	readyLatency    = "latency"
	readySaturation = "saturation"
)

func readyKinds() []string { return []string{readyErrors, readyLatency, readySaturation} }

// ready is a ready-made metric as an input writes it. What is kept is the
// metric that it stands for, with its queries spelled out.
type ready struct {
	kind     string
	exporter string
	labels   map[string]string
	selector string
	series   string
	metric   Metric
}

// readyMade is the block of a ready-made metric. Whoever compares two states
// finds it among the metrics.
func readyMade(kind string, to *[]Metric) nested {
	return nested{
		name: kind,
		top:  true,
		add: func(_ string, fill func(section)) {
			r := &ready{kind: kind, exporter: defaultExporter, metric: defaultMetric(kind)}
			fill(r)
			*to = append(*to, r.metric)
		},
		each: func(func(string, section)) {},
	}
}

func (r *ready) form() form {
	m := &r.metric
	attrs := m.weighed()
	switch r.kind {
	case readyLatency:
		attrs = append(attrs, judged{edges("edges", &m.Edges, &m.Unit), valueJudges()})
	case readySaturation:
		attrs = append(attrs, judged{query("query", &m.Query), valueJudges()})
	}
	f := m.formOf(oneOf(valueJudges()...), attrs, r.validate)
	f.attrs = append(r.naming(), f.attrs...) // the exporter first: edges are in its unit
	return f
}

// naming are the attributes that say how series are found.
func (r *ready) naming() []attr {
	return []attr{
		text("exporter", &r.exporter, oneOf(exporterNames()...)).then(func() { r.metric.Unit = exporters()[r.exporter].unit }),
		textMap("labels", &r.labels, oneOf("pool", "service", "node", "code"), optionalLabelRule()),
		trimmed(text("selector", &r.selector, matchersRule()), &r.selector),
		text("metric", &r.series, seriesRule()),
	}
}

func (r *ready) validate(at scope) {
	m := &r.metric
	if m.Judge == "" {
		m.Judge = JudgeSequential
	}
	before := len(at.c.diags)
	if m.Query == "" {
		r.spellOut(at)
	} else {
		r.refuseNaming(at)
	}
	if len(at.c.diags) > before {
		return
	}
	if r.kind != readyLatency {
		m.Unit = ""
	}
	m.validate(at)
	r.place(at)
}

// place has the spelled out queries stand where the block does, and forgets
// where that stood which they were made of.
func (r *ready) place(at scope) {
	m := &r.metric
	for name, promql := range map[string]string{"query": m.Query, "bad": m.Bad, "total": m.Total, "buckets": m.Buckets} {
		if promql != "" && !at.set(name) {
			at.c.origins[join(at.path, name)] = at.c.origins[at.path]
		}
	}
	for _, a := range r.naming() {
		delete(at.c.origins, join(at.path, a.name))
	}
}

func (r *ready) refuseNaming(at scope) {
	for _, a := range r.naming() {
		if at.set(a.name) {
			at.wrong(a.name, "Said twice", "The query of %s says all that it needs. Remove %s, or the query.", r.kind, a.name)
		}
	}
}

// spellOut writes the PromQL.
func (r *ready) spellOut(at scope) {
	e, m := exporters()[r.exporter], &r.metric
	if why := e.lacks[r.kind]; why != "" {
		at.wrong("exporter", "Not of this exporter", "The exporter %q has nothing for %s. %s The presets that have it: %s.", r.exporter, r.kind, why, quoted(exportersOf(r.kind)))
		return
	}
	labels := maps.Clone(e.labels)
	maps.Copy(labels, r.labels)
	if labels["pool"] == "" && !tellsPools(r.selector) {
		at.wrong("labels", "Pools not told apart", "The series of %s have no label for the pool, and selector doesn't say which is meant. Use ${pool} in it, such as: selector = \"backend=\\\"web-${pool}\\\"\".", r.kind)
		return
	}
	if labels["code"] == "" && r.kind == readyErrors {
		at.wrong("labels", "No label for the code", "Without the label that has the status code, errors can't be told from other answers.")
		return
	}
	if r.kind != readySaturation {
		m.Node = labels["node"]
	}
	which := []string{matcher(labels["service"], `="{{service}}"`), matcher(labels["pool"], `="{{pool}}"`), e.fixed, r.selector}
	switch r.kind {
	case readyErrors:
		name := r.named(e.requests)
		m.Total = series(name, append(which, matcher(labels["code"], e.counted))...)
		m.Bad = series(name, append(which, matcher(labels["code"], e.failed))...)
	case readyLatency:
		m.Buckets = series(strings.TrimSuffix(r.named(e.histogram), "_bucket")+"_bucket", which...)
	case readySaturation:
		m.Query = "avg(rate(" + series(r.named(e.cpu), which...) + "[{{rate_interval}}]))"
	}
}

// named is the name that an input gives instead of the exporter's.
func (r *ready) named(name string) string {
	if r.series != "" {
		return r.series
	}
	return name
}

// matcher is none if either part is missing.
func matcher(label, value string) string {
	if label == "" || value == "" {
		return ""
	}
	return label + value
}
