package sequential_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"switchd/judge/sequential"
)

// primitive returns the result as JSON.
func primitive(t testing.TB, name, args string) string {
	t.Helper()
	result, err := sequential.Primitive(name, json.RawMessage(args))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestPrimitive_AnswersInJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, args, want string }{
		{
			"counts", `{"null": 2, "grid": [4], "looks": [{"experiment": {"bad": 2, "total": 100}, "control": {"bad": 0, "total": 100}}]}`,
			`{"e":1.44,"logE":0.36464311358790918,"maxLogE":0.36464311358790918,"p":0.6944444444444445,"alarm":false,"alarmAt":0,"path":[0.36464311358790918]}`,
		},
		{"bernoulli", `{"successes": 0, "trials": 0}`, `{"estimate":null,"interval":{"lower":0,"upper":1},"logE":null}`},
		{"cdf", `{"t": 99, "tMin": 100}`, `{"halfWidth":null,"constant":8.304770557296452}`},
		{
			"mean", `{"values": [1, 1], "null": 0}`,
			`{"count":2,"mean":1,"stdDev":0,"rho":0.28171181376963167,"halfWidth":null,"interval":{"lower":null,"upper":null},"ready":false,"logE":-0.073659308,"logEAbove":-0.073659308}`,
		},
		{"ratio", `{"looks": []}`, `{"estimate":null,"interval":{"lower":0,"upper":null},"logEAbove":null,"logEBelow":null}`},
	} {
		sameJSON(t, primitive(t, c.name, c.args), c.want)
	}
}

