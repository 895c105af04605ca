package record_test

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/runner"
	"switchd/runner/record"
)

func TestHandle_ReadsBackAsWritten(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{"run": rapid.String().Draw(t, "run"), "link": rapid.String().Draw(t, "link")}
		h := record.Handle("kind", want)
		if got, err := record.ParseHandle("kind", h, "link", "run"); err != nil || !maps.Equal(got, want) {
			t.Fatalf("%q reads as %q, %v, want %q", h, got, err, want)
		}
	})
}

func TestParseHandle_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                         `not one of the runtime "kind"`,
		"other:link=a&run=1":       `not one of the runtime "kind"`,
		"kind:link=%zz&run=1":      "%zz",
		"kind:link=a":              "link, run once each",
		"kind:run=1&link=a":        "in this order",
		"kind:link=a&run=1&run=2":  "once each",
		"kind:link=a&run=1&more=2": "nothing else",
		"kind:link=%61&run=1":      "link, run",
	} {
		got, err := record.ParseHandle("kind", runner.Handle(text), "link", "run")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q reads as %q, %v, want an error that says %q", text, got, err, want)
		}
	}
}
