package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"switchd/analysis"
	"switchd/testenv/devprometheus"
)

// TestJudge_FindsTheSameInAFileAndInAPrometheus has a real Prometheus scrape a
// page of series with timestamps, and judges the page and the Prometheus.
func TestJudge_FindsTheSameInAFileAndInAPrometheus(t *testing.T) {
	t.Parallel()
	// Not older than Prometheus takes in, and in steps of the interval.
	end := time.Now().Truncate(time.Minute)
	begin := end.Add(-45 * time.Minute)
	page := incident(begin, end)
	url := scraping(t, page, end)

	dir := t.TempDir()
	file, config := filepath.Join(dir, "web.om"), filepath.Join(dir, "web.hcl")
	for name, text := range map[string]string{file: page, config: "analysis {\n  errors {}\n  latency { edges = [\"100ms\"] }\n}\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	common := []string{
		"--config", config, "--service", "web", "--json",
		"--from", strconv.FormatInt(begin.Add(10*time.Minute).Unix(), 10), "--to", strconv.FormatInt(end.Unix(), 10),
	}
	fromFile := judged(t, append([]string{"--input", file}, common...))
	fromPrometheus := judged(t, append([]string{"--prometheus", url}, common...))
	if !reflect.DeepEqual(fromFile, fromPrometheus) {
		t.Errorf("the file gives\n%v\nand the Prometheus\n%v", fromFile, fromPrometheus)
	}
	if got := fromPrometheus["outcome"]; got != "regressed" {
		t.Errorf("the outcome is %v", got)
	}
	if got := fromPrometheus["self_tests"]; got == nil {
		t.Error("the history before --from was not used")
	}
}

// TestJudge_SaysWhatAPrometheusRefuses has a query that is wrong.
func TestJudge_SaysWhatAPrometheusRefuses(t *testing.T) {
	t.Parallel()
	now := time.Now()
	url := scraping(t, incident(now.Add(-2*time.Minute), now), now)
	var stdout, stderr strings.Builder
	status := run(t.Context(), []string{
		"judge", "--prometheus", url, "--query", `summ(x{pool="${pool}"})`,
		"--from", strconv.FormatInt(now.Add(-time.Minute).Unix(), 10), "--to", strconv.FormatInt(now.Unix(), 10),
	}, &stdout, &stderr)
	if status != statusInput || !strings.Contains(stderr.String(), "unknown function") {
		t.Errorf("it ended with %d: %s", status, stderr.String())
	}
}

// judged runs the command and returns its JSON.
func judged(t *testing.T, args []string) map[string]any {
	t.Helper()
	var stdout, stderr strings.Builder
	if status := run(t.Context(), append([]string{"judge"}, args...), &stdout, &stderr); status != statusOK {
		t.Fatalf("%v ended with %d: %s", args, status, stderr.String())
	}
	var found map[string]any
	if err := json.Unmarshal([]byte(stdout.String()), &found); err != nil {
		t.Fatal(err)
	}
	return found
}

// incident are series of two pools, of which the green one goes bad after 15
// minutes, and has restarted.
func incident(begin, end time.Time) string {
	var text strings.Builder
	text.WriteString("# TYPE http_requests counter\n")
	for _, pool := range []string{"green", "blue"} {
		var all, bad, fast int
		for at := begin; !at.After(end); at = at.Add(15 * time.Second) {
			minutes := int(at.Sub(begin) / time.Minute)
			all += 2000 + 7*(minutes%5)
			bad += 10 + minutes%3
			fast += 1900
			if pool == "green" && minutes >= 15 {
				bad += 60
			}
			if pool == "green" && minutes == 20 {
				all, bad, fast = 100, 1, 90
			}
			labels := fmt.Sprintf(`service="web",pool=%q,instance="%s-1"`, pool, pool)
			stamp := strconv.FormatInt(at.Unix(), 10)
			fmt.Fprintf(&text, "http_requests_total{%s,code=\"200\"} %d %s\n", labels, all-bad, stamp)
			fmt.Fprintf(&text, "http_requests_total{%s,code=\"503\"} %d %s\n", labels, bad, stamp)
			fmt.Fprintf(&text, "http_request_duration_seconds_bucket{%s,le=\"0.1\"} %d %s\n", labels, fast, stamp)
			fmt.Fprintf(&text, "http_request_duration_seconds_bucket{%s,le=\"+Inf\"} %d %s\n", labels, all, stamp)
		}
	}
	text.WriteString("# EOF\n")
	return text.String()
}

// scraping starts a Prometheus and waits until it has the page's last point.
func scraping(t *testing.T, page string, until time.Time) (url string) {
	t.Helper()
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		_, _ = io.WriteString(w, page)
	}))
	t.Cleanup(target.Close)
	// honor_labels keeps the page's own instances.
	url = devprometheus.Start(t, fmt.Sprintf("global: {scrape_interval: 1h}\nscrape_configs: [{job_name: page, scrape_interval: 1s, scrape_timeout: 1s, honor_labels: true, static_configs: [{targets: [%q]}]}]\n",
		strings.TrimPrefix(target.URL, "http://"))).URL
	source, err := analysis.NewPrometheus(url)
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		series, err := source.Raw(t.Context(), `http_request_duration_seconds_bucket{pool="blue",le="+Inf"}`, until.Add(-time.Minute), until)
		if err == nil && len(series) > 0 {
			return url
		}
		if t.Context().Err() != nil {
			t.Fatal("the page was not scraped")
		}
	}
	return url
}
