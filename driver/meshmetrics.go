package driver

import "github.com/prometheus/client_golang/prometheus"

// meshMetrics is what is counted of config entries.
type meshMetrics struct {
	looks *prometheus.CounterVec
	drift *prometheus.GaugeVec
}

func newMeshMetrics(registry prometheus.Registerer) meshMetrics {
	m := meshMetrics{
		looks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_mesh_looks_total",
			Help: "Looks at a service's config entries, by what came of them: unchanged, changed, righted (somebody had edited them), foreign or failed.",
		}, []string{"service", "outcome"}),
		drift: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchd_mesh_drift",
			Help: "1 if the service's config entries could not be made what the live record says.",
		}, []string{"service"}),
	}
	registry.MustRegister(m.looks, m.drift)
	return m
}

func (m *Metrics) meshed(service, outcome string, drifts bool) {
	if m == nil {
		return
	}
	drift := 0.0
	if drifts {
		drift = 1
	}
	m.mesh.drift.WithLabelValues(service).Set(drift)
	m.mesh.looks.WithLabelValues(service, outcome).Inc()
}

// forgetMesh drops what is only known while the service's entries are kept
// here.
func (m *Metrics) forgetMesh(service string) {
	if m != nil {
		m.mesh.drift.DeleteLabelValues(service)
	}
}
