package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"switchd/testenv/devconsul"
	"switchd/testenv/devprometheus"
)

// TestCommands_WithPrometheus has a Prometheus that scrapes itself twice, as the
// pools blue and green of the service web. The scripts' files name it PROMETHEUS.
func TestCommands_WithPrometheus(t *testing.T) {
	t.Parallel()
	consul := devconsul.Start(t, nil)
	prometheus := startPrometheus(t)
	runScripts(t, "prometheus", func(env *testscript.Env) error {
		setup(env, consul.Addr())
		env.Values[clientKey{}] = consul.Client()
		inputs, err := filepath.Glob(filepath.Join(env.WorkDir, "*.hcl"))
		if err != nil {
			return err
		}
		for _, file := range inputs {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), "PROMETHEUS", prometheus)), 0o600); err != nil {
				return err
			}
		}
		return nil
	})
}

func startPrometheus(t *testing.T) string {
	t.Helper()
	addr := freeAddr(t)
	pool := func(name string) map[string]any {
		return map[string]any{"targets": []string{addr}, "labels": map[string]string{"service": "web", "pool": name}}
	}
	config, err := json.Marshal(map[string]any{
		"global":         map[string]string{"scrape_interval": "200ms", "scrape_timeout": "200ms"},
		"scrape_configs": []any{map[string]any{"job_name": "itself", "static_configs": []any{pool("blue"), pool("green")}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := devprometheus.StartAt(t, t.TempDir(), addr, string(config))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	awaitSeries(ctx, t, server.URL, `count(rate(prometheus_http_requests_total{code="200"}[2s])) by (pool) > 0`, 2)
	return server.URL
}

func freeAddr(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it is free after that
	return l.Addr().String()
}

// awaitSeries returns when a query is answered with so many series.
func awaitSeries(ctx context.Context, t *testing.T, base, promql string, want int) {
	t.Helper()
	for {
		if got := countSeries(ctx, base, promql); got == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("Prometheus has no %d series of %s", want, promql)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func countSeries(ctx context.Context, base, promql string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/api/v1/query?query=%s", base, url.QueryEscape(promql)), nil)
	if err != nil {
		return -1
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return -1 // not yet
	}
	defer func() { _ = response.Body.Close() }() // only read
	var answer struct{ Data struct{ Result []any } }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return -1
	}
	return len(answer.Data.Result)
}
