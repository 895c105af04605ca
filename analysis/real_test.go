package analysis_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/judge"
	"switchd/spec"
	"switchd/testenv/devprometheus"
)

// past builds a series of minutes, from twenty minutes ago on.
func past(base time.Time, name string, labels map[string]string, values ...float64) analysis.Series {
	s := analysis.Series{Labels: map[string]string{"__name__": name, "pool": "green"}}
	maps.Copy(s.Labels, labels)
	for i, v := range values {
		if !math.IsNaN(v) || math.Float64bits(v) == math.Float64bits(ended) {
			s.Points = append(s.Points, analysis.Point{At: base.Add(time.Duration(i) * 30 * time.Second), Value: v})
		}
	}
	return s
}

var none = math.NaN()

// The same rules as on made-up series, on what the real Prometheus makes of them:
// its marks where series end, its times, its label sets.
func TestPrometheus_SamplesCountersAsTheyWere(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	src := client(t, server.URL)
	base := time.Now().Add(-20 * time.Minute).Truncate(time.Minute)
	write(t, server,
		past(base, "reset_total", on("a"), 100, 160, 200, 10, 30),
		past(base, "first_total", on("a", "code", "200"), 100, 160, 220, 280, 340),
		past(base, "first_total", on("a", "code", "500"), none, none, none, 2, 3),
		past(base, "restart_total", on("a", "version", "1"), 1000, 1060, ended),
		past(base, "restart_total", on("a", "version", "2"), none, none, 5, 65, 125),
		past(base, "relabelled_total", on("a", "zone", "x"), 1000, 1060, ended),
		past(base, "relabelled_total", on("a", "zone", "y"), none, none, 1120, 1180, 1240),
		past(base, "joined_total", on("a"), 1000, 1060, 1120, 1180, 1240),
		past(base, "joined_total", on("b"), none, none, 9000, 9060, 9120),
		past(base, "gap_total", on("a"), 100, 160, 220, none, none, none, none, none, none, none, none, 640, 700, 760, 820),
	)
	tests := map[string]struct {
		bad  string
		want []string // node: total/bad, a minute each
	}{
		"reset":      {"reset_total{code=\"500\"}", []string{"a: 100/0", "a: 30/0"}},
		"first":      {`first_total{pool="green", code="500"}`, []string{"a: 120/0", "a: 123/3"}},
		"restart":    {`restart_total{code="500"}`, []string{"a: 65/0", "a: 120/0"}},
		"relabelled": {`relabelled_total{code="500"}`, []string{"a: 120/0", "a: 120/0"}},
		"joined":     {`joined_total{code="500"}`, []string{"a: 120/0", "a: 120/0 b: 120/0"}},
		"gap": {`gap_total{code="500"}`, []string{
			"a: 120/0", "stale: the newest sample is 3m0s old", "no data", "only just begun: there is no earlier sample to count from", "a: 120/0",
		}},
	}
	for name, tt := range tests {
		m := alone()
		m.Total, m.Bad = name+`_total{pool="{{pool}}"} # all`, tt.bad
		sampler := analysis.NewSampler(task(time.Minute, m), src)
		samples, err := read(t.Context(), sampler, m, base, base.Add(time.Duration(7)*time.Minute))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, s := range samples[:min(len(samples), len(tt.want))] {
			got = append(got, text(s.Experiment))
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

func text(r judge.Reading) string {
	if r.Missing != "" {
		return r.Missing
	}
	var nodes []string
	for _, node := range []string{"a", "b"} {
		if c, ok := r.Nodes[node]; ok {
			nodes = append(nodes, fmt.Sprintf("%s: %g/%g", node, c.Total, c.Bad[0]))
		}
	}
	return strings.Join(nodes, " ")
}

func TestPrometheus_SamplesHistograms(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	src := client(t, server.URL)
	base := time.Now().Add(-20 * time.Minute).Truncate(time.Minute)
	bucket := func(pool, le string, values ...float64) analysis.Series {
		return past(base, "took_bucket", on("a", "le", le, "pool", pool), values...)
	}
	write(t, server,
		bucket("green", "0.1", 50, 90, 5, 45, 85), bucket("green", "0.5", 80, 130, 8, 58, 108), bucket("green", "+Inf", 100, 160, 10, 70, 130),
		bucket("blue", "0.1", 50, 90, 130, 170, 210), bucket("blue", "1", 100, 150, 200, 250, 300), bucket("blue", "+Inf", 100, 160, 220, 280, 340),
	)
	m := spec.Metric{Name: "latency", Judge: spec.JudgeThreshold, Buckets: `took_bucket{pool="{{pool}}"}`, Node: "instance", Edges: []float64{0.1, 0.5}}
	sampler := analysis.NewSampler(task(time.Minute, m), src)
	samples, err := read(t.Context(), sampler, m, base, base.Add(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	// After the reset in the first minute, 10 and 5 and 8 have been counted.
	want := []judge.Counts{{Total: 70, Bad: []float64{25, 12}}, {Total: 120, Bad: []float64{40, 20}}}
	for i, c := range want {
		if got := samples[i].Experiment.Nodes["a"]; !reflect.DeepEqual(got, c) {
			t.Errorf("minute %d: got %+v, want %+v", i, got, c)
		}
	}

	edges, err := sampler.Edges(t.Context(), m, base.Add(time.Minute))
	if err != nil || !reflect.DeepEqual(edges, []float64{0.1}) {
		t.Errorf("edges of both: %v, %v", edges, err)
	}
	m.Judge = spec.JudgeSequential // so that blue is asked for
	_, _, err = sampler.Samples(t.Context(), m, base, base.Add(time.Minute))
	wantError(t, err, "the histogram has no bucket of le=0.5; it has 0.1, 1", true)

	history, err := sampler.History(t.Context(), spec.Metric{Buckets: m.Buckets, Node: m.Node, Edges: []float64{1}}, base.Add(2*time.Minute), 2*time.Minute)
	if err != nil || len(history) != 2 || !reflect.DeepEqual(history[1].Experiment.Nodes["a"], judge.Counts{Total: 120, Bad: []float64{20}}) {
		t.Errorf("history %+v, %v", history, err)
	}
}

func TestTry_FindsTheMistakes(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	src := client(t, server.URL)
	now := time.Now()
	write(t, server,
		past(now.Add(-time.Minute), "total", on("a", "pool", "blue"), 1, 2), past(now.Add(-time.Minute), "total", on("a"), 1, 2),
		past(now.Add(-time.Minute), "anonymous", nil, 1, 2),
		past(now.Add(-time.Minute), "took_bucket", on("a", "le", "0.25"), 1, 2), past(now.Add(-time.Minute), "took_bucket", on("a", "le", "+Inf"), 1, 2),
	)
	errors := errorsMetric()
	errors.Bad = `bad{pool="{{pool}}"}`
	with := func(change func(*spec.Metric)) spec.Metric {
		m := errors
		change(&m)
		return m
	}
	latency := spec.Metric{Name: "latency", Judge: spec.JudgeSequential, Buckets: `took_bucket{pool="{{pool}}"}`, Node: "instance", Edges: []float64{0.3}}
	tests := map[string]struct {
		metric spec.Metric
		want   string
		note   bool
	}{
		"no bad one yet": {errors, `bad of metric "errors": no data`, true},
		"parse error":    {bounded("load", "sum("), `query of metric "load": invalid parameter "query": 1:5: parse error: unclosed left parenthesis, in "sum("`, false},
		"several series": {bounded("load", `total`), `query of metric "load": 2 series where one is expected, such as total{`, false},
		"many to many":   {bounded("load", `total * on(instance) total`), `query of metric "load": found duplicate series for the match group`, false},
		"a range":        {bounded("load", `total[1m]`), `query of metric "load": invalid parameter "query": invalid expression type "range vector"`, false},
		"no data":        {bounded("load", `load`), `query of metric "load": no data`, true},
		"no selector":    {with(func(m *spec.Metric) { m.Bad, m.Total = `total{pool="{{pool}}"}`, `rate(total{pool="{{pool}}"}[1m])` }), `total of metric "errors": it is to be a plain selector of counters, such as name{label="value"}, without rate() or increase(), in "rate(`, false},
		"no such node": {with(func(m *spec.Metric) {
			m.Total, m.Bad, m.Node = `total{pool="{{pool}}"}`, `total{pool="{{pool}}"}`, "node"
		}), `node of metric "errors": no series has the label "node" that tells nodes apart, such as total{instance="a", pool="green"}`, false},
		"the same for both": {with(func(m *spec.Metric) { m.Total, m.Bad = `total`, `total` }), `bad of metric "errors": it is the same query for both pools, so that they could not differ: use ${pool} in it`, false},
		"no such edge":      {latency, `edges of metric "latency": the histogram has no bucket of le=0.3; it has 0.25`, false},
		"no histogram": {spec.Metric{Name: "latency", Judge: spec.JudgeSequential, Buckets: `total{pool="{{pool}}"}`, Node: "instance"},
			`buckets of metric "latency": no series has a label le, such as total{instance="a", pool="green"}: select the _bucket series of a histogram`, false},
		"a wrong part": {spec.Metric{Name: "mix", Judge: spec.JudgeExpr, Expr: "a < 1", Queries: map[string]string{"a": "vector(1)", "b": ")"}},
			`queries.b of metric "mix": invalid parameter "query": 1:2: parse error: unexpected right parenthesis`, false},
	}
	for name, tt := range tests {
		cfg := task(time.Minute, tt.metric).Config
		faults := analysis.Try(t.Context(), cfg, spec.Vars{Pool: "green", Other: "blue"}, src)
		if len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), tt.want) || faults[0].Note() != tt.note || faults[0].Mistake() == tt.note {
			t.Errorf("%s: got  %v\nwant %s…", name, faults, tt.want)
		}
	}

	server.Kill()
	cfg := task(time.Minute, errors, bounded("load", "load")).Config
	faults := analysis.Try(t.Context(), cfg, spec.Vars{Pool: "green", Other: "blue"}, src)
	if len(faults) != 1 || faults[0].Mistake() || faults[0].Note() || !strings.HasPrefix(faults[0].Error(), `bad of metric "errors": ask Prometheus at `+server.URL) {
		t.Errorf("got %v", faults)
	}
}

// live is a task on what the exporter shows, with a look each 400 ms.
func live(pool string, looks int) analysis.Task {
	m := alone()
	m.Bad, m.Total, m.Max = `errors_total{pool="{{pool}}"}`, `requests_total{pool="{{pool}}"}`, new(0.1)
	t := task(400*time.Millisecond, m, bounded("up", `count(requests_total{pool="{{pool}}"})`))
	t.Vars.Pool, t.Config.Looks = pool, looks
	return t
}

func TestPrometheus_WatchedLive(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	for pool, outcome := range map[string]gate.Outcome{"red": gate.Pass, "green": gate.Fail} {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		v := analysis.Watch(ctx, live(pool, 5), client(t, server.URL), nil)
		cancel()
		if v.Outcome != outcome {
			t.Errorf("%s: %s: %s", pool, v.Outcome, v.Why)
		}
	}
}

func TestPrometheus_KilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	dir, target := t.TempDir(), exporter(t)
	server := devprometheus.StartAt(t, dir, "127.0.0.1:0", scraping(target))
	task := live("red", 10)
	ctx, cancel := context.WithTimeout(t.Context(), 18*time.Second)
	defer cancel()
	var unknown []string
	looks := 0
	v := analysis.Watch(ctx, task, client(t, server.URL), func(r gate.Verdict) {
		if looks++; looks == 3 {
			server.Kill()
		}
		if strings.HasPrefix(r.Why, "unknown since ") {
			unknown = append(unknown, r.Why)
			if len(unknown) == 3 {
				server = devprometheus.StartAt(t, dir, strings.TrimPrefix(server.URL, "http://"), scraping(target))
			}
		}
	})
	if v.Outcome != gate.Pass || len(unknown) < 3 || !strings.Contains(unknown[0], "as Prometheus can't be asked: ask Prometheus at "+server.URL+": dial tcp") {
		t.Errorf("%s: %s\n%q", v.Outcome, v.Why, unknown)
	}

	server.Kill()
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if v = analysis.Drained(ctx, spec.Drain{Query: "sum(up) * 0"}, spec.Vars{}, client(t, server.URL), nil); v.Outcome != gate.Unknown || !strings.Contains(v.Why, "traffic is unknown (ask Prometheus at ") {
		t.Errorf("%s: %s", v.Outcome, v.Why)
	}
}

// Every third request ends in an error of one of the kinds that a proxy makes.
func TestPrometheus_BehindAFlakyProxy(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{DisableKeepAlives: true}
	var n atomic.Int64
	flaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n.Add(1) % 12 {
		case 0:
			http.Error(w, "bad gateway", http.StatusBadGateway)
		case 3:
			panic(http.ErrAbortHandler)
		case 6:
			w.WriteHeader(http.StatusTooManyRequests)
		case 9:
			_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"matrix","result":[`))
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(flaky.Close)
	for pool, outcome := range map[string]gate.Outcome{"red": gate.Pass, "green": gate.Fail} {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		v := analysis.Watch(ctx, live(pool, 5), client(t, flaky.URL), nil)
		cancel()
		if v.Outcome != outcome {
			t.Errorf("%s: %s: %s", pool, v.Outcome, v.Why)
		}
	}
}

func TestPrometheus_Drained(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	src := client(t, server.URL)
	drain := spec.Drain{Query: `count(requests_total{pool="{{pool}}"}) * 0 or vector(0)`, Below: 0.1, For: spec.Duration(500 * time.Millisecond)}
	if v := analysis.Drained(t.Context(), drain, spec.Vars{Pool: "blue"}, src, nil); v.Outcome != gate.Pass {
		t.Errorf("%s: %s", v.Outcome, v.Why)
	}
}

// An hour that is over, watched as if it went on: an analysis that comes late asks
// for all that it missed.
func TestPrometheus_WatchedAfterwards(t *testing.T) {
	t.Parallel()
	server := prometheus(t)
	src := client(t, server.URL)
	now := time.Now().Truncate(time.Minute)
	began := now.Add(-20 * time.Minute)
	for name, dead := range map[string]time.Duration{"none": 0, "short": 30 * time.Second, "middle": 2 * time.Minute, "long": 10 * time.Minute} {
		for share, outcome := range map[float64]gate.Outcome{0.01: gate.Unknown, 0.03: gate.Fail} {
			db := newTSDB()
			outage := window{began.Add(5 * time.Minute), began.Add(5*time.Minute + dead)}
			trafficAt(db, began, 30*time.Minute, now.Sub(began), 50, 0.01, share, outage.from, outage.holds)
			prefix := fmt.Sprintf("%s_%g_", name, 100*share)
			for selector, all := range db.series {
				metric, rest, _ := strings.Cut(selector, "{")
				for _, s := range all {
					labels := map[string]string{"__name__": prefix + metric, "pool": strings.Split(rest, `"`)[1], "instance": s.Labels["instance"]}
					write(t, server, analysis.Series{Labels: labels, Points: s.Points})
				}
			}
			m := errorsMetric()
			m.Bad, m.Total = fmt.Sprintf(`{__name__=%q, pool="{{pool}}"}`, prefix+"bad"), fmt.Sprintf(`{__name__=%q, pool="{{pool}}"}`, prefix+"total")
			task := task(15*time.Second, m)
			task.Config.Looks, task.Config.History = 1000, spec.Duration(30*time.Minute) // no pass
			task.Since, task.Began = began, began
			ctx, cancel := context.WithCancel(t.Context())
			v := analysis.Watch(ctx, task, src, func(gate.Verdict) { cancel() })
			cancel()
			if v.Outcome != outcome {
				t.Errorf("%s: %s: %s", prefix, v.Outcome, v.Why)
			}
			if evidence, err := analysis.ReadEvidence(analysis.Task{Config: task.Config, Vars: task.Vars, State: v.State}); err != nil || evidence.Verdict.Findings[0].Samples < 20 {
				t.Errorf("%s: %+v: %v", prefix, evidence.Verdict.Findings, err)
			}
		}
	}
}
