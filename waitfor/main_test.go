package waitfor_test

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/gate"
	"switchd/waitfor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reports are what a watch reports, one after the other.
type reports chan gate.Verdict

// watch has a watch under way until the test ends.
func watch(t *testing.T, w waitfor.Wait) reports {
	t.Helper()
	r, ended := make(reports, 1000), make(chan struct{})
	go func() {
		defer close(ended)
		w.Watch(t.Context(), func(v gate.Verdict) { r <- v })
	}()
	t.Cleanup(func() { <-ended }) // the test's context has ended by then
	return r
}

// next wants the next report to be an outcome with some words.
func (r reports) next(t *testing.T, outcome gate.Outcome, words string) {
	t.Helper()
	select {
	case v := <-r:
		if v.Outcome != outcome || !strings.Contains(v.Why, words) {
			t.Fatalf("got %s: %s\nwant %s: %s", v.Outcome, v.Why, outcome, words)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing was reported, want %s: %s", outcome, words)
	}
}

// await waits for a report, whatever comes before.
func (r reports) await(t *testing.T, outcome gate.Outcome, words string) gate.Verdict {
	t.Helper()
	var last gate.Verdict
	for timeout := time.After(20 * time.Second); ; {
		select {
		case last = <-r:
			if last.Outcome == outcome && strings.Contains(last.Why, words) {
				return last
			}
		case <-timeout:
			t.Fatalf("the last is %s: %s\nwant %s: %s", last.Outcome, last.Why, outcome, words)
		}
	}
}
