package replay_test

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"switchd/judge"
	"switchd/judge/replay"
	"switchd/spec"
)

func TestReadCSV_SumsNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	r := parseCSV(t, "\ufefftime,pool,node,bad,total\n"+
		"2026-11-20T14:01:00Z,green,a,1,100\n"+
		"2026-11-20T14:01:00Z,experiment,b,0,50\n"+
		"2026-11-20T14:01:00Z,blue,c,2,200\n"+
		"1795183320,green,a,3,110\n"+
		"1795183320,control,c,,\n")
	if r.Looks != 2 || r.Step != time.Minute || !r.From.Equal(began().Add(time.Minute)) || !r.To.Equal(began().Add(2*time.Minute)) {
		t.Errorf("the outline is %+v", r)
	}
	got := looks(t, r, counts("errors"))
	want := []map[string]judge.Sample{
		{"errors": {
			At:         began().Add(time.Minute),
			Experiment: judge.Reading{Nodes: map[string]judge.Counts{"a": {Total: 100, Bad: []float64{1}}, "b": {Total: 50, Bad: []float64{0}}}},
			Control:    judge.Reading{Nodes: map[string]judge.Counts{"c": {Total: 200, Bad: []float64{2}}}},
		}},
		{"errors": {
			At:         began().Add(2 * time.Minute),
			Experiment: judge.Reading{Nodes: map[string]judge.Counts{"a": {Total: 110, Bad: []float64{3}}}},
			Control:    judge.Reading{Missing: "a number is missing in the row"},
		}},
	}
	for i, look := range got {
		if !reflect.DeepEqual(look.Samples, want[i]) {
			t.Errorf("look %d is %+v, want %+v", i, look.Samples, want[i])
		}
	}
}

func TestReadCSV_CountsWhatIsSlowerThanEachEdge(t *testing.T) {
	t.Parallel()
	text := "time,side,le=0.5,le=0.1,le=+Inf\n0,experiment,95,80,100\n0,control,90,70,100\n60,experiment,10,20,15\n60,control,10,20,30\n"
	m := spec.Metric{Name: "errors", Judge: spec.JudgeSequential, Buckets: "buckets"}
	r := parseCSV(t, text)
	if got := r.Metrics[0]; !slices.Equal(got.Edges, []float64{0.1, 0.5}) || got.Kind != replay.Buckets {
		t.Errorf("the metric is %+v", got)
	}
	all := looks(t, r, m)
	if got := all[0].Samples["errors"].Experiment.Nodes[""].Bad; !slices.Equal(got, []float64{20, 5}) {
		t.Errorf("all edges: %v", got)
	}
	if got := all[1].Samples["errors"].Experiment.Missing; got == "" {
		t.Error("a bucket that is above the total was believed")
	}
	if got := all[1].Samples["errors"].Control.Missing; got != "the bucket le=0.5 has more events than a longer one, or fewer than a shorter one" {
		t.Error("a bucket that is above the next one was believed")
	}
	m.Edges = []float64{0.5}
	if got := looks(t, r, m)[0].Samples["errors"].Control.Nodes[""].Bad; !slices.Equal(got, []float64{10}) {
		t.Errorf("one edge: %v", got)
	}
	m.Edges = []float64{0.3}
	_, err := r.Replay([]spec.Metric{m})
	wantError(t, err, `web.csv has no bucket of metric "errors" that ends at 0.3; it has 0.1, 0.5`)
}

func TestReadCSV_TellsAValueFromAnEmptyCell(t *testing.T) {
	t.Parallel()
	r := parseCSV(t, "time,side,value\n0,experiment,NaN\n60,experiment,\n120,experiment,7\n")
	m := spec.Metric{Name: "errors", Judge: spec.JudgeThreshold, Query: "value"}
	var got []judge.Reading
	for _, look := range looks(t, r, m) {
		if !reflect.ValueOf(look.Samples["errors"].Control).IsZero() {
			t.Errorf("there is a control in %+v", look)
		}
		got = append(got, look.Samples["errors"].Experiment)
	}
	if !math.IsNaN(got[0].Value) || got[0].Missing != "" || got[1].Missing != "no value" || got[2].Value != 7 {
		t.Errorf("got %+v", got)
	}
}

