package warmup

import (
	"strings"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
	"pgregory.net/rapid"

	"switchd/gate"
	"switchd/spec"
)

// filled returns a closed window of ten answers of one latency.
func filled(latency time.Duration, failed int) *window {
	w := new(window)
	for i := range 10 {
		r := &vegeta.Result{Latency: latency}
		if i < failed {
			r.Error = "500 Internal Server Error"
		}
		w.add(r)
	}
	w.close(10, time.Second)
	return w
}

func TestSteady_ComparesTheFarthest(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	tests := []struct {
		latencies []time.Duration
		tolerance float64
		want      bool
	}{
		{[]time.Duration{100 * ms, 120 * ms, 110 * ms}, 0.2, true},
		{[]time.Duration{100 * ms, 121 * ms, 110 * ms}, 0.2, false},
		{[]time.Duration{ms / 10, ms}, 0, true},
		{[]time.Duration{0, ms}, 0, false},
		{[]time.Duration{50 * ms}, 0, true},
	}
	for _, tt := range tests {
		if got := steady(tt.latencies, tt.tolerance); got != tt.want {
			t.Errorf("steady(%v, %g) = %t", tt.latencies, tt.tolerance, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		ls := rapid.SliceOfN(rapid.Map(rapid.Int64Range(0, int64(time.Minute)), func(n int64) time.Duration { return time.Duration(n) }), 1, 8).Draw(t, "latencies")
		tolerance := rapid.Float64Range(0, 2).Draw(t, "tolerance")
		shuffled := rapid.Permutation(ls).Draw(t, "shuffled")
		if steady(ls, tolerance) != steady(shuffled, tolerance) {
			t.Fatal("the order counts")
		}
		if steady(ls, tolerance) && !steady(ls[:rapid.IntRange(1, len(ls)).Draw(t, "n")], tolerance) {
			t.Fatal("fewer are less steady")
		}
	})
}

func TestJudge_GivesASlowNodeAsManyWindowsAgain(t *testing.T) {
	t.Parallel()
	cfg := spec.Warmup{Windows: 3, Tolerance: 0.2, MaxLatency: spec.Duration(50 * time.Millisecond)}
	rapid.Check(t, func(t *rapid.T) {
		j := judge{cfg: cfg}
		windows := rapid.SliceOfN(rapid.SampledFrom([]*window{
			filled(10*time.Millisecond, 0), filled(100*time.Millisecond, 0), filled(100*time.Millisecond, 0), filled(10*time.Millisecond, 10),
		}), 0, 20).Draw(t, "windows")
		for i, w := range windows {
			got := j.add(w)
			alike := func(n int, good bool) bool {
				if i+1 < n {
					return false
				}
				for _, w := range windows[i+1-n : i+1] {
					if w.p95() != windows[i].p95() {
						return false
					}
				}
				failed := false
				for _, w := range windows[max(0, i-2) : i+1] {
					failed = failed || w.failed > 0
				}
				return good == (windows[i].p95() < 50*time.Millisecond && !failed)
			}
			switch {
			case got == gate.Pass && !alike(3, true), got != gate.Pass && alike(3, true):
				t.Fatalf("window %d: %s", i, got)
			case got == gate.Fail && i+1 < 6:
				t.Fatalf("failed after %d windows", i+1)
			case got == gate.Fail:
				if !alike(6, false) {
					t.Fatalf("window %d: failed without having been steady", i)
				}
			}
			if got != gate.Unknown {
				return
			}
		}
	})
}

func TestJudge_SaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	cfg := spec.Warmup{Windows: 2, Tolerance: 0.2, MaxErrors: 0.05, MaxLatency: spec.Duration(50 * time.Millisecond)}
	idle := new(window)
	idle.close(10, time.Second)
	for want, windows := range map[string][]*window{
		"not steady yet: 1 of 2 windows at full rate seen":                               {filled(time.Millisecond, 0)},
		"not steady yet: p95 of the last 2 windows differ by more than 20 %: 40ms, 20ms": {filled(40*time.Millisecond, 0), filled(20*time.Millisecond, 0)},
		"not steady yet: it answered 0 of 10 requests in a window":                       {filled(time.Millisecond, 0), idle},
		"3 of 20 requests failed (500 Internal Server Error), allowed are 5 %":           {filled(time.Millisecond, 2), filled(time.Millisecond, 1)},
		"its steady p95 is 60ms, allowed is 50ms":                                        {filled(60*time.Millisecond, 0), filled(60*time.Millisecond, 1)},
	} {
		j := judge{cfg: cfg}
		for _, w := range windows {
			if got := j.add(w); got != gate.Unknown {
				t.Errorf("%s: got %s", want, got)
			}
		}
		if got := j.missing(); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
}

func TestWindow_CutsLongErrors(t *testing.T) {
	t.Parallel()
	w := new(window)
	w.add(&vegeta.Result{Error: strings.Repeat("x", 10_000)})
	if got := w.String(); len(got) > 250 {
		t.Errorf("%d bytes", len(got))
	}
}
