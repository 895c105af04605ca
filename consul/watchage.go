package consul

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// WatchAge tells Prometheus how long ago a watch was answered last. A watch is
// answered about once a minute also when nothing changes. Nil tells nothing.
type WatchAge struct {
	desc *prometheus.Desc
	last atomic.Pointer[time.Time] // nil: the watch is not under way
}

// NewWatchAge registers the metric of a watch.
func NewWatchAge(registry prometheus.Registerer, watch string) *WatchAge {
	a := &WatchAge{desc: prometheus.NewDesc("switchd_watch_age_seconds",
		"Time since Consul has answered a watch, which it does about once a minute though nothing changes; absent before the first answer.",
		nil, prometheus.Labels{"watch": watch})}
	registry.MustRegister(a)
	return a
}

// Answered takes note of an answer.
func (a *WatchAge) Answered(at time.Time) {
	if a != nil {
		a.last.Store(&at)
	}
}

// Stop has nothing told any more, until the next answer.
func (a *WatchAge) Stop() {
	if a != nil {
		a.last.Store(nil)
	}
}

// Describe implements prometheus.Collector.
func (a *WatchAge) Describe(ch chan<- *prometheus.Desc) { ch <- a.desc }

// Collect implements prometheus.Collector.
func (a *WatchAge) Collect(ch chan<- prometheus.Metric) {
	if last := a.last.Load(); last != nil {
		ch <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, time.Since(*last).Seconds())
	}
}
