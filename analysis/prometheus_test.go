package analysis_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/spec"
	"switchd/testenv/servers"
)

// exporter is a service of two pools as Prometheus sees it: blue errs in 2 % of
// its requests, green in 20 %.
func exporter(t *testing.T) string {
	t.Helper()
	var scrapes atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := 100 * scrapes.Add(1)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprintf(w, `# TYPE requests_total counter
requests_total{pool="blue"} %d
requests_total{pool="green"} %d
# TYPE errors_total counter
errors_total{pool="blue"} %d
errors_total{pool="green"} %d
# TYPE nothing gauge
nothing NaN
`, n, n, n/50, n/5)
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
	program, err := servers.Find(t.Context(), os.Stderr, servers.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`global: {scrape_interval: 200ms, scrape_timeout: 200ms}
scrape_configs: [{job_name: app, static_configs: [{targets: [%q]}]}]
`, exporter(t))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0", "--scrape.discovery-reload-interval=100ms")
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
	case <-ended:
		t.Fatal("prometheus ended at its start")
	case <-time.After(30 * time.Second):
		t.Fatal("prometheus doesn't listen after 30 s")
	}
	return p
}

func client(t *testing.T, url string) *analysis.Prometheus {
	t.Helper()
	q, err := analysis.NewPrometheus(url)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// scraped waits until the rates have data.
func scraped(t *testing.T, q analysis.Querier) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ready := spec.Analysis{
		Interval: spec.Duration(100 * time.Millisecond), Looks: 1,
		Metrics: []spec.Metric{{Name: "requests", Query: `rate(requests_total{pool="blue"}[2s])`, Min: new(0.0)}},
	}
	if v := analysis.Run(ctx, ready, spec.Vars{}, q, nil); v.Outcome != gate.Pass {
		t.Fatalf("no data in Prometheus: %s", v.Why)
	}
}

const errorShare = `sum(rate(errors_total{pool="{{pool}}"}[2s]))
  / sum(rate(requests_total{pool="{{pool}}"}[2s]))`

func TestPrometheus_AnswersAsTheRealOneDoes(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	q := client(t, server.url)
	scraped(t, q)

	errorRate := spec.Metric{Name: "errors", Query: errorShare, Max: new(0.1)}
	asking := func(query string) spec.Metric {
		m := errorRate
		m.Query = query
		return m
	}
	busy := errorRate
	busy.Traffic, busy.MinTraffic = `sum(rate(requests_total{pool="{{pool}}"}[2s]))`, 1
	idle := busy
	idle.MinTraffic = 1e9
	lost := busy
	lost.Traffic = `absent_total`
	wrongTraffic := busy
	wrongTraffic.Traffic = `sum(`

	tests := map[string]struct {
		metric  spec.Metric
		pool    string
		outcome gate.Outcome
		why     string
	}{
		"pass":               {errorRate, "blue", gate.Pass, "errors is within bounds on blue, after 3 looks in 0."},
		"pass with traffic":  {busy, "blue", gate.Pass, "errors is within bounds on blue"},
		"fail":               {errorRate, "green", gate.Fail, "errors of green is 0.2 (20 %), allowed at most 0.1 (10 %), after 1 look in 0."},
		"scalar":             {asking("scalar(up)"), "blue", gate.Fail, "errors of blue is 1, allowed at most 0.1"},
		"no data":            {asking("absent_total"), "blue", gate.Unknown, "last look: no data"},
		"NaN":                {asking("nothing"), "blue", gate.Unknown, "last look: the value is NaN"},
		"infinity":           {asking("up / 0"), "blue", gate.Unknown, "last look: the value is infinite (+Inf)"},
		"several series":     {asking("requests_total"), "blue", gate.Unknown, "last look: 2 series where one is expected, such as requests_total{"},
		"too little traffic": {idle, "green", gate.Unknown, "last look: too little traffic: "},
		"unknown traffic":    {lost, "green", gate.Unknown, "last look: traffic unknown: no data"},
		"wrong query":        {asking("sum(up"), "blue", gate.Fail, `query of metric "errors" is wrong: invalid parameter "query": 1:7: parse error`},
		"unmatched series":   {asking("up + on() requests_total"), "blue", gate.Fail, `query of metric "errors" is wrong: `},
		"wrong traffic":      {wrongTraffic, "green", gate.Fail, `traffic query of metric "errors" is wrong: invalid parameter "query"`},
		"range":              {asking("up[1m]"), "blue", gate.Fail, `query of metric "errors" is wrong: the query gives a matrix where one value is expected`},
		"string":             {asking(`"text"`), "blue", gate.Unknown, `unexpected value type "string"`},
	}
	t.Run("metric", func(t *testing.T) { // so that all end before the server does
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				enough := 20 * time.Second
				if tt.outcome == gate.Unknown {
					enough = 700 * time.Millisecond // this one ends no sooner
				}
				ctx, cancel := context.WithTimeout(t.Context(), enough)
				defer cancel()
				cfg := spec.Analysis{Interval: spec.Duration(200 * time.Millisecond), Looks: 3, Metrics: []spec.Metric{tt.metric}}
				v := analysis.Run(ctx, cfg, spec.Vars{Pool: tt.pool}, q, nil)
				if v.Outcome != tt.outcome || !strings.Contains(v.Why, tt.why) {
					t.Errorf("got  %s: %s\nwant %s: …%s…", v.Outcome, v.Why, tt.outcome, tt.why)
				}
			})
		}
	})

	drain := spec.Drain{Query: `sum(rate(requests_total{pool="{{pool}}"}[2s])) * 0`, Below: 0.1, For: spec.Duration(500 * time.Millisecond)}
	v := analysis.Drained(t.Context(), drain, spec.Vars{Pool: "blue"}, q, nil)
	if v.Outcome != gate.Pass {
		t.Errorf("drained: %s: %s", v.Outcome, v.Why)
	}
}

