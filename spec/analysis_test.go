package spec_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"switchd/spec"
)

// analyse compiles a file's text as one of an analysis.
func analyse(t *testing.T, text string) spec.Analysis {
	t.Helper()
	a, err := spec.ParseAnalysis("analysis.hcl", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnalysis_SpellsOutReadyMadeMetrics(t *testing.T) {
	t.Parallel()
	const which = `service="{{service}}",pool="{{pool}}"`
	for name, tt := range map[string]struct {
		text string
		want spec.Metric
	}{
		"errors of Go services": {`errors {}`, spec.Metric{
			Bad: `http_requests_total{` + which + `,code=~"5.."}`, Total: `http_requests_total{` + which + `}`, Node: "instance",
		}},
		"errors of Envoy": {`errors { exporter = "envoy" }`, spec.Metric{
			Bad: `envoy_cluster_upstream_rq_xx{` + which + `,envoy_response_code_class="5"}`, Total: `envoy_cluster_upstream_rq_xx{` + which + `}`, Node: "instance",
		}},
		"errors of HAProxy": {`errors { exporter = "haproxy" }`, spec.Metric{
			Bad: `haproxy_server_http_responses_total{` + which + `,code="5xx"}`, Total: `haproxy_server_http_responses_total{` + which + `}`, Node: "server",
		}},
		"errors of NGINX": {`errors { exporter = "nginx-vts" }`, spec.Metric{
			Bad: `nginx_vts_server_requests_total{` + which + `,host!="*",code="5xx"}`, Total: `nginx_vts_server_requests_total{` + which + `,host!="*",code=~"[1-5]xx"}`, Node: "instance",
		}},
		"errors by other names": {`errors {
			exporter = "haproxy"
			labels   = { service = "", pool = "", node = "srv", code = "status" }
			selector = " proxy=\"web-$${pool}\" "
			metric   = "responses_total"
		}`, spec.Metric{
			Bad: `responses_total{proxy="web-{{pool}}",status="5xx"}`, Total: `responses_total{proxy="web-{{pool}}"}`, Node: "srv",
		}},
		"latency of Go services": {`latency { edges = ["100ms", 0.3, "1s"] }`, spec.Metric{
			Buckets: `http_request_duration_seconds_bucket{` + which + `}`, Edges: []float64{0.1, 0.3, 1}, Unit: spec.UnitSeconds, Node: "instance",
		}},
		"latency of Envoy": {`latency {
			edges    = ["100ms", "1s", 2500]
			exporter = "envoy"
		}`, spec.Metric{
			Buckets: `envoy_cluster_upstream_rq_time_bucket{` + which + `}`, Edges: []float64{100, 1000, 2500}, Unit: spec.UnitMilliseconds, Node: "instance",
		}},
		"latency of NGINX": {`latency { exporter = "nginx-vts" }`, spec.Metric{
			Buckets: `nginx_vts_server_request_duration_seconds_bucket{` + which + `,host!="*"}`, Unit: spec.UnitSeconds, Node: "instance",
		}},
		"latency by another name": {`latency { metric = "request_seconds_bucket" }`, spec.Metric{
			Buckets: `request_seconds_bucket{` + which + `}`, Unit: spec.UnitSeconds, Node: "instance",
		}},
		"saturation of Go services": {`saturation {}`, spec.Metric{
			Query: `avg(rate(process_cpu_seconds_total{` + which + `}[{{rate_interval}}]))`,
		}},
		"saturation by a query": {`saturation { query = "avg(load{pool=\"$${pool}\"})" }`, spec.Metric{
			Query: `avg(load{pool="{{pool}}"})`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := analyse(t, "analysis {\n"+strings.ReplaceAll(tt.text, "$${", "${")+"\n}").Metrics
			want := tt.want
			want.Name, _, _ = strings.Cut(tt.text, " ")
			want.Judge, want.Allowed, want.Margin, want.Require, want.Weight = spec.JudgeSequential, 1.1, 0.5, spec.RequireNoWorse, 1
			if want.Query == "" {
				want.Harmless = 0.001
			}
			if !reflect.DeepEqual(got, []spec.Metric{want}) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestAnalysis_ChoosesTheJudgeByWhatIsAsked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]spec.Metric{
		`query = "up"
		 max   = 1`: {Judge: spec.JudgeThreshold, Query: "up", Max: new(1.0)},
		`bad   = "b{p=\"${pool}\"}"
		 total = "t{p=\"${pool}\"}"
		 weight = 2`: {
			Judge: spec.JudgeSequential, Bad: `b{p="{{pool}}"}`, Total: `t{p="{{pool}}"}`, Node: "instance",
			Allowed: 1.1, Margin: 0.5, Harmless: 0.001, Require: spec.RequireNoWorse, Weight: 2,
		},
		`buckets = "d_bucket{p=\"${pool}\"}"
		 unit    = "ms"
		 edges   = ["250ms"]
		 require = "no_regression"
		 after   = "10m"`: {
			Judge: spec.JudgeSequential, Buckets: `d_bucket{p="{{pool}}"}`, Unit: spec.UnitMilliseconds, Edges: []float64{250}, Node: "instance",
			Allowed: 1.1, Margin: 0.5, Harmless: 0.001, Require: spec.RequireNoRegression, After: spec.Duration(10 * time.Minute), Weight: 1,
		},
		`queries = { errors = " up\n" }
		 expr    = "errors < 1"
		 error_limit = 4
		 missing = "fail"`: {
			Judge: spec.JudgeExpr, Queries: map[string]string{"errors": "up"}, Expr: "errors < 1", ErrorLimit: new(4), MissingFails: true,
		},
		`query = "up{p=\"${pool}\"}"
		 mannwhitney { direction = "increase" }`: {
			Judge: spec.JudgeMannWhitney, Query: `up{p="{{pool}}"}`, MannWhitney: &spec.MannWhitney{
				Direction: "increase", NaN: "remove", Outliers: "keep", OutlierFactor: 3, Tolerance: 0.25, Confidence: 0.98, Measure: "meanRatio", Group: "others",
			},
		},
		`judge = "mannwhitney"
		 bad   = "b{p=\"${pool}\"}"
		 total = "t{p=\"${pool}\"}"`: {
			Judge: spec.JudgeMannWhitney, Bad: `b{p="{{pool}}"}`, Total: `t{p="{{pool}}"}`, Node: "instance", MannWhitney: &spec.MannWhitney{
				Direction: "either", NaN: "remove", Outliers: "keep", OutlierFactor: 3, Tolerance: 0.25, Confidence: 0.98, Measure: "meanRatio", Group: "others",
			},
		},
		`judge   = "threshold"
		 buckets = "d_bucket"
		 edges   = [0.3]
		 max     = 0.01
		 fail_max = 0.05
		 inconclusive_limit = 0`: {
			Judge: spec.JudgeThreshold, Buckets: "d_bucket", Edges: []float64{0.3}, Unit: spec.UnitSeconds, Node: "instance",
			Max: new(0.01), FailMax: new(0.05), InconclusiveLimit: new(0),
		},
	} {
		want.Name = "x"
		got := analyse(t, "analysis {\nlooks = 30\nmetric \"x\" {\n"+text+"\n}\n}").Metrics
		if !reflect.DeepEqual(got, []spec.Metric{want}) {
			t.Errorf("%s\ngot  %+v\nwant %+v", text, got, want)
		}
	}
}

// What was spelled out is found where the block that stands for it is, and what
// the block sets where it is set.
func TestAnalysis_KeepsThePlacesOfReadyMadeMetrics(t *testing.T) {
	t.Parallel()
	files := base(t)
	files["more.hcl"] = &fstest.MapFile{Data: []byte(`service "web" {
  weights = [10]
  analysis {
    errors {
      exporter = "envoy"
      allowed  = 1.2
    }
    saturation {
      query = "avg(load{pool=\"${pool}\"})"
    }
  }
}
`)}
	web := service(t, compile(t, files, "prod"), "web")
	lines := make(map[string]int)
	for path, origin := range web.Origins {
		if origin.File == "more.hcl" && path != "weights" && path != "analysis" {
			lines[path] = origin.Line
		}
	}
	want := map[string]int{
		"metric.errors": 4, "metric.errors.bad": 4, "metric.errors.total": 4, "metric.errors.allowed": 6,
		"metric.saturation": 8, "metric.saturation.query": 9,
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("got  %v\nwant %v", lines, want)
	}
}

func TestDiff_ShowsThePromQLOfAnotherExporter(t *testing.T) {
	t.Parallel()
	with := func(block string) *spec.Desired {
		files := base(t)
		files["more.hcl"] = &fstest.MapFile{Data: []byte("service \"web\" {\n weights = [10]\n analysis {\n" + block + "\n}\n}\n")}
		return compile(t, files, "prod")
	}
	changes := spec.Diff(with(`errors {}`), with("errors {\n metric = \"requests_total\"\n margin = 1\n}\nmetric \"x\" {\n query = \"up\"\n max = 1\n missing = \"fail\"\n}"))
	var got []string
	for _, c := range changes {
		got = append(got, c.String())
	}
	want := []string{
		`~ service.web.metric.errors.bad  "http_requests_total{service=\"{{service}}\",pool=\"{{pool}}\",code=~\"5..\"}" -> "requests_total{service=\"{{service}}\",pool=\"{{pool}}\",code=~\"5..\"}"   (more.hcl:4)`,
		`~ service.web.metric.errors.margin  0.5 -> 1   (more.hcl:6)`,
		`~ service.web.metric.errors.total  "http_requests_total{service=\"{{service}}\",pool=\"{{pool}}\"}" -> "requests_total{service=\"{{service}}\",pool=\"{{pool}}\"}"   (more.hcl:4)`,
		`+ service.web.metric.x   (more.hcl:8)`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestMetric_WritesEdgesAsPeopleDo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		unit string
		edge float64
		want string
	}{
		{spec.UnitSeconds, 0.3, "300ms"},
		{spec.UnitSeconds, 2.5, "2.5s"},
		{"", 0.005, "5ms"},
		{spec.UnitMilliseconds, 250, "250ms"},
		{spec.UnitMilliseconds, 60000, "1m0s"},
	} {
		m := spec.Metric{Unit: tt.unit}
		if got := m.EdgeText(tt.edge); got != tt.want {
			t.Errorf("%v %q: got %q, want %q", tt.edge, tt.unit, got, tt.want)
		}
	}
}

func TestParseAnalysis_NeedsNoEnvironment(t *testing.T) {
	t.Parallel()
	a := analyse(t, "analysis {\n prometheus = env.prometheus\n interval = \"30s\"\n errors {}\n}")
	if a.Prometheus != "" || a.Interval.Std() != 30*time.Second || len(a.Metrics) != 1 {
		t.Errorf("got %+v", a)
	}
}

func TestParseAnalysis_ExplainsMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                      "No analysis",
		"analysis {":                            "analysis.hcl line 1",
		"analysis {}":                           "Nothing to analyse",
		"service \"web\" {}":                    "Blocks of type \"service\" are not expected here.",
		"analysis {\n alpa = 1\n}":              "Did you mean \"alpha\"?",
		"analysis {\n alpha = 2\n errors {}\n}": "analysis.hcl line 2, in analysis:",
		"analysis {\n errors {}\n prometheus = env.name\n}":   "Unsupported attribute",
		"analysis {\n errors { selector = \"a=${pol}\" }\n }": "Did you mean \"pool\"?",
		strings.Repeat("#", 1<<20+1):                          "larger than 1048576 bytes",
		"analysis {\n looks = [for a in [1] : a]\n}":          "No loops",
	} {
		if _, err := spec.ParseAnalysis("analysis.hcl", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80q: got %v, want %q", text, err, want)
		}
	}
}

// FuzzParseAnalysis holds that any text gives either an analysis, which survives
// JSON and can be judged, or an error.
func FuzzParseAnalysis(f *testing.F) {
	f.Add([]byte("analysis {\n errors {\n exporter = \"envoy\"\n}\n latency {\n edges = [\"1s\", 2000]\n exporter = \"envoy\"\n}\n saturation {}\n}"))
	f.Add([]byte("analysis {\n looks = 50\n score {\n weights = { a = 1e-3 }\n}\n metric \"x\" {\n query = \"up{p='${pool}'}\"\n mannwhitney {\n group = \"a\"\n}\n}\n}"))
	f.Add([]byte("analysis {\n metric \"x\" {\n queries = { a = \"up\" }\n expr = \"a > live.a\"\n missing = \"fail\"\n error_limit = 0\n}\n}"))
	f.Add([]byte("analysis {\n metric \"x\" {\n buckets = \"{p=`${pool}}`}\"\n require = \"no_regression\"\n after = \"1h\"\n}\n}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := spec.ParseAnalysis("fuzz.hcl", text)
		if err != nil {
			if a.Metrics != nil {
				t.Fatalf("got %+v with the error %v", a, err)
			}
			return
		}
		for _, m := range a.Metrics {
			compared := m.Judge == spec.JudgeSequential || m.Judge == spec.JudgeMannWhitney
			if asked := m.Query + m.Bad + m.Buckets; compared && !strings.Contains(asked, "{{pool}}") && !strings.Contains(asked, "{{version}}") {
				t.Errorf("metric %q compares pools, but asks %q", m.Name, asked)
			}
			if (m.Judge == spec.JudgeSequential) != (m.Weight > 0) {
				t.Errorf("metric %q has the judge %q and the weight %v", m.Name, m.Judge, m.Weight)
			}
		}
		written, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		var read spec.Analysis
		if err := json.Unmarshal(written, &read); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(read, a) {
			t.Fatalf("got  %+v\nwant %+v", read, a)
		}
	})
}
