package analysis_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"switchd/analysis"
	"switchd/testenv/servers"
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

// started is a real Prometheus that a test has started.
type started struct {
	url  string
	kill func() // ends it and waits until it is gone
}

// prometheus starts one on a free port of the loopback that scrapes an exporter.
func prometheus(t *testing.T) started {
	t.Helper()
	return prometheusAt(t, t.TempDir(), "127.0.0.1:0", exporter(t))
}

// prometheusAt starts one on a data folder and an address.
func prometheusAt(t *testing.T, dir, listen, target string) started {
	t.Helper()
	program, err := servers.Find(t.Context(), os.Stderr, servers.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs: [{job_name: app, static_configs: [{targets: [%q]}]}]
`, target)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+listen, "--web.enable-remote-write-receiver", "--scrape.discovery-reload-interval=100ms")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		announced := regexp.MustCompile(`Listening on.*address=(127\.0\.0\.1:\d+)`)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := announced.FindStringSubmatch(lines.Text()); m != nil {
				listening <- m[1]
			}
		}
		_ = cmd.Wait() // killed on purpose
	}()
	p := started{kill: func() { cancel(); <-ended }}
	t.Cleanup(p.kill)
	select {
	case addr := <-listening:
		p.url = "http://" + addr
		p.ready(t)
	case <-ended:
		t.Fatal("prometheus ended at its start")
	case <-time.After(30 * time.Second):
		t.Fatal("prometheus doesn't listen after 30 s")
	}
	return p
}

// ready waits until it takes samples in, which is somewhat after it listens.
func (p started) ready(t *testing.T) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for t.Context().Err() == nil {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/-/ready", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
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
func (p started) write(t *testing.T, all ...analysis.Series) {
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
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/api/v1/write", bytes.NewReader(s2.EncodeSnappy(nil, request)))
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