func TestPrometheus_KilledInTheMiddleIsUnknown(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	q := client(t, server.url)
	scraped(t, q)

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var lines int
	cfg := spec.Analysis{
		Interval: spec.Duration(200 * time.Millisecond), Looks: 1000,
		Metrics: []spec.Metric{{Name: "errors", Query: errorShare, Max: new(0.1)}},
	}
	v := analysis.Run(ctx, cfg, spec.Vars{Pool: "blue"}, q, func(string) {
		if lines++; lines == 3 {
			server.kill()
		}
	})
	if v.Outcome != gate.Unknown || !strings.Contains(v.Why, "errors: 3 of 1000 passing looks, ") ||
		!strings.Contains(v.Why, "last look: ask Prometheus at "+server.url+": dial tcp") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}

	drain := spec.Drain{Query: `sum(rate(requests_total[2s])) * 0`, Below: 0.1}
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	v = analysis.Drained(ctx, drain, spec.Vars{Pool: "blue"}, q, nil)
	if v.Outcome != gate.Unknown || !strings.Contains(v.Why, "traffic is unknown (ask Prometheus at ") {
		t.Errorf("got %s: %s", v.Outcome, v.Why)
	}
}

// hang answers a beginning and then nothing until the client has gone, which a
// server notices only once it has read the request's body.
func hang(beginning string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if beginning != "" {
			_, _ = io.WriteString(w, beginning)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

// What a healthy Prometheus can't be brought to answer comes from a server that
// speaks its protocol.
func TestPrometheus_TellsUnknownFromWrong(t *testing.T) {
	t.Parallel()
	answers := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = fmt.Fprint(w, body)
		}
	}
	const one = `"data":{"resultType":"scalar","result":[1435781451.781,"1"]}`
	tests := map[string]struct {
		handler http.HandlerFunc
		wrong   bool
		why     string
	}{
		"bad data":        {answers(400, `{"status":"error","errorType":"bad_data","error":"parse error"}`), true, `parse error, in "up"`},
		"execution":       {answers(422, `{"status":"error","errorType":"execution","error":"many-to-many"}`), true, `many-to-many, in "up"`},
		"internal":        {answers(500, `{"status":"error","errorType":"internal","error":"disk"}`), false, "server_error: server error: 500"},
		"timeout":         {answers(503, `{"status":"error","errorType":"timeout","error":"too slow"}`), false, `"error":"too slow"`},
		"not found":       {answers(404, `nothing here`), false, "client_error: client error: 404"},
		"unauthorized":    {answers(401, ``), false, "client_error: client error: 401"},
		"gateway":         {answers(502, `<html>`), false, "server_error: server error: 502"},
		"redirect":        {answers(302, ``), false, "302"},
		"no JSON":         {answers(200, `<html>`), false, "bad_response: "},
		"warnings":        {answers(200, `{"status":"success",`+one+`,"warnings":["a store is gone"]}`), false, "the data may be partial, Prometheus warns: a store is gone"},
		"endless":         {answers(200, strings.Repeat(" ", 2<<20)), false, "the answer is longer than 1048576 bytes"},
		"hanging":         {hang(""), false, "no answer within 5s"},
		"hanging midways": {hang(`{"status":`), false, "no answer within 5s"},
		"histogram": {
			answers(200, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1","sum":"1","buckets":[]}]}]}}`),
			false, "a histogram where one value is expected",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := httptest.NewServer(tt.handler)
			t.Cleanup(srv.Close)
			_, err := client(t, srv.URL).Query(t.Context(), "up", time.Now())
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Fatalf("got %v, want …%s…", err, tt.why)
			}
			if _, wrong := errors.AsType[*analysis.SpecError](err); wrong != tt.wrong {
				t.Errorf("a mistake in the spec: %t, want %t: %v", wrong, tt.wrong, err)
			}
		})
	}
}

func TestNewPrometheus_RefusesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "127.0.0.1:9090", "ftp://127.0.0.1", "http://", "http://\x00"} {
		if _, err := analysis.NewPrometheus(base); err == nil {
			t.Errorf("accepted %q", base)
		}
	}
	_, err := analysis.NewPrometheus("ftp://user:secret@127.0.0.1")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}
