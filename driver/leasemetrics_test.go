package driver_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/consul"
	"switchd/driver"
	"switchd/testenv/devconsul"
)

// values are those of the metrics without labels.
func values(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			all[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

func TestMetrics_TellOfTheLeaseWhileItIsHeld(t *testing.T) {
	t.Parallel()
	client := devconsul.Start(t, nil).Client()
	registry := prometheus.NewRegistry()
	m := driver.NewMetrics(registry)
	lease, err := client.Acquire(t.Context(), consul.LeaseOptions{Key: "lease", Holder: "test", TTL: 10 * time.Second, LockDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ended := m.Drives(lease)
	got := values(t, registry)
	if left := got["switchd_lease_left_seconds"]; left <= 0 || left > 8 || got["switchd_lease_held_seconds"] <= 0 || got["switchd_lease_acquired_total"] != 1 {
		t.Errorf("while it drives: %v", got)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended()
	got = values(t, registry)
	if _, told := got["switchd_lease_left_seconds"]; told || got["switchd_lease_lost_total"] != 1 {
		t.Errorf("afterwards: %v", got)
	}
}
