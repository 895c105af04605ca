package judge_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/judge"
	"switchd/spec"
)

// formula is a metric of the judge expr over errors and requests.
func formula(expr string) spec.Metric {
	return spec.Metric{Name: "shop", Judge: spec.JudgeExpr, Expr: expr, Queries: map[string]string{"errors": "e", "requests": "r"}}
}

// named is a reading of named values.
func named(errors, requests float64) judge.Reading {
	return judge.Reading{Named: map[string]float64{"errors": errors, "requests": requests}}
}

func TestExpr_HoldsOrNot(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		expr                string
		experiment, control judge.Reading
		outcome             judge.Outcome
		why                 string
	}{
		"holds": {"errors / requests < 0.01", named(5, 1000), judge.Reading{}, judge.NoWorse,
			"shop: 1 of 1 passing looks, last look: errors / requests < 0.01 holds, with errors = 5, requests = 1000"},
		"does not hold": {"errors / requests < 0.01", named(50, 1000), judge.Reading{}, judge.Regressed,
			"shop: errors / requests < 0.01 does not hold, with errors = 50, requests = 1000, after 1 look in 1 min"},
		"against the live one": {"errors <= 2 * live.errors\n  && requests > 10", named(5, 1000), named(2, 1000), judge.Regressed,
			"shop: errors <= 2 * live.errors && requests > 10 does not hold, with errors = 5, requests = 1000, live.errors = 2, after 1 look in 1 min"},
		"a control that nobody asked for": {"errors < 10", named(5, 1000), gap("no data"), judge.NoWorse,
			"shop: 1 of 1 passing looks, last look: errors < 10 holds, with errors = 5"},
		"a control that is missing": {"errors < live.errors", named(5, 1000), gap("timeout"), judge.Undecided,
			"shop: 0 of 1 passing looks, 1 unknown, last look: the live one: timeout"},
		"an outage": {"errors < 10", gap("timeout"), judge.Reading{}, judge.Undecided,
			"shop: 0 of 1 passing looks, 1 unknown, last look: timeout"},
		"a value that is missing": {"errors < 10", judge.Reading{Named: map[string]float64{"requests": 3}}, judge.Reading{}, judge.Undecided,
			"shop: 0 of 1 passing looks, 1 unknown, last look: errors: no data"},
		"a value that is NaN": {"errors < 10", named(nan, 3), judge.Reading{}, judge.Undecided,
			"shop: 0 of 1 passing looks, 1 unknown, last look: errors is NaN"},
		"0/0 is unknown and not false": {"errors / requests < 0.01", named(0, 0), judge.Reading{}, judge.Undecided,
			"shop: 0 of 1 passing looks, 1 unknown, last look: a part of the expression is NaN, as 0/0 is"},
		"1/0 is unknown too": {"!(errors / requests > 0.01)", named(1, 0), judge.Reading{}, judge.Undecided,
			"shop: 0 of 1 passing looks, 1 unknown, last look: a part of the expression is infinite, as a division by zero is"},
		"what is not reached": {"requests == 0 or errors / requests < 0.01", named(0, 0), judge.Reading{}, judge.NoWorse,
			"shop: 1 of 1 passing looks, last look: requests == 0 or errors / requests < 0.01 holds, with errors = 0, requests = 0"},
		"functions": {"max(errors, 1) + abs(-2) == 3 and round(2.4) == 2 and (errors > 3 ? false : true)", named(0, 0), judge.Reading{}, judge.NoWorse,
			"shop: 1 of 1 passing looks, last look: max(errors, 1) + abs(-2) == 3 and round(2.4) == 2 and (errors > 3 ? false : true) holds, with errors = 0"},
		"powers": {"2 ** 3 == 8 && 2 ^ 3 == 8 && 7 / 2 == 3.5 && errors == 1e3", named(1000, 0), judge.Reading{}, judge.NoWorse,
			"shop: 1 of 1 passing looks, last look: 2 ** 3 == 8 && 2 ^ 3 == 8 && 7 / 2 == 3.5 && errors == 1e3 holds, with errors = 1000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := formula(tt.expr)
			j := made(t, m, minutely(1))
			j.Observe(judge.Sample{At: at(0), Experiment: tt.experiment, Control: tt.control})
			wantFinding(t, j.Finding(), tt.outcome, tt.why)
		})
	}
}

