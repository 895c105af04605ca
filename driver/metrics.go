package driver

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/consul"
	"switchd/dnsupdate"
)

// Metrics is what the driver counts. Nil counts nothing.
type Metrics struct {
	updates  *prometheus.CounterVec
	drift    *prometheus.GaugeVec
	mesh     meshMetrics
	upstream upstreamMetrics
	events   eventMetrics
	lease    *leaseMetrics
	age      *consul.WatchAge
}

// NewMetrics registers the metrics, once for all the times that a replica
// drives.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	m := &Metrics{
		updates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_dns_updates_total",
			Help: "Looks at a name in another zone, by what came of them: unchanged, changed, foreign, refused or failed.",
		}, []string{"service", "outcome"}),
		drift: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchd_dns_update_drift",
			Help: "1 if the service's name in another zone could not be made what the live record says.",
		}, []string{"service"}),
	}
	registry.MustRegister(m.updates, m.drift)
	m.mesh, m.events, m.lease = newMeshMetrics(registry), newEventMetrics(registry), newLeaseMetrics(registry)
	m.upstream = newUpstreamMetrics(registry)
	m.age = consul.NewWatchAge(registry, "rollouts")
	return m
}

func (m *Metrics) updated(service string, out dnsupdate.Outcome, err error) {
	if m == nil {
		return
	}
	drift := 1.0
	if err == nil {
		drift = 0
	}
	m.drift.WithLabelValues(service).Set(drift)
	m.updates.WithLabelValues(service, outcome(out, err)).Inc()
}

func outcome(out dnsupdate.Outcome, err error) string {
	_, foreign := errors.AsType[*dnsupdate.ForeignError](err)
	_, refused := errors.AsType[*dnsupdate.RefusedError](err)
	switch {
	case foreign:
		return "foreign"
	case refused:
		return "refused"
	case err != nil:
		return "failed"
	case out.Changed:
		return "changed"
	default:
		return "unchanged"
	}
}

// forget drops what is only known while the service's name is kept here.
func (m *Metrics) forget(service string) {
	if m != nil {
		m.drift.DeleteLabelValues(service)
	}
}
