package replay_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/judge"
	"switchd/judge/replay"
	"switchd/spec"
)

func TestReadSamples_GivesBackWhatWasWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.Custom(func(t *rapid.T) judge.Reading {
			if rapid.IntRange(0, 9).Draw(t, "missing") == 0 {
				return judge.Reading{Missing: "no data"}
			}
			nodes := make(map[string]judge.Counts)
			for i := range rapid.IntRange(1, 3).Draw(t, "nodes") {
				total := rapid.IntRange(0, 1000).Draw(t, "total")
				nodes[fmt.Sprint("n", i)] = judge.Counts{Total: float64(total), Bad: []float64{float64(rapid.IntRange(0, total).Draw(t, "bad"))}}
			}
			return judge.Reading{Nodes: nodes}
		})
		var series []judge.Sample
		at := began()
		for range rapid.IntRange(2, 20).Draw(t, "looks") {
			at = at.Add(time.Minute)
			series = append(series, judge.Sample{At: at, Experiment: events.Draw(t, "experiment"), Control: events.Draw(t, "control")})
		}
		data, err := json.Marshal(map[string][]judge.Sample{"errors": series})
		if err != nil {
			t.Fatal(err)
		}
		if series[0].Experiment.Missing == "" && !replay.AreSamples(data) {
			t.Fatalf("%s are no samples", data)
		}
		r, err := replay.ReadSamples(data, "web.json")
		if strings.Count(string(data), `"nodes"`) == 0 {
			if err == nil {
				t.Fatal("gaps alone were taken for samples")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		all, err := r.Replay([]spec.Metric{counts("errors")})
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for look, err := range all {
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(look.Samples["errors"], series[i]) {
				t.Fatalf("look %d is %+v, want %+v", i, look.Samples["errors"], series[i])
			}
			i++
		}
		if i != len(series) {
			t.Fatalf("%d looks of %d", i, len(series))
		}
	})
}

func TestReadSamples_NamesThePlaceOfWhatIsWrong(t *testing.T) {
	t.Parallel()
	const one = `{"at": "2026-11-20T14:00:00Z", "experiment": {"nodes": {"a": {"total": 2, "bad": [1]}}}}`
	for _, c := range []struct{ name, text, want string }{
		{"not an object", "[]", "web.json:1: want an object with an array of samples for each metric, got ["},
		{"not an array", "{\"errors\":\n 5}", `web.json:2: want an array of samples for metric "errors", got 5`},
		{"not JSON", "{\"errors\": [\n{\"at\": 7x}]}", `web.json:2: not JSON: metric "errors", sample 1: invalid character 'x' after object key:value pair`},
		{"cut off", "{\"errors\": [\n" + one, `web.json:2: not JSON: it ends too early`},
		{"unknown field", "{\"errors\": [\n{\"when\": 5}]}", `web.json:2: metric "errors", sample 1: want a sample, an object of at, experiment and control, which have nodes (with total and bad), value, named or missing: json: unknown field "when"`},
		{"no time", "{\"errors\": [{}]}", `web.json:1: metric "errors", sample 1: it has no time (at)`},
		{"time goes back", "{\"errors\": [\n" + one + ",\n" + one + "]}", `web.json:3: metric "errors", sample 2: its time is not after that of the one before it, 2026-11-20T14:00:00Z`},
		{"more bad than all", strings.Replace("{\"errors\": ["+one+"]}", "[1]", "[3]", 1), `web.json:1: metric "errors", sample 1: experiment: node "a": 3 bad ones of 2`},
		{"no bad", strings.Replace("{\"errors\": ["+one+"]}", "[1]", "[]", 1), `web.json:1: metric "errors", sample 1: experiment: node "a": want a total from 0 on, and from 1 to 64 numbers of bad ones`},
		{"twice", "{\"errors\": [], \"errors\": []}", `web.json:1: metric "errors" is there twice, or has no name`},
		{"nothing", "{}", "web.json has no samples"},
		{"more", "{\"errors\": [" + one + "]} {}", "web.json:1: there is more after the object's end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := replay.ReadSamples([]byte(c.text), "web.json")
			wantError(t, err, c.want)
		})
	}
}

func TestReadSamples_WantsAsManyNumbersAsEdges(t *testing.T) {
	t.Parallel()
	r, err := replay.ReadSamples([]byte(`{"latency": [{"at": "2026-11-20T14:00:00Z", "experiment": {"nodes": {"a": {"total": 5, "bad": [3, 1]}}}}]}`), "web.json")
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.Replay([]spec.Metric{{Name: "latency", Buckets: "b", Edges: []float64{0.1, 0.2, 0.3}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, err = range all {
	}
	wantError(t, err, `web.json: metric "latency" has 2 numbers of bad ones, and 3 edges in the configuration`)
}

func TestAreSamples_TellsThemFromCases(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"errors": [{"at": 1}], "cpu": []}`:        true,
		`{"control": [{"at": 1}]}`:                  true,
		`{"control": [1], "experiment": [2]}`:       false,
		`{"control": [NaN], "experiment": [2]}`:     false,
		`{"control": [], "experiment": []}`:         false,
		`[{"control": [1], "experiment": [2]}]`:     false,
		`{"name": "a", "control": [{"at": "now"}]}`: false,
		`{`: false,
		``:  false,
	} {
		if got := replay.AreSamples([]byte(text)); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func FuzzReadSamples(f *testing.F) {
	f.Add(`{"errors": [{"at": "2026-11-20T14:00:00Z", "experiment": {"nodes": {"a": {"total": 2, "bad": [1]}}}}]}`)
	f.Add(`{"cpu": [{"at": "2026-11-20T14:00:00Z", "experiment": {"value": 2}, "control": {"missing": "x"}}]}`)
	f.Add(`{"m": [{"at": "2026-11-20T14:00:00Z", "experiment": {"named": {"a": 1, "traffic": 3}}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := replay.ReadSamples([]byte(text), "web.json")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "web.json") {
				t.Errorf("the error doesn't name the file: %v", err)
			}
			return
		}
		if len(r.Metrics) == 0 || r.Step <= 0 {
			t.Errorf("the outline is %+v", r)
		}
	})
}