func TestCheckExpr_TellsWhatIsWrongAndWhere(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		``:                             "unexpected token EOF, at character 1",
		`errors <`:                     "unexpected token EOF, at character 8",
		`errors`:                       "expected bool, but got float64",
		`error < 1`:                    `there is no query "error"; there are errors and requests, at character 1`,
		`errors < live.error`:          `there is no query "error"; there are errors and requests, at character 15`,
		`errors < live`:                "live is no value; write live.NAME, at character 10",
		`errors.live < 1`:              "only live has values with a name, as in live.NAME, at character 8",
		`errors + true < 1`:            `invalid operation: + (mismatched types float64 and bool), at character 8`,
		`errors and requests`:          `invalid operation: and (mismatched types float64 and float64), at character 8`,
		`len("errors") < 1`:            `"len" can't be used here; functions are abs, ceil, floor, max, min and round, at character 1`,
		`all([errors], # < 1)`:         `"all" can't be used here; functions are abs, ceil, floor, max, min and round, at character 1`,
		`now().Unix() < errors`:        "there is no such function; functions are abs, ceil, floor, max, min and round, at character 7",
		`finite(errors) < 1`:           "there is no such function; functions are abs, ceil, floor, max, min and round, at character 1",
		`"a" == "a"`:                   "only numbers, names and operators can be used here, at character 1",
		`let x = errors; x < 1`:        "only numbers, names and operators can be used here, at character 5",
		`errors in 1..1000000000`:      `"in" can't be used here, at character 8`,
		`errors % 2 == 0`:              `"%" can't be used here, at character 8`,
		`$env == nil`:                  `there is no query "$env"; there are errors and requests, at character 1`,
		strings.Repeat("errors+", 600): "the expression has 4200 bytes, at most 4096 are allowed",
	} {
		err := judge.CheckExpr(formula(expr))
		if err == nil || err.Error() != want {
			t.Errorf("%.40s:\ngot  %v\nwant %s", expr, err, want)
		}
	}
	for name, want := range map[string]string{
		"p99-latency": `query "p99-latency" can't be named in an expression: a name has letters, digits and _, and begins with no digit`,
		"live":        `query "live" can't be named in an expression, where this word has another meaning; take another`,
		"max":         `query "max" can't be named in an expression, where this word has another meaning; take another`,
	} {
		m := formula("true")
		m.Queries[name] = "q"
		if err := judge.CheckExpr(m); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if err := judge.CheckExpr(spec.Metric{Expr: "true"}); err == nil {
		t.Error("an expression of nothing was accepted")
	}
}

// Words that the library may come to reserve must not become names of queries
// that can't be used.
func TestCheckExpr_TakesEveryNameThatItDoesNotRefuse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_]{0,6}`),
			rapid.SampledFrom([]string{"not", "in", "let", "if", "else", "nil", "sum", "now", "len", "count", "all", "any", "date", "env", "get"})).Draw(t, "name")
		m := spec.Metric{Queries: map[string]string{name: "q"}, Expr: name + " < 1 && live." + name + " > 0"}
		if err := judge.CheckExpr(m); err != nil && !strings.Contains(err.Error(), "another meaning") {
			t.Fatalf("query %s: %v", name, err)
		}
	})
}

// An expression agrees with Go's own arithmetic, and says nothing where that
// comes to no number.
func TestExpr_ComputesAsGoDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.Float64Range(-1e3, 1e3), rapid.SampledFrom([]float64{0, 1, 1e308}))
		a, b := v.Draw(t, "errors"), v.Draw(t, "requests")
		j, err := judge.New(formula("errors * 10 / requests - 3 < 0.5"), minutely(1), judge.Background{})
		if err != nil {
			t.Fatal(err)
		}
		want := judge.Undecided
		if x := a * 10; !math.IsInf(x, 0) && !math.IsNaN(x/b) && !math.IsInf(x/b, 0) {
			want = judge.Regressed
			if x/b-3 < 0.5 {
				want = judge.NoWorse
			}
		}
		if f := shown(j, named(a, b)); f.Outcome != want {
			t.Fatalf("%v and %v: got %s (%s), want %s", a, b, f.Outcome, f.Why, want)
		}
	})
}

func FuzzExpr(f *testing.F) {
	for _, seed := range []string{
		"errors / requests < 0.01", "live.errors ** 2 == -errors || !(requests >= 1e3)", "max(errors, live.requests) > 1 ? true : errors != 0",
		`"a" + "b" == "ab"`, "1..9 == nil", "((((errors))))", "not not true", "1 / 0 < 1", "0x7fffffffffffffff * 9 > errors", "let a = 1; a == 1", "errors ?? 1 | abs()", "{", "min()",
	} {
		f.Add(seed, 1.0, 0.0)
	}
	f.Fuzz(func(t *testing.T, expr string, errors, requests float64) {
		m := formula(expr)
		bad := judge.CheckExpr(m)
		j, err := judge.New(m, minutely(1), judge.Background{})
		if (bad == nil) != (err == nil) {
			t.Fatalf("CheckExpr says %v, New says %v", bad, err)
		}
		if bad != nil {
			if strings.Contains(bad.Error(), "\n") {
				t.Fatalf("the error has several lines: %q", bad)
			}
			return
		}
		j.Observe(judge.Sample{At: at(0), Experiment: named(errors, requests), Control: named(requests, errors)})
		found := j.Finding()
		if found.Why == "" {
			t.Fatal("nothing was said")
		}
		if _, err := json.Marshal(found); err != nil {
			t.Fatal(err)
		}
	})
}
