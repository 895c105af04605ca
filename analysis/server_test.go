package analysis_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/s2"

	"switchd/analysis"
	"switchd/testenv/devprometheus"
)

// exporter is a service of three pools as Prometheus sees it: blue and red err in
// 2 % of their requests, green in 20 %.
func exporter(t *testing.T) string {
	t.Helper()
	var scrapes atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := 100 * scrapes.Add(1)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprintf(w, `# TYPE requests_total counter
requests_total{pool="blue"} %d
requests_total{pool="green"} %d
requests_total{pool="red"} %d
# TYPE errors_total counter
errors_total{pool="blue"} %d
errors_total{pool="green"} %d
errors_total{pool="red"} %d
# TYPE nothing gauge
nothing NaN
`, n, n, n, n/50, n/5, n/50)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// prometheus starts one that scrapes an exporter.
func prometheus(t *testing.T) *devprometheus.Lone {
	t.Helper()
	return devprometheus.Start(t, scraping(exporter(t)))
}

// scraping is the configuration of one that scrapes a target.
func scraping(target string) string {
	return fmt.Sprintf(`global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs: [{job_name: app, static_configs: [{targets: [%q]}]}]
`, target)
}

func client(t *testing.T, url string) *analysis.Prometheus {
	t.Helper()
	q, err := analysis.NewPrometheus(url)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// write puts series into a Prometheus by its remote-write protocol, version 1.0:
// see https://prometheus.io/docs/specs/prw/remote_write_spec/.
func write(t *testing.T, server *devprometheus.Lone, all ...analysis.Series) {
	t.Helper()
	var request []byte
	for _, s := range all {
		var series []byte
		names := make([]string, 0, len(s.Labels))
		for name := range s.Labels {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			series = field(series, 1, field(field(nil, 1, []byte(name)), 2, []byte(s.Labels[name])))
		}
		for _, point := range s.Points {
			sample := append([]byte{1<<3 | 1}, binary.LittleEndian.AppendUint64(nil, math.Float64bits(point.Value))...)
			sample = binary.AppendUvarint(append(sample, 2<<3), uint64(point.At.UnixMilli()))
			series = field(series, 2, sample)
		}
		request = field(request, 1, series)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/write", bytes.NewReader(s2.EncodeSnappy(nil, request)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("remote write: %s: %s", resp.Status, text)
	}
}

// field appends a field of bytes as protocol buffers have it.
func field(to []byte, number int, value []byte) []byte {
	to = binary.AppendUvarint(to, uint64(number)<<3|2)
	return append(binary.AppendUvarint(to, uint64(len(value))), value...)
}

// ended is the mark that Prometheus puts where a series ends.
var ended = math.Float64frombits(0x7ff0000000000002)
