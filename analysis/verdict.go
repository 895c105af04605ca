package analysis

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"switchd/gate"
	"switchd/spec"
)

// standing is the verdict of a look that decided nothing.
func (w *watch) standing() gate.Verdict { return w.dress(gate.Undecided("%s", w.why())) }

// ended names what is missing for a verdict when the time is over.
func (w *watch) ended(ctx context.Context) gate.Verdict {
	return w.dress(gate.Undecided("the analysis was ended (%v) after %s: %s",
		context.Cause(ctx), span(max(0, time.Since(w.task.Since))), w.why()))
}

// why says how far it has come.
func (w *watch) why() string {
	why := w.finding().Why
	if !w.state.Prepared && w.lost == "" {
		return "no look yet"
	}
	if w.lost == "" {
		return why
	}
	return fmt.Sprintf("unknown since the look at %s, as Prometheus can't be asked: %s; until then: %s",
		w.state.Lost.Format(time.TimeOnly+"Z"), w.lost, why)
}

// maxEvidence bounds the lines of a verdict's evidence.
const maxEvidence = 200

// dress adds the evidence to a verdict, and the state to go on with.
func (w *watch) dress(v gate.Verdict) gate.Verdict {
	v.Took = max(0, time.Since(w.task.Since)) // a share may be in force only later
	if w.panel == nil {
		return v // there is nothing yet
	}
	v.Evidence = append(v.Evidence, "compared with "+w.comparison())
	v.Evidence = append(v.Evidence, w.state.Notes...)
	for _, f := range w.finding().Findings {
		v.Evidence = append(v.Evidence, f.Why)
	}
	for _, m := range w.task.Config.Metrics {
		if b, ok := w.state.Backgrounds[m.Name]; ok && b.Why != "" {
			v.Evidence = append(v.Evidence, m.Name+": "+b.Why)
		}
		for _, q := range queries(m) {
			v.Evidence = append(v.Evidence, fmt.Sprintf("%s: %s %s", m.Name, q.attribute, oneLine(w.sampler.version.Expand(q.text))))
		}
	}
	if more := len(v.Evidence) - maxEvidence; more > 0 {
		v.Evidence = append(v.Evidence[:maxEvidence], fmt.Sprintf("and %d lines more", more))
	}
	var err error
	if w.state.Panel, err = w.panel.MarshalJSON(); err == nil {
		v.State, err = json.Marshal(w.state)
	}
	if err != nil {
		v.Evidence = append(v.Evidence, fmt.Sprintf("the evidence can't be kept over a restart: %v", err))
	}
	return v
}

// control is what sentences call the side that the new version is compared with.
func (w *watch) control() string {
	if w.state.Compared == spec.CompareFormer {
		return "former days"
	}
	return w.task.Vars.Other
}

// comparison says what the new version is compared with.
func (w *watch) comparison() string {
	t := w.task
	switch w.state.Compared {
	case spec.CompareWarmup:
		return fmt.Sprintf("%s at the same time, while %s is under the warm-up's load", t.Vars.Other, t.Vars.Pool)
	case spec.CompareFormer:
		return fmt.Sprintf("the service at the same time (UTC) of the last %d days, with allowed and margin %g times as wide",
			max(1, t.Config.Days), max(1, t.Config.Wider))
	}
	if t.Share == 0 {
		return fmt.Sprintf("%s at the same time; %s has no share of the traffic, and the analysis has no fallback", t.Vars.Other, t.Vars.Pool)
	}
	return fmt.Sprintf("%s at the same time, with %d %% of the traffic on %s", t.Vars.Other, t.Share, t.Vars.Pool)
}

// asked is one of a metric's queries.
type asked struct{ attribute, text string }

// queries are those of a metric, in the spec's order.
func queries(m spec.Metric) []asked {
	var all []asked
	for _, q := range []asked{{"query", m.Query}, {"bad", m.Bad}, {"total", m.Total}, {"buckets", m.Buckets}, {"traffic", m.Traffic}} {
		if q.text != "" {
			all = append(all, q)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Queries)) {
		all = append(all, asked{"queries." + name, m.Queries[name]})
	}
	return all
}
