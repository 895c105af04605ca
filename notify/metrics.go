package notify

import "github.com/prometheus/client_golang/prometheus"

// Metrics is what is counted of notices. Nil counts nothing.
type Metrics struct {
	notices *prometheus.CounterVec
	tries   *prometheus.CounterVec
	queued  *prometheus.GaugeVec
	unknown *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_notify_notices_total",
			Help: "Notices, by who was to be told and by what came of them: delivered, missed (tried for an hour) or returned (to be told anew).",
		}, []string{"to", "outcome"}),
		tries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_notify_messages_total",
			Help: "Messages, each of which can have several notices, by who was to be told and by whether they were sent or failed; those that failed are tried again.",
		}, []string{"to", "outcome"}),
		queued: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchd_notify_queued_notices",
			Help: "Notices that wait to be delivered, once for each address.",
		}, []string{"to"}),
		unknown: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchd_notify_unknown_name",
			Help: "1 for a name that was to be told and that the file of addresses doesn't have.",
		}, []string{"to"}),
	}
	registry.MustRegister(m.notices, m.tries, m.queued, m.unknown)
	return m
}

// Unknown takes note of a name that the file of addresses doesn't have, or has by
// now.
func (m *Metrics) Unknown(to string, unknown bool) {
	switch {
	case m == nil:
	case unknown:
		m.unknown.WithLabelValues(to).Set(1)
	default:
		m.unknown.DeleteLabelValues(to)
	}
}

func (m *Metrics) told(to string, o Outcome, n int) {
	if m != nil && n > 0 {
		m.notices.WithLabelValues(to, [...]string{Delivered: "delivered", Missed: "missed", Returned: "returned"}[o]).Add(float64(n))
	}
}

func (m *Metrics) sent(to string, err error) {
	if m == nil {
		return
	}
	outcome := "sent"
	if err != nil {
		outcome = "failed"
	}
	m.tries.WithLabelValues(to, outcome).Inc()
}

func (m *Metrics) waiting(to string, n int) {
	if m != nil {
		m.queued.WithLabelValues(to).Add(float64(n))
	}
}
