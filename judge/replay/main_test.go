package replay_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/judge/replay"
	"switchd/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// began is when the recordings of these tests begin.
func began() time.Time { return time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC) }

// collect reads looks to their end.
func collect(t *testing.T, looks replay.Looks) []replay.Look {
	t.Helper()
	var all []replay.Look
	for look, err := range looks {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, look)
	}
	return all
}

// looks are those of a recording.
func looks(t *testing.T, r *replay.Recording, metrics ...spec.Metric) []replay.Look {
	t.Helper()
	all, err := r.Replay(metrics)
	if err != nil {
		t.Fatal(err)
	}
	return collect(t, all)
}

func counts(name string) spec.Metric {
	return spec.Metric{Name: name, Judge: spec.JudgeSequential, Bad: "bad", Total: "total"}
}

func value(name string) spec.Metric {
	return spec.Metric{Name: name, Judge: spec.JudgeSequential, Query: "value"}
}

func readCSV(text string) (*replay.Recording, error) {
	return replay.ReadCSV(strings.NewReader(text), "web.csv", "errors", replay.Sides{Experiment: "green", Control: "blue"})
}

func parseCSV(t *testing.T, text string) *replay.Recording {
	t.Helper()
	r, err := readCSV(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantError compares an error's text.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}
