package dnsfeed_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"switchd/consul"
	"switchd/dnsfeed"
	"switchd/ledger"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// TestFeed_SaysThatConsulAllowsTooFewConnections before it refuses one.
func TestFeed_SaysThatConsulAllowsTooFewConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		allowed int
		want    string
	}{
		{"too few", 51, `services=2 allowed=51 mend="set limits { http_max_conns_per_client = 202 }`},
		{"just enough", 52, `enough" services=2 allowed=52`},
		{"any number", 0, `enough" services=2 allowed=0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := ledger.Ledger{
				Consul: devconsul.Start(t, map[string]any{"limits": map[string]any{"http_max_conns_per_client": c.allowed}}).Client(),
				Keys:   consul.Keys{Env: "prod"},
			}
			env := spec.Environment{Name: "prod", Zone: &spec.Zone{
				Name: "apps.test", NameServers: []string{"ns1.apps.test"}, Admin: "dns@example.net", TTL: spec.Duration(time.Minute), NegativeTTL: spec.Duration(time.Second),
			}}
			if err := l.Apply(t.Context(), "test", &spec.Desired{Environment: env, Services: []spec.Service{service("api"), service("web")}}); err != nil {
				t.Fatal(err)
			}
			var log lines
			feed := &dnsfeed.Feed{Consul: l.Consul, Keys: l.Keys, Server: newServer(t), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var feeding sync.WaitGroup
			feeding.Go(func() { feed.Run(ctx) })
			defer feeding.Wait()
			defer cancel()
			for deadline := time.Now().Add(10 * time.Second); !log.has(c.want); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("it isn't said:\n%s", &log.text)
				}
			}
		})
	}
}
