package mannwhitney_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"switchd/judge/mannwhitney"
)

func read(t *testing.T, text string) []mannwhitney.Case {
	t.Helper()
	cases, err := mannwhitney.ReadCases(strings.NewReader(text), "cases.json")
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestReadCases_HasKayentasDefaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`,
		`{"direction": null, "tolerance": null, "effectSize": null, "control": null}`,
		`{"nan": "none", "outliers": "none", "effectSize": {"measure": null}}`,
	} {
		got := read(t, text)[0]
		if got.Fault != nil || got.Config != mannwhitney.DefaultConfig() || got.Name != "case 1" || got.Control != nil {
			t.Errorf("%s: got %+v", text, got)
		}
	}
	if got := read(t, `{"effectSize": {"measure": "cles", "allowedIncrease": 0.8}}`)[0].Config.Effect; got != (mannwhitney.Effect{
		Measure: mannwhitney.CLES, AllowedDecrease: 0.5, AllowedIncrease: 0.8, CriticalDecrease: 0.5, CriticalIncrease: 0.5,
	}) {
		t.Errorf("got %+v", got)
	}
}

func TestReadCases_TakesEveryField(t *testing.T) {
	t.Parallel()
	want := mannwhitney.Config{
		Direction: mannwhitney.Decrease, NaN: mannwhitney.ReplaceNaN, Outliers: mannwhitney.RemoveOutliers, OutlierFactor: 1.5,
		Critical: true, MustHaveData: true, Tolerance: 0.1, Confidence: 0.9,
		Effect: mannwhitney.Effect{Measure: mannwhitney.CLES, AllowedDecrease: 0.1, AllowedIncrease: 0.2, CriticalDecrease: 0.3, CriticalIncrease: math.Inf(1)},
	}
	const rest = `"name": "p99", "kind": "mann-whitney", "direction": "decrease", "nan": "replace", "critical": true, "mustHaveData": true, "muted": true, "groups": ["latency"],
		"tolerance": 0.1, "confidence": 0.9, "expected": "Low", "expectedCritical": true,
		"effectSize": {"measure": "cles", "allowedDecrease": 0.1, "allowedIncrease": 0.2, "criticalDecrease": 0.3, "criticalIncrease": Infinity}`
	for _, outliers := range []string{
		`"outliers": "remove", "outlierFactor": 1.5`,
		`"outliers": {"strategy": "remove", "outlierFactor": 1.5}`,
	} {
		got := read(t, "{"+outliers+","+rest+"}")[0]
		if got.Fault != nil || got.Config != want || got.Name != "p99" || !got.Muted || !slices.Equal(got.Groups, []string{"latency"}) || len(got.Unknown) > 0 {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

func TestReadCases_TakesNumbersThatJSONHasNot(t *testing.T) {
	t.Parallel()
	got := read(t, `{"name": "NaN \" NaN", "control": [null, NaN, "NaN", Infinity, -Infinity, "+Inf", "-Inf", "1.5", -2e3]}`)[0]
	want := []float64{nan, nan, nan, inf, -inf, inf, -inf, 1.5, -2000}
	same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	if got.Fault != nil || !slices.EqualFunc(got.Control, want, same) || got.Name != `NaN " NaN` {
		t.Errorf("got %q %v, fault %v, want %v", got.Name, got.Control, got.Fault, want)
	}
}

