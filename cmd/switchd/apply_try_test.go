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
	"switchd/testenv/proc"
	"switchd/testenv/servers"
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
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // it may have to be built
	defer cancel()
	program, err := servers.Find(ctx, os.Stderr, servers.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	addr, dir := freeAddr(t), t.TempDir()
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
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	group := proc.ForTest(t)
	if _, err := group.Start(ctx, "prometheus", filepath.Join(dir, "log"), []string{
		program, "--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr, "--scrape.discovery-reload-interval=100ms",
	}, nil); err != nil {
		t.Fatal(err)
	}
	awaitSeries(ctx, t, "http://"+addr, `count(rate(prometheus_http_requests_total{code="200"}[2s])) by (pool) > 0`, 2)
	return "http://" + addr
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