func TestReadCSV_MakesGapsOfStepsThatAreLeftOut(t *testing.T) {
	t.Parallel()
	r := parseCSV(t, "time,side,bad,total\n0,experiment,0,9\n0,control,0,9\n60,experiment,0,9\n240,experiment,0,9\n")
	var gaps []int64
	for _, look := range looks(t, r, counts("errors")) {
		if look.Samples["errors"].Experiment.Missing != "" {
			gaps = append(gaps, look.At.Unix())
		}
	}
	if !slices.Equal(gaps, []int64{120, 180}) {
		t.Errorf("gaps at %v", gaps)
	}
}

func TestReadCSV_KeepsMetricsApart(t *testing.T) {
	t.Parallel()
	r := parseCSV(t, "time,side,metric,bad,total,value\n0,experiment,errors,1,9,\n0,control,errors,1,9,\n0,experiment,cpu,,,0.5\n0,control,cpu,,,0.4\n")
	cpu := spec.Metric{Name: "cpu", Query: "value"}
	got := looks(t, r, counts("errors"), cpu)
	if len(got) != 1 || !slices.Equal(slices.Sorted(maps.Keys(got[0].Samples)), []string{"cpu", "errors"}) {
		t.Fatalf("got %+v", got)
	}
	if s := got[0].Samples["cpu"]; s.Experiment.Value != 0.5 || s.Control.Value != 0.4 {
		t.Errorf("cpu is %+v", s)
	}
	if got := looks(t, r, cpu); len(got[0].Samples) != 1 {
		t.Errorf("what isn't judged was read: %+v", got)
	}
	_, err := r.Replay([]spec.Metric{counts("5xx")})
	wantError(t, err, `web.csv has no metric "5xx"; it has "cpu", "errors"`)
	_, err = r.Replay([]spec.Metric{counts("cpu")})
	wantError(t, err, `web.csv has values for metric "cpu", which the configuration judges by counts`)
}

