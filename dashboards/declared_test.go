package dashboards_test

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"switchd/alerts"
	"switchd/consul"
	"switchd/dnsflip"
	"switchd/driver"
	"switchd/ledger"
	"switchd/notify"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/status"
	"switchd/testenv/devconsul"
	"switchd/web"
)

// declared are the metrics that a replica registers: names, with their labels.
type declared map[string][]string

// Register implements prometheus.Registerer.
func (d declared) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 1000)
	c.Describe(descs)
	close(descs)
	for desc := range descs {
		m := regexp.MustCompile(`fqName: "(\w+)".*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`).FindStringSubmatch(desc.String())
		if m == nil {
			return fmt.Errorf("%s is not understood", desc)
		}
		var labels []string
		for part := range strings.SplitSeq(m[2]+","+m[3], ",") {
			if part != "" {
				labels = append(labels, part)
			}
		}
		d[m[1]] = labels
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (d declared) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := d.Register(c); err != nil {
			panic(err)
		}
	}
}

// Unregister implements prometheus.Registerer.
func (d declared) Unregister(prometheus.Collector) bool { return true }

// declare has all registered that `switchd serve` does.
func declare(t *testing.T) declared {
	t.Helper()
	d := make(declared)
	driver.NewMetrics(d)
	alerts.NewMetrics(d)
	notify.NewMetrics(d)
	consul.NewWatchAge(d, "dns")
	d.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	dns := dnsflip.NewServer(dnsflip.Config{Listen: []string{"127.0.0.1:0"}, Log: slog.New(slog.DiscardHandler), Registerer: d})
	if err := dns.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := dns.Close(); err != nil {
		t.Fatal(err)
	}
	return d
}

// page is a replica's /metrics with a service in the middle of its canary: what is
// read from Consul is the real thing, and of what else is declared there is one
// series, which rises if it is a counter.
func page(t *testing.T) http.Handler {
	t.Helper()
	l := &ledger.Ledger{Consul: devconsul.Start(t, nil).Client(), Keys: consul.Keys{Env: "prod"}}
	service := spec.Service{
		Name: "web", Owner: "web-team", Port: 80, Roll: spec.Roll{Quorum: spec.Nodes(1)}, Weights: []int{25},
		Pools: map[string]spec.Pool{spec.Blue: {Nodes: []string{"b1"}}, spec.Green: {Nodes: []string{"g1"}}},
	}
	if err := l.Apply(t.Context(), "test", &spec.Desired{Environment: spec.Environment{Name: "prod"}, Services: []spec.Service{service}}); err != nil {
		t.Fatal(err)
	}
	_, err := l.Do(t.Context(), "web", "test", func(s rollout.Situation) (*rollout.Change, error) {
		now := time.Now().UTC()
		live := s.Live.Next("test", now)
		live.Service, live.Pool, live.Version, live.Weights = "web", spec.Blue, "1.0.0", map[string]int{spec.Blue: 75, spec.Green: 25}
		r := &rollout.Record{
			ID: "r1", Service: "web", Version: "2.0.0", Pool: spec.Green, From: pools.Side{Pool: spec.Blue, Version: "1.0.0"}, By: "alice", At: now,
			Phase: rollout.Canary, Entered: now, Deadline: now.Add(time.Hour), Then: spec.ThenHalt, Generation: live.Generation, StepAt: now, Timeline: []rollout.Event{},
			Wait:     &rollout.Wait{For: "for the analysis at 25 %", Since: now, Until: now.Add(time.Hour), Then: spec.ThenHalt},
			Observed: &rollout.Observed{Percent: 24.5, At: now},
		}
		return &rollout.Change{Record: r, Live: live, What: "test"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	site := web.New(web.Config{Ledger: status.Ledger{Ledger: l}, Replica: "r1", Driving: func() bool { return true }, Log: slog.New(slog.DiscardHandler)})
	others := declare(t)
	began := time.Now()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		plain := r.Clone(r.Context())
		plain.Header = http.Header{} // neither compressed nor in another format
		site.ServeHTTP(recorder, plain)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write(recorder.Body.Bytes())
		for _, name := range slices.Sorted(maps.Keys(others)) {
			value := 1.0
			if strings.HasSuffix(name, "_total") {
				value = time.Since(began).Seconds()
			}
			var pairs []string
			for _, label := range others[name] {
				if strings.Contains(label, "=") {
					pairs = append(pairs, label)
					continue
				}
				pairs = append(pairs, fmt.Sprintf("%s=%q", label, cmp.Or(map[string]string{"service": "web"}[label], "some")))
			}
			_, _ = fmt.Fprintf(w, "%s{%s} %v\n", name, strings.Join(pairs, ","), value)
		}
	})
}

// names are those of a scrape.
func names(t *testing.T, h http.Handler) []string {
	t.Helper()
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(recorder.Body)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z_]+)[{ ]`).FindAllSubmatch(body, -1) {
		all = append(all, string(m[1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}
