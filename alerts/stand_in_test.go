package alerts_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/rollout"
)

// metric is the value of a metric with exactly these labels, 0 without any.
func metric(tb testing.TB, registry *prometheus.Registry, name string, labels ...string) float64 {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var have []string
			for _, pair := range m.GetLabel() {
				have = append(have, pair.GetName(), pair.GetValue())
			}
			if slices.Equal(have, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// fails has something happen before each look at a service, and something else
// between the look and the write.
type fails struct {
	world

	before, between func()
}

// Do implements alerts.Rollouts.
func (f fails) Do(ctx context.Context, service, by string, operation func(rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error) {
	f.before()
	return f.world.Do(ctx, service, by, func(s rollout.Situation) (*rollout.Change, error) {
		change, err := operation(s)
		f.between()
		return change, err
	})
}

// away is a Consul that doesn't answer.
type away struct{}

var errAway = errors.New("there is no leader")

// Record implements alerts.Rollouts.
func (away) Record(context.Context, string) (*rollout.Record, error) { return nil, errAway }

// Do implements alerts.Rollouts.
func (away) Do(context.Context, string, string, func(rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error) {
	return nil, errAway
}

// server answers what a test says.
type server struct {
	*httptest.Server

	mu     sync.Mutex
	status int
	body   string
	paths  []string
}

func newServer(tb testing.TB, body string) *server {
	tb.Helper()
	s := &server{status: http.StatusOK, body: body}
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = append(s.paths, r.URL.RequestURI())
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.body)
}

func (s *server) say(body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.body = http.StatusOK, body
}

func (s *server) fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}
