package main

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCanaries has the short form of what the command does: a canary of the same
// version is not halted, and errors, latency and saturation are found.
func TestCanaries(t *testing.T) {
	t.Parallel()
	w, err := newWorld(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	judged := 0
	for result := range w.judge(t.Context(), 25*time.Second) {
		judged++
		t.Logf("%s: %s: %s", result.pool.name, result.verdict.Outcome, result.verdict.Why)
		if why := result.wrong(); why != "" {
			t.Errorf("%s: %s", result.pool.name, why)
			for _, line := range result.verdict.Evidence {
				t.Log(line)
			}
		}
	}
	if judged != len(w.canaries) {
		t.Errorf("%d of %d canaries were judged", judged, len(w.canaries))
	}
}
