package replay_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/judge/replay"
)

func TestSelector_SelectsAsPrometheusDoes(t *testing.T) {
	t.Parallel()
	series := map[string]string{"__name__": "http_requests_total", "pool": "green", "code": "503", "path": `a"b\c`}
	for selector, want := range map[string]bool{
		"http_requests_total":                                   true,
		" http_requests_total { } ":                             true,
		"http_requests":                                         false,
		`http_requests_total{pool="green"}`:                     true,
		`http_requests_total{pool = 'green' , code=~"5.."}`:     true,
		`http_requests_total{code=~"5"}`:                        false, // anchored
		`http_requests_total{code=~"4..|5..",}`:                 true,
		`http_requests_total{code!~"5.."}`:                      false,
		`http_requests_total{code!="503"}`:                      false,
		`http_requests_total{zone=""}`:                          true, // a label that isn't there is empty
		`http_requests_total{zone!=""}`:                         false,
		`{__name__="http_requests_total",pool="green"}`:         true,
		`{"http_requests_total", "pool"="green"}`:               true,
		`{__name__=~"http_.*"}`:                                 true,
		`{__name__!="http_requests_total", pool="green"}`:       false,
		`http_requests_total{path="a\"b\\c"}`:                   true,
		"http_requests_total{path=`a\"b\\c`}":                   true,
		`http_requests_total{pool="\x67ree\u006e"}`:             true,
		"http_requests_total{pool=\"green\"\n, code=\"503\"\n}": true,
	} {
		s, err := replay.ParseSelector(selector)
		if err != nil {
			t.Errorf("%s: %v", selector, err)
			continue
		}
		if got := s.Selects(series); got != want {
			t.Errorf("%s selects: %v, want %v", selector, got, want)
		}
	}
}

func TestParseSelector_RefusesWhatAFileCanNotAnswer(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "it selects everything",
		"{}":                            "it selects everything",
		"rate(x[5m])":                   `"(x[5m])" is left over`,
		"x[5m]":                         `"[5m]" is left over`,
		"x offset 5m":                   `"offset 5m" is left over`,
		"x{a=~\"(\"}":                   "label a: error parsing regexp: missing closing ): `^(?s:()$`",
		"x{a}":                          `an operator is expected at "}"`,
		"x{a=b}":                        `a quoted string is expected at "b}"`,
		"x{a=\"b}":                      `a string has no end, or more than 4096 bytes, at "\"b}"`,
		"x{a=\"b\" c=\"d\"}":            `a comma or a closing brace is expected at "c=\"d\"}"`,
		"x{5=\"b\"}":                    `a label is expected at "5=\"b\"}"`,
		"x{a=\"\\q\"}":                  `"\\q" has an escape that is unknown`,
		"sum(x) / sum(a very long one)": `"(x) / sum(a very lon…" is left over`,
	} {
		_, err := replay.ParseSelector(text)
		wantError(t, err, fmt.Sprintf("%q is not a selector such as http_requests_total{code=~\"5..\"}, and only those can be evaluated on a file: %s", text, want))
	}
}

// TestSelector_SelectsTheSeriesThatItNames writes labels as a selector and reads
// them again.
func TestSelector_SelectsTheSeriesThatItNames(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		labels := rapid.MapOfN(rapid.StringMatching(`[a-zA-Z_][a-zA-Z0-9_]*`), rapid.String(), 0, 5).Draw(t, "labels")
		delete(labels, "__name__")
		var conditions []string
		for name, value := range labels {
			escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(value)
			conditions = append(conditions, name+`="`+escaped+`"`)
		}
		text := "up{" + strings.Join(conditions, ",") + "}"
		s, err := replay.ParseSelector(text)
		if err != nil {
			t.Fatal(err)
		}
		labels["__name__"] = "up"
		if !s.Selects(labels) {
			t.Fatalf("%s does not select its own series", text)
		}
		if labels["pool"] += "x"; strings.Contains(text, "pool=") && s.Selects(labels) {
			t.Fatalf("%s selects another one", text)
		}
	})
}

func FuzzParseSelector(f *testing.F) {
	f.Add(`http_requests_total{pool="green", code=~"5..", path!='a\'b'}`)
	f.Add("{\"http.requests\", `a`!~\"x\"}")
	f.Add(`x{a="\xff"}`)
	f.Fuzz(func(_ *testing.T, text string) {
		if s, err := replay.ParseSelector(text); err == nil {
			s.Selects(map[string]string{"__name__": "x"})
		}
	})
}
