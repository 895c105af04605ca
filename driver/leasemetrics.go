package driver

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/consul"
)

// leaseMetrics is what is told of the lease under which a replica drives. Of a lease
// that it doesn't hold nothing is told.
type leaseMetrics struct {
	acquired, lost prometheus.Counter
	held, left     *prometheus.Desc

	mu    sync.Mutex
	lease *consul.Lease
	since time.Time
}

func newLeaseMetrics(registry prometheus.Registerer) *leaseMetrics {
	m := &leaseMetrics{
		acquired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "switchd_lease_acquired_total",
			Help: "Times that this replica began to drive.",
		}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "switchd_lease_lost_total",
			Help: "Times that this replica stopped to drive because it lost the lease.",
		}),
		held: prometheus.NewDesc("switchd_lease_held_seconds", "Time since this replica began to drive; absent while it doesn't.", nil, nil),
		left: prometheus.NewDesc("switchd_lease_left_seconds", "Time for which the lease can still be relied on without a renewal; absent while this replica doesn't drive.", nil, nil),
	}
	registry.MustRegister(m.acquired, m.lost, m)
	return m
}

// Drives has the metrics tell of a lease, until what it returns is called.
func (m *Metrics) Drives(lease *consul.Lease) (ended func()) {
	if m == nil {
		return func() {}
	}
	l := m.lease
	l.set(lease)
	l.acquired.Inc()
	return func() {
		if lease.Err() != nil {
			l.lost.Inc()
		}
		l.set(nil)
	}
}

func (l *leaseMetrics) set(lease *consul.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease, l.since = lease, time.Now()
}

// Describe implements prometheus.Collector.
func (l *leaseMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- l.held
	ch <- l.left
}

// Collect implements prometheus.Collector.
func (l *leaseMetrics) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lease == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(l.held, prometheus.GaugeValue, time.Since(l.since).Seconds())
	ch <- prometheus.MustNewConstMetric(l.left, prometheus.GaugeValue, l.lease.Left().Seconds())
}