// sameJSON compares objects, numbers within 1e-5.
func sameJSON(t *testing.T, got, want string) {
	t.Helper()
	var g, w map[string]any
	for _, err := range []error{json.Unmarshal([]byte(got), &g), json.Unmarshal([]byte(want), &w)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !alike(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func alike(got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok || len(g) != len(want) {
			return false
		}
		for k, v := range want {
			if value, there := g[k]; !there || !alike(value, v) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(want) {
			return false
		}
		for i, v := range want {
			if !alike(g[i], v) {
				return false
			}
		}
		return true
	case float64:
		g, ok := got.(float64)
		return ok && math.Abs(g-want) < 1e-5
	default:
		return got == want
	}
}

func TestPrimitive_AlarmsAtTheFirstLookThatReachesTheThreshold(t *testing.T) {
	t.Parallel()
	const bad = `{"experiment": {"bad": 20, "total": 1000}, "control": {"bad": 5, "total": 1000}}`
	const good = `{"experiment": {"bad": 5, "total": 1000}, "control": {"bad": 20, "total": 1000}}`
	var got sequential.CountsResult
	if err := json.Unmarshal([]byte(primitive(t, "counts", `{"looks": [`+strings.Join([]string{good, bad, bad, bad, good, good}, ",")+`]}`)), &got); err != nil {
		t.Fatal(err)
	}
	first := 0
	for i, logE := range got.Path {
		if first == 0 && logE >= math.Log(20) {
			first = i + 1
		}
	}
	if !got.Alarm || got.AlarmAt != first || first == 0 {
		t.Errorf("got an alarm at %d, want it at %d: %+v", got.AlarmAt, first, got)
	}
	if got.LogE >= got.MaxLogE || math.Abs(got.P*math.Exp(got.MaxLogE)-1) > 1e-12 {
		t.Errorf("the p-value must keep the most there was: %+v", got)
	}
}

func TestPrimitive_NamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	const looks = `"looks": [{"experiment": {"bad": 1, "total": 10}, "control": {"bad": 1, "total": 10}}]`
	for _, c := range []struct{ name, args, want string }{
		{"sum", `{}`, `primitive "sum" is unknown, known are counts, bernoulli, cdf, mean, ratio`},
		{"cdf", `[]`, `want a JSON object, got "[]"`},
		{"cdf", ``, `want a JSON object, got ""`},
		{"cdf", `{"t": 5} {}`, `something follows`},
		{"cdf", `{"t": 5, "tmax": 7}`, `unknown field "tmax" (its fields are t, cumulative, alpha, tMin, tight)`},
		{"cdf", `{"t": "5"}`, `t of type float64`},
		{"cdf", `{}`, `either t or cumulative is required`},
		{"cdf", `{"t": 5, "cumulative": [1]}`, `either t or cumulative is required`},
		{"cdf", `{"t": -1}`, `t must be between 0 and 9007199254740992, got -1`},
		{"cdf", `{"t": 5, "tMin": 0}`, `tMin must be`},
		{"cdf", `{"t": 5, "alpha": 1}`, `alpha must be between 0 and 1, both excluded, got 1`},
		{"cdf", `{"cumulative": [3, 2]}`, `cumulative must not fall, got 2 after 3 at [1]`},
		{"cdf", `{"cumulative": [-3]}`, `cumulative[0] must be`},
		{"bernoulli", `{"trials": 5}`, `successes is required`},
		{"bernoulli", `{"successes": 5}`, `trials is required`},
		{"bernoulli", `{"successes": 6, "trials": 5}`, `successes must not be above trials, got 6 of 5`},
		{"bernoulli", `{"successes": 1, "trials": 1e300}`, `trials must be between 0 and`},
		{"bernoulli", `{"successes": 1, "trials": 2, "tOpt": 0}`, `tOpt must be a finite number above 0, got 0`},
		{"bernoulli", `{"successes": 1, "trials": 2, "alphaOpt": 2}`, `alphaOpt must be between 0 and 1`},
		{"bernoulli", `{"successes": 1, "trials": 2, "p": 0}`, `p must be between 0 and 1`},
		{"mean", `{}`, `either values or count, mean and stdDev are required`},
		{"mean", `{"count": 5, "mean": 1}`, `either values or count, mean and stdDev are required`},
		{"mean", `{"count": 5, "mean": 1, "stdDev": 1, "values": [1]}`, `either values or count, mean and stdDev are required`},
		{"mean", `{"count": 5, "mean": 1, "stdDev": -1}`, `stdDev must not be below 0, got -1`},
		{"mean", `{"count": -5, "mean": 1, "stdDev": 1}`, `count must be between`},
		{"mean", `{"values": [1, 1e200]}`, `values[1]: value must be a number of at most 1e+140 in size, got 1e+200`},
		{"mean", `{"values": [], "burnIn": 1}`, `burnIn must be at least 2, got 1`},
		{"mean", `{"values": [], "tOpt": -1}`, `tOpt must be a finite number above 0`},
		{"mean", `{"values": [], "null": 1e200}`, `null must be a number of at most`},
		{"counts", `{}`, `looks is required`},
		{"counts", `{"null": -1, ` + looks + `}`, `null must be a finite number above 0, got -1`},
		{"counts", `{"grid": [], ` + looks + `}`, `grid must have at least one ratio`},
		{"counts", `{"grid": [0.5, 2], ` + looks + `}`, `grid must be all above or all below null 1, got [0.5 2]`},
		{"counts", `{"grid": [-2], ` + looks + `}`, `grid[0] must be a finite number above 0, got -2`},
		{"counts", `{"grid": [2], "weights": [1, 1], ` + looks + `}`, `weights must be as many as the grid's 1 ratios, got 2`},
		{"counts", `{"grid": [2], "weights": [-1], ` + looks + `}`, `weights[0] must be`},
		{"counts", `{"grid": [2], "weights": [0], ` + looks + `}`, `the sum of the weights must be`},
		{"counts", `{"dispersion": 0.5, ` + looks + `}`, `dispersion must be a finite number of at least 1, got 0.5`},
		{"counts", `{"looks": [{"experiment": {"bad": 1, "total": 10}}]}`, `control.bad is required`},
		{"counts", `{"looks": [{"experiment": {"bad": 1, "total": 10}, "other": {}}]}`, `unknown field "other"`},
		{"counts", `{"looks": [null]}`, `look: want a JSON object, got "null"`},
		{"counts", `{"looks": [{"experiment": {"bad": 11, "total": 10}, "control": {"bad": 1, "total": 10}}]}`, `looks[0]: experiment.bad must not be above experiment.total, got 11 of 10`},
		{"ratio", `{"looks": [{"experiment": {"bad": 1, "total": 10}, "control": {"bad": -1, "total": 10}}]}`, `looks[0]: control.bad must be between 0 and`},
		{"ratio", `{"null": 0, "looks": []}`, `null must be a finite number above 0, got 0`},
		{"ratio", `{"alpha": 0, "looks": []}`, `alpha must be between 0 and 1`},
	} {
		_, err := sequential.Primitive(c.name, json.RawMessage(c.args))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: got error %v, want one with %q", c.name, c.args, err, c.want)
		}
	}
}

func FuzzPrimitive(f *testing.F) {
	f.Add("counts", `{"null": 1.1, "looks": [{"experiment": {"bad": 3, "total": 1000}, "control": {"bad": 1, "total": 9e15}}]}`)
	f.Add("counts", `{"grid": [1e-300], "weights": [1e300], "looks": [{"experiment": {"bad": 1, "total": 1}, "control": {"bad": 0, "total": 1}}]}`)
	f.Add("ratio", `{"null": 1e300, "looks": [{"experiment": {"bad": 9e15, "total": 9e15}, "control": {"bad": 0, "total": 1e-300}}]}`)
	f.Add("bernoulli", `{"successes": 9e15, "trials": 9e15, "tOpt": 1e300, "alpha": 1e-300, "p": 1e-300}`)
	f.Add("bernoulli", `{"successes": 1e-300, "trials": 1, "tOpt": 1e-300, "p": 0.9999999999999999}`)
	f.Add("cdf", `{"cumulative": [0, 1, 1, 5], "tMin": 2, "tight": true, "alpha": 1e-300}`)
	f.Add("cdf", `{"t": 1, "tight": true, "alpha": 0.99999}`)
	f.Add("mean", `{"values": [1e140, -1e140, 3], "tOpt": 1e-300, "null": -1e140}`)
	f.Add("mean", `{"count": 9e15, "mean": 1e140, "stdDev": 1e-300, "null": 0}`)
	f.Fuzz(func(t *testing.T, name, args string) {
		result, err := sequential.Primitive(name, json.RawMessage(args))
		if err != nil {
			return
		}
		data, err := json.Marshal(result)
		if err != nil {
			t.Fatalf("%s %s: the result %+v has no JSON: %v", name, args, result, err)
		}
		if strings.Contains(string(data), "NaN") {
			t.Fatalf("%s %s: %s", name, args, data)
		}
	})
}

// One look of the default judge at one metric: the e-process, and the ratio with
// its interval.
func BenchmarkLook(b *testing.B) {
	l := look(12, 3000, 6, 3000)
	b.Run("counts", func(b *testing.B) {
		c := counts(b, 1, nil, nil)
		for b.Loop() {
			if err := c.Observe(l, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	r := sequential.NewRatio()
	b.Run("ratio", func(b *testing.B) {
		for b.Loop() {
			if err := r.Observe(l, 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("interval", func(b *testing.B) {
		for b.Loop() {
			r.Interval(0.05)
		}
	})
}
