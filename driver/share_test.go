package driver_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchd/driver"
	"switchd/gate"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devprometheus"
)

// TestShare_IsMeasuredOfTwoPoolsByPrometheus has a real Prometheus scrape two
// pools, one of which gets a fifth of the requests.
func TestShare_IsMeasuredOfTwoPoolsByPrometheus(t *testing.T) {
	t.Parallel()
	var scrapes atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		_, _ = fmt.Fprintf(w, "# TYPE requests_total counter\nrequests_total{pool=\"blue\"} %d\nrequests_total{pool=\"green\"} %d\n", 40*n, 10*n)
	}))
	t.Cleanup(app.Close)
	prometheus := devprometheus.Start(t, fmt.Sprintf(`global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs: [{job_name: app, static_configs: [{targets: [%q]}]}]
`, strings.TrimPrefix(app.URL, "http://")))
	s := switched()
	s.Spec.Analysis = &spec.Analysis{Prometheus: prometheus.URL}
	s.Spec.Drain.Query = `sum(rate(requests_total{pool="{{pool}}"}[5s]))`
	w := &driver.World{}

	var v gate.Verdict
	for deadline := time.Now().Add(20 * time.Second); v.State == nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		v = <-look(t, w, rollout.JobShare, "", s) // the first report; no data yet, at first
	}
	if v.Outcome != gate.Unknown || !strings.HasPrefix(v.Why, "20.0 % of ") || !strings.HasSuffix(v.Why, " requests/s go to green") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
	var observed rollout.Observed
	if err := json.Unmarshal(v.State, &observed); err != nil {
		t.Fatal(err)
	}
	if math.Abs(observed.Percent-20) > 0.1 || time.Since(observed.At) > time.Minute {
		t.Errorf("observed %+v", observed)
	}

	prometheus.Kill()
	if v := <-look(t, w, rollout.JobShare, "", s); v.State != nil || !strings.HasPrefix(v.Why, "the share is not known: traffic of green: ask Prometheus at ") {
		t.Errorf("without Prometheus: %s: %s %s", v.Outcome, v.Why, v.State)
	}
	s.Spec.Analysis.Prometheus = "nowhere"
	if v := <-look(t, w, rollout.JobShare, "", s); v.State != nil || !strings.HasPrefix(v.Why, "the share is not known: address of Prometheus") {
		t.Errorf("with a wrong address: %s: %s", v.Outcome, v.Why)
	}
}
