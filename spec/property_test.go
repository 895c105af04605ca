package spec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"switchd/spec"
)

// setting is one attribute of a service, with the blocks around it.
type setting struct {
	blocks []string
	name   string
	values []string // in HCL, each another value
}

func (s setting) write(value string) string {
	var b strings.Builder
	b.WriteString("service \"web\" {\n")
	for _, block := range s.blocks {
		b.WriteString(block + " {\n")
	}
	fmt.Fprintf(&b, "%s = %s\n", s.name, value)
	b.WriteString(strings.Repeat("}\n", len(s.blocks)+1))
	return b.String()
}

// settings may be made of the service of testdata/base in any combination.
func settings() []setting {
	return []setting{
		{nil, "weights", []string{"[5, 25, 100]", "[10]", "[]"}},
		{nil, "bake", []string{`"1h"`, `"90s"`}},
		{nil, "after_bake", []string{`"keep"`, `"upgrade"`}},
		{[]string{`runtime "process"`}, "env", []string{`{ NODE = "${node}" }`, `{ A = 1, B = true }`, "{}"}},
		{[]string{`runtime "process"`}, "stop_signal", []string{`"SIGINT"`, `"SIGHUP"`}},
		{[]string{`runtime "process"`}, "stop_grace", []string{`"1s"`, `"2s"`}},
		{[]string{"health"}, "path", []string{`"/a"`, `"/b?c=<d>"`}},
		{[]string{"health"}, "timeout", []string{`"1s"`, `"1500ms"`}},
		{[]string{"roll"}, "quorum", []string{"1", "2"}},
		{[]string{"roll"}, "min_healthy_time", []string{`"1s"`, `"2s"`}},
		{[]string{`smoke "b"`}, "path", []string{`"/b"`, `"/${pool}"`}},
		{[]string{`smoke "b"`}, "retries", []string{"0", "7"}},
		{[]string{`smoke "a"`}, "want_header", []string{`{ Content-Type = "json" }`, `{ A = "b|c", D = "e" }`}},
		{[]string{`smoke "a"`}, "max_latency", []string{`"1s"`, `"2s"`}},
		{[]string{"warmup"}, "rate", []string{"10", "20"}},
		{[]string{"warmup"}, "tolerance", []string{"0.1", "1"}},
		{[]string{"analysis", `metric "z"`}, "query", []string{`"up"`, `"up{pool=\"${pool}\"}"`}},
		{[]string{"analysis", `metric "z"`}, "max", []string{"0", "0.01"}},
		{[]string{"analysis", `metric "z"`}, "missing", []string{`"fail"`, `"unknown"`}},
		{[]string{"analysis", `metric "z"`}, "error_limit", []string{"0", "4"}},
		{[]string{"analysis", `metric "y"`}, "query", []string{`"up"`, `"down"`}},
		{[]string{"analysis", `metric "y"`}, "min", []string{"-1", "1"}},
		{[]string{`switch "dns"`}, "name", []string{`"shop"`, `"store"`}},
		{[]string{`switch "resolver"`}, "service", []string{`"shop"`, `"store"`}},
		{[]string{`switch "resolver"`}, "protocol", []string{`"http"`, `"grpc"`}},
		{[]string{"drain"}, "below", []string{"0", "2.5"}},
		{nil, "forbidden_versions", []string{`["1.*", "0.9"]`, `["2.0"]`}},
		{[]string{`approval "p"`}, "at", []string{`["switched", "roll"]`, `["switch"]`}},
		{[]string{`approval "p"`}, "min_approvers", []string{"2", "3"}},
		{[]string{`approval "p"`}, "expires", []string{`"1h"`, `"2h"`}},
		{[]string{`approval "p"`}, "then", []string{`"halt"`, `"rollback"`}},
		{[]string{`wait "q"`}, "key", []string{`"a/${version}"`, `"b"`}},
		{[]string{`window "r"`}, "days", []string{`["tue", "mon"]`, `["sun"]`}},
		{[]string{`window "s"`}, "hours", []string{`"09:00-17:00"`, `"22:00-04:00"`, `"00:00-24:00"`}},
		{[]string{"notify"}, "to", []string{`["web-team"]`, `["web-team", "ops"]`}},
		{[]string{"notify"}, "events", []string{`["done", "begun"]`, `["halted"]`}},
		{[]string{`deadline "approval"`}, "after", []string{`"2h"`, `"3h"`}},
		{[]string{`deadline "canary"`}, "after", []string{`"2h"`, `"3h"`}},
		{[]string{`deadline "canary"`}, "then", []string{`"halt"`, `"rollback"`}},
		{[]string{`deadline "draining"`}, "then", []string{`"continue"`, `"halt"`}},
	}
}

// draw picks settings with their values. What only makes sense together is
// picked together.
func draw(t *rapid.T) (picked []setting, values []string) {
	metrics := rapid.Bool().Draw(t, "metrics")
	for i, s := range settings() {
		metric := len(s.blocks) > 1
		if (metric && metrics) || (!metric && rapid.Bool().Draw(t, fmt.Sprintf("pick %d", i))) {
			picked = append(picked, s)
			values = append(values, rapid.SampledFrom(s.values).Draw(t, fmt.Sprintf("value %d", i)))
		}
	}
	return picked, values
}

