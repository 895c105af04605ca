package driver

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// upstreamMetrics is what is counted of the environment before this one.
type upstreamMetrics struct {
	up   *prometheus.GaugeVec
	seen *prometheus.GaugeVec
	took *prometheus.CounterVec
}

func newUpstreamMetrics(registry prometheus.Registerer) upstreamMetrics {
	m := upstreamMetrics{
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchd_upstream_up",
			Help: "1 if the environment before this one can be read.",
		}, []string{"environment"}),
		seen: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchd_upstream_seen_timestamp_seconds",
			Help: "When the environment before this one was read last.",
		}, []string{"environment"}),
		took: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_upstream_releases_total",
			Help: "Releases of the environment before this one, by what came of taking them over: taken or failed.",
		}, []string{"outcome"}),
	}
	registry.MustRegister(m.up, m.seen, m.took)
	return m
}

func (m *Metrics) reached(environment string, up bool, at time.Time) {
	if m == nil {
		return
	}
	m.upstream.up.WithLabelValues(environment).Set(map[bool]float64{true: 1}[up])
	if !at.IsZero() {
		m.upstream.seen.WithLabelValues(environment).Set(float64(at.Unix()))
	}
}

func (m *Metrics) tookOver(err error) {
	if m == nil {
		return
	}
	m.upstream.took.WithLabelValues(map[bool]string{true: "taken", false: "failed"}[err == nil]).Inc()
}
