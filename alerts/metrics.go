package alerts

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/consul"
)

// Metrics is what is counted of alerts. Nil counts nothing.
type Metrics struct {
	alerts   *prometheus.CounterVec
	refused  *prometheus.CounterVec
	answered *prometheus.GaugeVec
	failures *prometheus.CounterVec
	age      *consul.WatchAge
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_alerts_total",
			Help: "Alerts that came by a webhook or were asked for (poll), by what came of them for a service. One that fires is counted each time that it is told.",
		}, []string{"source", "way", "effect"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_alerts_webhooks_refused_total",
			Help: "Webhooks that were not read, by reason: method, off, unauthorized, busy, body or not_ready.",
		}, []string{"reason"}),
		answered: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchd_alerts_poll_success_timestamp_seconds",
			Help: "When the server was last asked for its alerts with success.",
		}, []string{"server"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_alerts_poll_failures_total",
			Help: "Times that the server was asked for its alerts in vain.",
		}, []string{"server"}),
	}
	registry.MustRegister(m.alerts, m.refused, m.answered, m.failures)
	m.age = consul.NewWatchAge(registry, "alerts")
	return m
}

func (m *Metrics) took(outcomes []Outcome) {
	if m == nil {
		return
	}
	for _, o := range outcomes {
		m.alerts.WithLabelValues(string(o.source), string(o.way), string(o.Effect)).Inc()
	}
}

func (m *Metrics) refuse(reason string) {
	if m != nil {
		m.refused.WithLabelValues(reason).Inc()
	}
}

// seen takes note of an answer to the watch of the desired state.
func (m *Metrics) seen(at time.Time) {
	if m != nil {
		m.age.Answered(at)
	}
}

func (m *Metrics) asked(server string, err error) {
	switch {
	case m == nil:
	case err != nil:
		m.failures.WithLabelValues(server).Inc()
	default:
		m.answered.WithLabelValues(server).SetToCurrentTime()
	}
}

// forget drops what is known of a server that isn't asked any more.
func (m *Metrics) forget(server string) {
	if m != nil {
		m.answered.DeleteLabelValues(server)
		m.failures.DeleteLabelValues(server)
	}
}
