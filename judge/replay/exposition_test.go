package replay_test

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"switchd/analysis"
	"switchd/judge/replay"
)

func all(map[string]string) bool { return true }

func parseDump(t *testing.T, text string) *replay.Dump {
	t.Helper()
	d, err := replay.ReadDump(strings.NewReader(text), "web.om", all)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func raw(t *testing.T, d *replay.Dump, selector string) []analysis.Series {
	t.Helper()
	series, err := d.Raw(t.Context(), selector, time.Unix(0, 0), began().Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return series
}

// TestReadDump_ReadsTheSameInEveryForm has one series as OpenMetrics, as
// Prometheus' text and as `promtool tsdb dump` writes it.
func TestReadDump_ReadsTheSameInEveryForm(t *testing.T) {
	t.Parallel()
	want := []analysis.Series{{
		Labels: map[string]string{"__name__": "http_requests_total", "pool": "green"},
		Points: []analysis.Point{{At: began(), Value: 7}, {At: began().Add(15500 * time.Millisecond), Value: 9.5}},
	}}
	for name, text := range map[string]string{
		"OpenMetrics": "# HELP http_requests All.\n# TYPE http_requests counter\n" +
			"http_requests_total{pool=\"green\"} 7 1795183200 # {trace_id=\"abc\"} 1.0 1795183200\n" +
			"http_requests_total{pool=\"green\"} 9.5 1795183215.500\n# EOF\nwhat follows is nothing\n",
		"text, newest first": "\nhttp_requests_total{pool=\"green\",} 9.5 1795183215500\r\nhttp_requests_total { pool=\"green\" } 7 1795183200000\n",
		"promtool":           `{__name__="http_requests_total", pool="green"} 7 1795183200000` + "\n" + `{__name__="http_requests_total", pool="green"} 9.5 1795183215500`,
		"UTF-8 names":        `{"http_requests_total","pool"="green"} 7 1795183200` + "\n" + `{"http_requests_total","pool"="green"} 9.5e0 1795183215.5`,
	} {
		if got := raw(t, parseDump(t, text), "http_requests_total"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestReadDump_NamesThePlaceOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"# TYPE x counter\nx 1\n":    "web.om:2: the point has no timestamp; a replay needs to know when it was",
		"x one 5\n":                  `web.om:1: "one" is not a number`,
		"x 1 noon\n":                 `web.om:1: "noon" is not a timestamp`,
		"x 1 -5\n":                   `web.om:1: "-5" is not a timestamp`,
		"x 1 2 3\n":                  `web.om:1: want a value and a timestamp at "1 2 3"`,
		"\n\nx{a=\"b\" 1 5\n":        `web.om:3: a comma or a closing brace is expected at "1 5"`,
		"x{a!=\"b\"} 1 5\n":          `web.om:1: label a: "!=" is not what a series has`,
		"x{a=\"b\",a=\"c\"} 1 5\n":   "web.om:1: label a is there twice",
		"{a=\"b\"} 1 5\n":            "web.om:1: a series has no name",
		strings.Repeat("x", 1<<20+1): "web.om:1: the line has more than 1048576 bytes",
		"x 1 5\n" + "y{" + strings.Repeat("a", 1<<20): "web.om:2: the line has more than 1048576 bytes",
	} {
		_, err := replay.ReadDump(strings.NewReader(text), "web.om", all)
		wantError(t, err, want)
	}
}

func TestReadDump_KeepsOnlyWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	d, err := replay.ReadDump(strings.NewReader("a 1 5\nb 2 6\na 3 7\nb 4 8\n"), "web.om",
		func(labels map[string]string) bool { return labels["__name__"] == "b" })
	if err != nil {
		t.Fatal(err)
	}
	from, to, ok := d.Extent()
	if !ok || from.Unix() != 6 || to.Unix() != 8 || len(raw(t, d, "a")) != 0 {
		t.Errorf("from %s to %s, a is %v", from, to, raw(t, d, "a"))
	}
}

func TestDump_SumsByLabelsAsPrometheusDoes(t *testing.T) {
	t.Parallel()
	d := parseDump(t, `
x{pool="green",instance="a",code="200"} 1 100
x{pool="green",instance="a",code="200"} 5 160
x{pool="green",instance="a",code="500"} 2 100
x{pool="green",instance="b",code="200"} 10 130
x{pool="green",instance="b",code="200"} NaN 190
x{pool="blue",instance="a",code="200"} 50 100
`)
	got, err := d.Range(t.Context(), "sum by (instance) (x{pool=\"green\"}\n)", time.Unix(100, 0), time.Unix(500, 0), 100*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	at := func(seconds int64, v float64) analysis.Point {
		return analysis.Point{At: time.Unix(seconds, 0), Value: v}
	}
	want := []analysis.Series{
		// After 300 seconds a point is too old, and a NaN ends its series.
		{Labels: map[string]string{"instance": "a"}, Points: []analysis.Point{at(100, 3), at(200, 7), at(300, 7), at(400, 5)}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	all, err := d.Range(t.Context(), `sum by ("instance", pool) (x)`, time.Unix(130, 0), time.Unix(130, 0), time.Second)
	if err != nil || len(all) != 3 {
		t.Errorf("got %v, %v", all, err)
	}
}

func TestDump_AnswersOneValueOrSaysWhyNot(t *testing.T) {
	t.Parallel()
	d := parseDump(t, "x{a=\"1\"} 1 100\nx{a=\"2\"} 2 100\n")
	ctx, at := context.Background(), time.Unix(130, 0)
	if p, err := d.Query(ctx, `x{a="2"}`, at); err != nil || p.Value != 2 {
		t.Errorf("got %v, %v", p, err)
	}
	if _, err := d.Query(ctx, "x", at); fmt.Sprint(err) != `2 series where one is expected, in "x"` {
		t.Errorf("several: %v", err)
	}
	if _, err := d.Query(ctx, "y", at); err != analysis.ErrNoData { //nolint:errorlint // itself
		t.Errorf("none: %v", err)
	}
	if _, err := d.Query(ctx, "rate(x[5m])", at); err == nil {
		t.Error("PromQL was answered")
	}
}

func FuzzReadDump(f *testing.F) {
	f.Add("# TYPE x counter\nx_total{a=\"b\"} 7 1795183200 # {t=\"c\"} 1\n# EOF\n")
	f.Add("{__name__=\"x\"} NaN 1795183200000\nx 1e300 0\n")
	f.Add("x{a=`b`} -Inf 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := replay.ReadDump(strings.NewReader(text), "web.om", all)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "web.om") {
				t.Errorf("the error doesn't name the file: %v", err)
			}
			return
		}
		from, to, ok := d.Extent()
		if !ok {
			return
		}
		series, err := d.Raw(t.Context(), `{__name__=~".*"}`, from.Add(-time.Second), to)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range series {
			before := time.Time{}
			for _, p := range s.Points {
				if math.IsNaN(p.Value) || !before.IsZero() && !p.At.After(before) {
					t.Fatalf("%v has %v after %s", s.Labels, p, before)
				}
				before = p.At
			}
		}
	})
}