func TestReadCases_TellsWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                               "cases.json:1: not JSON: unexpected end of JSON input",
		"[\n{\"name\": \"a\"},\n{]":      "cases.json:3: not JSON: invalid character ']' looking for beginning of object key string",
		"{\n\"control\": [1, NaN2]\n}":   "cases.json:2: not JSON: invalid character '2' after array element",
		`{} {}`:                          "cases.json:1: not JSON: invalid character '{' after top-level value",
		"{\n\"control\": [Infinity, nan": "cases.json:2: not JSON: invalid character 'a' in literal null (expecting 'u')",
	} {
		if _, err := mannwhitney.ReadCases(strings.NewReader(text), "cases.json"); err == nil || err.Error() != want {
			t.Errorf("%q: got %v\nwant %s", text, err, want)
		}
	}
	for text, want := range map[string]string{
		`3`:                                  "cases.json:1: 3 is not a case, want an object",
		`null`:                               "cases.json:1: null is not a case, want an object",
		`{"kind": "mean-ratio"}`:             `cases.json:1: kind is "mean-ratio", want "mann-whitney"`,
		`{"name": 3}`:                        "cases.json:1: name is 3, want a string",
		`{"critical": "yes"}`:                `cases.json:1: critical is "yes", want true or false`,
		`{"tolerance": [1]}`:                 "cases.json:1: tolerance is [1], want a number",
		`{"groups": "latency"}`:              `cases.json:1: groups is "latency", want an array of strings`,
		`{"direction": "up"}`:                `cases.json:1: direction is "up", want one of increase, decrease, either`,
		`{"effectSize": []}`:                 "cases.json:1: effectSize is [], want an object",
		`{"effectSize": {"measure": 1}}`:     "cases.json:1: effectSize.measure is 1, want a string",
		`{"outliers": {"strategy": "drop"}}`: `cases.json:1: outliers is "drop", want one of keep, remove`,
		`{"control": {"0": 1}}`:              `cases.json:1: control is {"0": 1}, want an array of numbers`,
		`{"experiment": [1, "ten"]}`:         `cases.json:1: experiment[1]: "ten" is not a number, null, NaN or Infinity`,
		`{"experiment": [1e999]}`:            "cases.json:1: experiment[0]: 1e999 is beyond what a float64 holds",
		`{"control": [` + strings.Repeat("1,", mannwhitney.MaxValues) + `1]}`: "cases.json:1: control has 100001 values, at most 100000 can be judged",
	} {
		c := read(t, text)[0]
		if c.Fault == nil || c.Fault.Error() != want {
			t.Errorf("%.60s: got %v\nwant %s", text, c.Fault, want)
		}
		if v := c.Judge(); v.Classification != mannwhitney.Error || v.Reason != want {
			t.Errorf("%.60s: it is judged as %s, %s", text, v.Classification, v.Reason)
		}
	}
}

func TestReadCases_TakesAnyFileName(t *testing.T) {
	t.Parallel()
	cases, err := mannwhitney.ReadCases(strings.NewReader(`{"nan": 1}`), "100%d.json")
	if want := "100%d.json:1: nan is 1, want a string"; err != nil || cases[0].Fault.Error() != want {
		t.Errorf("got %v, %v, want %s", cases, err, want)
	}
}

// TestReadCases_LetsOneFaultBeOne also checks the lines of cases.
func TestReadCases_LetsOneFaultBeOne(t *testing.T) {
	t.Parallel()
	cases := read(t, "[\n  {\"control\": [NaN,\n 1], \"experiment\": [1]},\n\n  {\"nan\": 1}, {\"tolerances\": 1, \"effectSize\": {\"size\": 2}}\n]")
	if len(cases) != 3 || cases[0].Fault != nil || cases[2].Fault != nil {
		t.Fatalf("got %+v", cases)
	}
	if want := "cases.json:5: nan is 1, want a string"; cases[1].Fault == nil || cases[1].Fault.Error() != want || cases[0].Place != "cases.json:2" {
		t.Errorf("got %v at %s, want %s", cases[1].Fault, cases[0].Place, want)
	}
	if want := []string{"effectSize.size", "tolerances"}; !slices.Equal(cases[2].Unknown, want) {
		t.Errorf("unknown fields are %q, want %q", cases[2].Unknown, want)
	}
	if cases[2].Name != "case 3" {
		t.Errorf("the name is %q", cases[2].Name)
	}
}

func TestReadCases_RefusesMoreThanItsBound(t *testing.T) {
	t.Parallel()
	if _, err := mannwhitney.ReadCases(zeros{}, "cases.json"); err == nil || !strings.Contains(err.Error(), "more than 64 MiB") {
		t.Errorf("got %v", err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func FuzzReadCases(f *testing.F) {
	for _, seed := range []string{
		`[{"name": "a", "control": [1, 2, 3], "experiment": [4, NaN, null, "5"], "effectSize": {"measure": "cles"}}]`,
		`{"control": [1, 1], "experiment": [2, 2], "critical": true, "outliers": "remove", "outlierFactor": 0.5}`,
		`{"control": [Infinity], "experiment": [-Infinity, 1e308], "nan": "replace"}`,
		`{"control": ["\"NaN"], "effectSize": {"measure": "\\`, `[null, 1, "x"`, `-Infinity`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cases, err := mannwhitney.ReadCases(strings.NewReader(text), "cases.json")
		if err != nil {
			if cases != nil || !strings.HasPrefix(err.Error(), "cases.json:") {
				t.Errorf("got %d cases and %v", len(cases), err)
			}
			return
		}
		for _, c := range cases {
			result := c.Judge()
			if (c.Fault != nil) && result.Classification != mannwhitney.Error {
				t.Errorf("with the fault %v it is %s", c.Fault, result.Classification)
			}
			if out, err := json.Marshal(result); err != nil || !json.Valid(out) {
				t.Errorf("print %+v: %s, %v", result, out, err)
			}
		}
	})
}
