package driver

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/notify"
	"switchd/rollout"
	"switchd/spec"
)

// eventMetrics is what is counted of rollouts as their records show it, whoever
// has written them.
type eventMetrics struct {
	events  *prometheus.CounterVec
	gates   *prometheus.CounterVec
	righted *prometheus.CounterVec
}

func newEventMetrics(registry prometheus.Registerer) eventMetrics {
	m := eventMetrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_rollout_events_total",
			Help: "What became of rollouts: begun, waiting (for a gate), switched, done, halted, failed or rolledback.",
		}, []string{"service", "event"}),
		gates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_gate_outcomes_total",
			Help: "Gates that were decided, by kind and outcome: passed, denied, bypassed, expired or failed.",
		}, []string{"kind", "outcome"}),
		righted: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_drift_righted_total",
			Help: "Edits by others that were put back, by what was edited: an agents' order, config entries (mesh) or a name in another zone (update).",
		}, []string{"service", "what"}),
	}
	registry.MustRegister(m.events, m.gates, m.righted)
	return m
}

// know has a service's counters begin at zero, once it is seen: Prometheus can't
// tell a first event from a counter that it has just found.
func (m *Metrics) know(service string) {
	if m == nil {
		return
	}
	for _, event := range spec.Events() {
		m.events.events.WithLabelValues(service, event)
	}
	for _, what := range []string{"order", "mesh", "update"} {
		m.events.righted.WithLabelValues(service, what)
	}
}

// happened counts what facts have that earlier ones of the service didn't.
func (m *Metrics) happened(before, now notify.Facts) {
	if m == nil || now.Record == nil {
		return
	}
	for _, e := range notify.NewEvents(before, now) {
		m.events.events.WithLabelValues(now.Record.Service, e.Name).Inc()
	}
	for _, g := range decided(before.Record, now.Record) {
		m.events.gates.WithLabelValues(g.Kind, string(g.Outcome)).Inc()
	}
}

// decided are the gates of a record that were not yet decided in an earlier one.
func decided(before, now *rollout.Record) []rollout.GateState {
	var had []rollout.GateState
	if before != nil && before.ID == now.ID {
		had = before.Gates
	}
	return slices.DeleteFunc(slices.Clone(now.Gates), func(g rollout.GateState) bool {
		return g.Outcome == rollout.GateWaits || slices.ContainsFunc(had, func(o rollout.GateState) bool {
			return o.Name == g.Name && o.Point == g.Point && o.Outcome == g.Outcome && o.Since.Equal(g.Since)
		})
	})
}

// righted counts an edit that was put back.
func (m *Metrics) righted(what, service string) {
	if m != nil {
		m.events.righted.WithLabelValues(service, what).Inc()
	}
}

func (m *Metrics) answered(at time.Time) {
	if m != nil {
		m.age.Answered(at)
	}
}

func (m *Metrics) unanswered() {
	if m != nil {
		m.age.Stop()
	}
}
