package process

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestCrashes_BackOffDoublesAndIsForgotten(t *testing.T) {
	t.Parallel()
	var c crashes
	now := time.Unix(1000, 0)
	for n, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		if got := c.ended(now, now.Add(time.Second), "exit status 3"); got != want*time.Second {
			t.Errorf("after end %d it waits %v, want %vs", n+1, got, int64(want))
		}
		now = now.Add(time.Second + want*time.Second)
	}
	if got := c.ended(now, now.Add(steady), "exit status 3"); got != firstPause {
		t.Errorf("after a steady run it waits %v, want %v", got, firstPause)
	}
}

func TestCrashes_TellsALoopFromAnEnd(t *testing.T) {
	t.Parallel()
	var c crashes
	start := time.Unix(1000, 0)
	if got := c.why(start, start); got != "" {
		t.Errorf("before any end: %q", got)
	}
	c.ended(start, start.Add(2*time.Second), "killed by SIGSEGV")
	if got, want := c.why(time.Time{}, start.Add(5*time.Second)), "ended 3s ago: killed by SIGSEGV"; got != want {
		t.Errorf("after one end: %q, want %q", got, want)
	}
	for range 4 {
		c.ended(start.Add(71*time.Second), start.Add(72*time.Second), "exit status 3")
	}
	again := start.Add(80 * time.Second)
	if got, want := c.why(again, again), "crash loop: ended 5 times in 1m12s, last: exit status 3"; got != want {
		t.Errorf("in a loop: %q, want %q", got, want)
	}
	if got, want := c.why(again, again.Add(steady)), "ended 1m8s ago: exit status 3"; got != want {
		t.Errorf("steady again: %q, want %q", got, want)
	}
}

func TestCrashes_PauseStaysInItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c crashes
		now := time.Unix(1000, 0)
		for _, run := range rapid.SliceOf(rapid.Int64Range(0, int64(2*steady))).Draw(t, "runs") {
			start := now
			now = now.Add(time.Duration(run))
			pause := c.ended(start, now, "")
			if pause < firstPause || pause > longPause || time.Duration(run) >= steady && pause != firstPause {
				t.Fatalf("after a run of %v it waits %v", time.Duration(run), pause)
			}
			now = now.Add(pause)
		}
	})
}
