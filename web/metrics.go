package web

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
)

// serveMetrics answers with the process's metrics and with those of the
// rollouts, which are read from Consul for the scrape.
func (s *site) serveMetrics(w http.ResponseWriter, r *http.Request) {
	now := s.now.read(r.Context())
	registry := prometheus.NewRegistry()
	registry.MustRegister(&scrape{reading: now, now: time.Now(), driving: s.Driving(), gauges: newGauges()})
	gatherers := prometheus.Gatherers{registry}
	if s.Gatherer != nil {
		gatherers = append(gatherers, s.Gatherer)
	}
	promhttp.HandlerFor(gatherers, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelError),
		// One bad metric must not hide the others.
		ErrorHandling: promhttp.ContinueOnError,
	}).ServeHTTP(w, r)
}

// gauges describe what is told of the rollouts.
type gauges struct {
	consulUp, driving, phase, wait, deadline, generation, passing, quorum, share, measured *prometheus.Desc
}

func newGauges() gauges {
	gauge := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return gauges{
		consulUp:   gauge("switchd_consul_up", "1 if the state could be read from Consul; if it is 0, nothing is told of services."),
		driving:    gauge("switchd_driving", "1 if this replica drives the rollouts."),
		phase:      gauge("switchd_rollout_phase", "1 for the phase of the service's current or last rollout.", "service", "phase"),
		wait:       gauge("switchd_rollout_wait_seconds", "Age of what the rollout waits for now, by the kind of that.", "service", "reason"),
		deadline:   gauge("switchd_rollout_deadline_seconds", "Time until the deadline of what the rollout waits for; negative if it has passed.", "service"),
		generation: gauge("switchd_live_generation", "Generation of the live record, one more with each change.", "service"),
		passing:    gauge("switchd_pool_passing_nodes", "Nodes of the pool that pass, whatever version they run.", "service", "pool"),
		quorum:     gauge("switchd_pool_quorum_nodes", "Passing nodes that the pool needs at least to have users.", "service", "pool"),
		share:      gauge("switchd_pool_share_percent", "Users that the pool has, as it is set.", "service", "pool"),
		measured:   gauge("switchd_pool_measured_share_percent", "Users that the new pool was measured to have, while it has a share.", "service", "pool"),
	}
}

// scrape is the collector of one scrape.
type scrape struct {
	reading
	gauges

	now     time.Time
	driving bool
}

// Describe implements prometheus.Collector.
func (s *scrape) Describe(ch chan<- *prometheus.Desc) {
	g := s.gauges
	for _, d := range []*prometheus.Desc{g.consulUp, g.driving, g.phase, g.wait, g.deadline, g.generation, g.passing, g.quorum, g.share, g.measured} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What is not known is left out:
// Prometheus can tell a missing value from a zero.
func (s *scrape) Collect(ch chan<- prometheus.Metric) {
	tell := teller(ch)
	tell.gauge(s.gauges.driving, truth(s.driving))
	tell.gauge(s.consulUp, truth(s.err == nil))
	if s.err != nil {
		return
	}
	for _, service := range s.doc.Services {
		s.service(tell, service)
	}
}

func (s *scrape) service(tell teller, service status.Service) {
	if service.Live != nil {
		tell.gauge(s.generation, float64(service.Live.Generation), service.Name)
	}
	for _, colour := range []string{spec.Blue, spec.Green} {
		if pool, known := service.Pools[colour]; known {
			tell.gauge(s.passing, float64(pool.Passing), service.Name, colour)
			tell.gauge(s.quorum, float64(pool.Quorum), service.Name, colour)
			tell.gauge(s.share, float64(pool.Share), service.Name, colour)
		}
	}
	r := service.Rollout
	if r == nil {
		return
	}
	for _, phase := range append(rollout.Phases(), rollout.Halted, rollout.Failed, rollout.RolledBack) {
		tell.gauge(s.phase, truth(r.Phase == phase), service.Name, string(phase))
	}
	if r.Share != nil {
		tell.gauge(s.measured, r.Share.Measured, service.Name, r.Pool)
	}
	until := r.Deadline
	if r.Wait != nil {
		tell.gauge(s.wait, s.now.Sub(r.Wait.Since).Seconds(), service.Name, string(r.Wait.Reason))
		until = r.Wait.Until
	}
	if !until.IsZero() {
		tell.gauge(s.deadline, until.Sub(s.now).Seconds(), service.Name)
	}
}

// teller takes metrics.
type teller chan<- prometheus.Metric

func (t teller) gauge(desc *prometheus.Desc, value float64, labels ...string) {
	metric, err := prometheus.NewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(desc, err)
	}
	t <- metric
}

func truth(holds bool) float64 {
	if holds {
		return 1
	}
	return 0
}