// TestReadCSV_TakesWhatDashboardsAndSpreadsheetsExport has the same samples in
// several forms.
func TestReadCSV_TakesWhatDashboardsAndSpreadsheetsExport(t *testing.T) {
	t.Parallel()
	want := looks(t, parseCSV(t, "time,side,value\n1795183200,green,7\n1795183200,blue,5\n1795183260,green,\n1795183260,blue,6\n"), value("errors"))
	for name, text := range map[string]string{
		"a column a side": "time,blue,green\n1795183200,5,7\n1795183260,6,\n",
		"other names":     "Time,control,Experiment\n1795183200,5,7\n1795183260,6,\n",
		"milliseconds":    "time,blue,green\n1795183200000,5,7\n1795183260000,6,\n",
		"no zone":         "time,blue,green\n2026-11-20 14:00:00,5,7\n2026-11-20T14:01:00,6,\n",
		"semicolons":      "time;blue;green\n1795183200;5;7\n1795183260;6;\n",
		"tabs":            "time\tblue\tgreen\n1795183200\t5\t7\n1795183260\t6\t\n",
		"Windows":         "\ufeff\"time\",\"blue\",\"green\"\r\n1795183200,\"5\",\"7\"\r\n1795183260,6,\r\n",
	} {
		if got := looks(t, parseCSV(t, text), value("errors")); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestReadCSV_RefusesToCompareASideThatIsNotThere(t *testing.T) {
	t.Parallel()
	const head = `web.csv: metric "errors" can't be compared, as the judge sequential does: `
	for text, want := range map[string]string{
		"time,side,bad,total\n0,green,1,2\n":             head + "no row is of the control (or blue); --control names its side, and only bounds (--min, --max) need none",
		"time,side,bad,total\n0,blue,1,2\n":              head + "no row is of the experiment (or green); --experiment names its side",
		"time,side,bad,total\n0,blue,1,2\n3,green,1,2\n": head + "no time has rows of both sides; round the times so that both have the same ones",
	} {
		r := parseCSV(t, text)
		_, err := r.Replay([]spec.Metric{counts("errors")})
		wantError(t, err, want)
		bounded := counts("errors")
		bounded.Judge = spec.JudgeThreshold
		if _, err := r.Replay([]spec.Metric{bounded}); err != nil {
			t.Errorf("a bound needs no comparison: %v", err)
		}
	}
}

func TestReadCSV_DoubtsTotalsThatOnlyRise(t *testing.T) {
	t.Parallel()
	table := func(total func(i int) int) string {
		text := "time,side,bad,total\n"
		for i := range 12 {
			text += fmt.Sprintf("%d,green,1,%d\n%d,blue,1,100\n", 60*i, total(i), 60*i)
		}
		return text
	}
	want := []string{`the total of metric "errors" rises in all of 12 rows. If it is a counter that goes on, the verdict is wrong: a row has the events of its step alone`}
	if got := parseCSV(t, table(func(i int) int { return 100 * (i + 1) })).Notes; !slices.Equal(got, want) {
		t.Errorf("of a counter: %q", got)
	}
	if got := parseCSV(t, table(func(i int) int { return 100 + i%11 })).Notes; len(got) > 0 {
		t.Errorf("of events: %q", got)
	}
}

// TestReadCSV_NamesThePlaceOfWhatIsWrong has what people get wrong.
func TestReadCSV_NamesThePlaceOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	const head = "time,side,bad,total\n"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "web.csv: it is empty; the first line names the columns"},
		{"no samples", head, "web.csv has no samples"},
		{"unknown column", "time,side,errors\n", `web.csv:1: column "errors" is unknown, known are bad, metric, node, pool, side, time, total, value and le=NUMBER, or a column of values for each side: green and blue`},
		{"column twice", "time,side,pool,value\n", `web.csv:1: column "pool" is there twice`},
		{"edge twice", "time,side,le=1,le=1.0,total\n", `web.csv:1: column le=1 is there twice`},
		{"bad edge", "time,side,le=x\n", `web.csv:1: column "le=x": "x" is not the edge of a bucket, such as le=0.5 or le=+Inf`},
		{"no time", "side,value\n", "web.csv:1: there is no column time"},
		{"no side", "time,value\n", "web.csv:1: there is no column side (or pool), which tells experiment and control apart, nor a column of values for each: green and blue"},
		{"no numbers", "time,side\n", "web.csv:1: there is nothing to judge: no columns bad and total, no le=…, no value"},
		{"no total", "time,side,bad\n", "web.csv:1: there is a column bad but no total; bad events mean nothing without the number of all"},
		{"no last bucket", "time,side,le=1\n", "web.csv:1: there are buckets, but neither le=+Inf nor total, which count all events"},
		{"only the last bucket", "time,side,le=+Inf\n", "web.csv:1: le=+Inf is the only bucket, so that there is no edge to judge"},
		{"not a time", head + "noon,green,1,2\n", `web.csv:2: "noon" is not a time, want one such as 2026-11-20T10:00:00Z, or seconds or milliseconds since 1970`},
		{"unknown side", head + "0,purple,1,2\n", `web.csv:2: the side is "purple", want experiment (or green) or control (or blue); --experiment and --control name the pools`},
		{"not a number", head + "0,green,1,2\n0,blue,one,2\n", `web.csv:3: bad: "one" is not a number; want one like 1234.5, without units or separators, or an empty cell for a gap`},
		{"negative", head + "0,green,-1,2\n", "web.csv:2: bad: -1 is not a count"},
		{"infinite", head + "0,green,1,Inf\n", "web.csv:2: total: +Inf is not a count"},
		{"more bad than all", head + "0,green,3,2\n", "web.csv:2: bad is 3, more than the total of 2"},
		{"too few cells", head + "0,green,3\n", "web.csv:2: it has 3 cells, and the header names 4 columns"},
		{"open quote", head + "0,\"green,3,4\n", `web.csv:2: extraneous or missing " in quoted-field`},
		{"time goes back", head + "60,green,1,2\n\n0,green,1,2\n", "web.csv:4: time goes back, from 1970-01-01T00:01:00Z to 1970-01-01T00:00:00Z; sort the file by time"},
		{"UTF-16", "\xff\xfet\x00i\x00", "web.csv:1: the first line is no text in UTF-8; save the file as CSV in UTF-8"},
		{"wide and long", "time,side,green\n", `web.csv:1: the column "green" has the values of one side, beside which only time, metric and node may stand`},
		{"a side twice", "time,green,experiment\n", `web.csv:1: there is a second column of the same side, "experiment"`},
		{"a unit", "time,green,blue\n0,1,2 ms\n", `web.csv:2: blue: "2 ms" is not a number; want one like 1234.5, without units or separators, or an empty cell for a gap`},
		{"no name of a metric", "time,side,metric,value\n0,green,http.errors,1\n", `web.csv:2: metric "http.errors": want a name as an analysis has it, of a-z, 0-9 and inner "-", at most 63 characters; rename it`},
		{"two kinds", "time,side,bad,total,value\n0,green,1,2,\n60,green,,,5\n", `web.csv:3: metric "errors" has values here and counts before`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := readCSV(c.text)
			wantError(t, err, c.want)
		})
	}
}