func TestCompile_GivesTheSameForAnyFilesAndOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		picked, values := draw(rt)
		together, apart := base(t), base(t)
		var whole strings.Builder
		parts := make([]strings.Builder, rapid.IntRange(1, 5).Draw(rt, "files"))
		pieces := make([]string, len(picked))
		for i, s := range picked {
			pieces[i] = s.write(values[i])
			whole.WriteString(pieces[i])
		}
		// Some are said twice.
		pieces = append(pieces, rapid.SliceOfN(rapid.SampledFrom(append(pieces, "")), 0, 3).Draw(rt, "again")...)
		for i, piece := range rapid.Permutation(pieces).Draw(rt, "order") {
			part := rapid.IntRange(0, len(parts)-1).Draw(rt, fmt.Sprintf("file of %d", i))
			parts[part].WriteString(piece)
		}
		together["more.hcl"] = &fstest.MapFile{Data: []byte(whole.String())}
		for i := range parts {
			apart[fmt.Sprintf("%c%d.hcl", "az"[i%2], i)] = &fstest.MapFile{Data: []byte(parts[i].String())}
		}

		want, got := compile(t, together, "prod"), compile(t, apart, "prod")
		if changes := spec.Diff(want, got); len(changes) > 0 {
			rt.Errorf("differs:\n%s", lines(changes))
		}
		for i := range got.Services {
			got.Services[i].Origins, want.Services[i].Origins = nil, nil
		}
		if !reflect.DeepEqual(got, want) {
			rt.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestCompile_ShowsBothPlacesOfAnyConflict(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.SampledFrom(settings()).Draw(rt, "setting")
		two := rapid.Permutation(s.values).Draw(rt, "values")[:2]
		files := base(t)
		files["one.hcl"] = &fstest.MapFile{Data: []byte("owner = \"alpha\"\n" + s.write(two[0]))}
		files["two.hcl"] = &fstest.MapFile{Data: []byte("owner = \"beta\"\n" + s.write(two[1]))}
		got := explain(t, files, "prod")
		line := len(s.blocks) + 3
		for _, want := range []string{
			"Conflicting values for ",
			fmt.Sprintf("on two.hcl line %d", line),
			fmt.Sprintf("at one.hcl:%d (owner alpha)", line),
			"here (owner beta)",
		} {
			if !strings.Contains(got, want) {
				rt.Errorf("got:\n%s\nwant it to say %q", got, want)
			}
		}
	})
}

func TestDesired_SurvivesJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		picked, values := draw(rt)
		files := base(t)
		var b strings.Builder
		for i, s := range picked {
			b.WriteString(s.write(values[i]))
		}
		files["more.hcl"] = &fstest.MapFile{Data: []byte(b.String())}
		want := compile(t, files, "prod")

		var got spec.Desired
		roundTrip(rt, want, &got)
		if !reflect.DeepEqual(&got, want) {
			rt.Errorf("got  %+v\nwant %+v", &got, want)
		}
	})
}

// What no input compiles to, but others may build, keeps its JSON at least.
func TestService_KeepsItsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.Make[spec.Service]().Draw(rt, "service")
		var got spec.Service
		roundTrip(rt, want, &got)
		if before, after := text(rt, want), text(rt, got); !bytes.Equal(before, after) {
			rt.Errorf("got  %s\nwant %s", after, before)
		}
	})
}

func TestEnvironment_KeepsItsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		want := rapid.Make[spec.Environment]().Draw(rt, "environment")
		var got spec.Environment
		roundTrip(rt, want, &got)
		if before, after := text(rt, want), text(rt, got); !bytes.Equal(before, after) {
			rt.Errorf("got  %s\nwant %s", after, before)
		}
	})
}

func TestDiff_TellsExactlyWhatDiffers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		alone := slices.DeleteFunc(settings(), func(s setting) bool { return len(s.blocks) > 1 }) // a metric needs more
		s := rapid.SampledFrom(alone).Draw(rt, "setting")
		two := rapid.Permutation(s.values).Draw(rt, "values")[:2]
		old, next := base(t), base(t)
		old["more.hcl"] = &fstest.MapFile{Data: []byte(s.write(two[0]))}
		next["more.hcl"] = &fstest.MapFile{Data: []byte(s.write(two[1]))}
		before, after := compile(t, old, "prod"), compile(t, next, "prod")

		changes := spec.Diff(before, after)
		if len(changes) != 1 || !strings.HasSuffix(changes[0].Path, "."+s.name) {
			rt.Fatalf("got %v, want one change of %s", changes, s.name)
		}
		back := spec.Diff(after, before)
		if len(back) != 1 || back[0].Path != changes[0].Path || back[0].Old != changes[0].New || back[0].New != changes[0].Old {
			rt.Errorf("there %v, back %v", changes, back)
		}
		if same := spec.Diff(after, after); len(same) != 0 {
			rt.Errorf("of a state and itself: got %v", same)
		}
	})
}

func roundTrip(t *rapid.T, from, to any) {
	t.Helper()
	if err := json.Unmarshal(text(t, from), to); err != nil {
		t.Fatal(err)
	}
}

func text(t *rapid.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