func TestReadCSV_RefusesASecondRowOfTheSameThing(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"time,side,node,bad,total\n0,blue,a,1,2\n0,green,a,1,2\n0,green,a,1,2\n": `web.csv:4: a second row of metric "errors" for this time, side and node`,
		"time,side,node,value\n0,green,a,1\n0,green,b,2\n":                       `web.csv:3: a second value of metric "errors" for this time and side; it has one for all nodes`,
	} {
		r := parseCSV(t, text)
		m := counts("errors")
		if r.Metrics[0].Kind == replay.Values {
			m = spec.Metric{Name: "errors", Query: "value"}
		}
		all, err := r.Replay([]spec.Metric{m})
		if err != nil {
			t.Fatal(err)
		}
		var last error
		for _, last = range all {
		}
		wantError(t, last, want)
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add("time,side,node,bad,total\n0,green,a,1,2\n60,blue,b,0,4\n")
	f.Add("time,pool,le=0.1,le=+Inf\n0,green,1,2\n3600,blue,1,\n")
	f.Add("time,side,metric,value\n2026-11-20T14:00:00Z,control,cpu,NaN\n")
	f.Add("time;green;blue\n2026-11-20 14:00:00;1;\n")
	f.Add("time,side,value\n\"0\",green,\"1")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := readCSV(text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "web.csv") {
				t.Errorf("the error doesn't name the file: %v", err)
			}
			return
		}
		var metrics []spec.Metric
		for _, m := range r.Metrics {
			metric := spec.Metric{Name: m.Name, Judge: spec.JudgeThreshold}
			switch m.Kind {
			case replay.Counts:
				metric.Total = "total"
			case replay.Buckets:
				metric.Buckets = "buckets"
			case replay.Values, replay.Named:
				metric.Query = "value"
			}
			metrics = append(metrics, metric)
		}
		all, err := r.Replay(metrics)
		if err != nil {
			t.Fatal(err)
		}
		var before time.Time
		n := 0
		for look, err := range all {
			if err != nil {
				return
			}
			if !before.IsZero() && !look.At.After(before) {
				t.Fatalf("a look at %s after one at %s", look.At, before)
			}
			before = look.At
			for name, s := range look.Samples {
				for _, side := range []judge.Reading{s.Experiment, s.Control} {
					for node, c := range side.Nodes {
						for _, bad := range c.Bad {
							if !(bad >= 0 && bad <= c.Total) {
								t.Fatalf("%s of node %q: %v bad of %v", name, node, bad, c.Total)
							}
						}
					}
				}
			}
			if n++; n > 2000 {
				return
			}
		}
	})
}
