package warmup_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"switchd/gate"
	"switchd/spec"
	"switchd/warmup"
)

func serve(t *testing.T, name string, h http.HandlerFunc) warmup.Target {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return warmup.Target{Name: name, URL: srv.URL}
}

// after answers with a status after a while.
func after(d time.Duration, status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(d) // the latency that is to be measured
		w.WriteHeader(status)
	}
}

func config() spec.Warmup {
	return spec.Warmup{
		Path: "/warm", Rate: 40, Ramp: spec.Duration(200 * time.Millisecond),
		Window: spec.Duration(250 * time.Millisecond), Windows: 3, Tolerance: 1,
	}
}

func wantVerdict(t *testing.T, v gate.Verdict, outcome gate.Outcome, why string) {
	t.Helper()
	if v.Outcome != outcome || !strings.Contains(v.Why, why) {
		t.Errorf("got  %s: %s\nwant %s: …%s…\nevidence:\n%s", v.Outcome, v.Why, outcome, why, strings.Join(v.Evidence, "\n"))
	}
}

func bounded(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestRun_PassesWhenAColdNodeHasBecomeWarm(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	cold := serve(t, "web-g1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/warm" || r.Host != "web.apps.test" {
			w.WriteHeader(http.StatusNotFound)
		}
		n := asked.Add(1)
		if n < 4 {
			w.WriteHeader(http.StatusServiceUnavailable) // an error on the ramp
		}
		time.Sleep(max(30*time.Millisecond, time.Duration(300-10*n)*time.Millisecond))
	})
	cold.Host = "web.apps.test"
	warm := serve(t, "web-g2", after(30*time.Millisecond, 200))

	var mu sync.Mutex
	var lines []string
	cfg := config()
	cfg.Ramp = spec.Duration(time.Second)
	v := warmup.Run(bounded(t, 20*time.Second), cfg, spec.Vars{}, []warmup.Target{cold, warm}, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	})
	wantVerdict(t, v, gate.Pass, "every node is steady (2 of 2), after ")
	if len(v.Evidence) != 6 || !strings.HasPrefix(v.Evidence[0], "web-g1: ramp: p50 ") || !strings.Contains(v.Evidence[2], ", 0 of ") {
		t.Errorf("evidence:\n%s", strings.Join(v.Evidence, "\n"))
	}
	if len(lines) < 8 {
		t.Errorf("progress:\n%s", strings.Join(lines, "\n"))
	}
}

func TestRun_FailsWhenSteadyButOutOfBounds(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(nil)
	gone.Close()
	tests := map[string]struct {
		target warmup.Target
		change func(*spec.Warmup)
		why    string
	}{
		"errors": {serve(t, "web-g1", after(20*time.Millisecond, 500)), func(*spec.Warmup) {}, "(500 Internal Server Error), allowed are 0 %"},
		"slow": {
			serve(t, "web-g1", after(50*time.Millisecond, 200)),
			func(c *spec.Warmup) { c.MaxLatency = spec.Duration(20 * time.Millisecond) },
			", allowed is 20ms",
		},
		"gone": {warmup.Target{Name: "web-g1", URL: gone.URL}, func(c *spec.Warmup) { c.MaxErrors = 0.5; c.Tolerance = 50 }, "connection refused), allowed are 50 %"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config()
			tt.change(&cfg)
			v := warmup.Run(bounded(t, 20*time.Second), cfg, spec.Vars{}, []warmup.Target{tt.target}, nil)
			wantVerdict(t, v, gate.Fail, "warm-up of web-g1: ")
			wantVerdict(t, v, gate.Fail, tt.why)
			if least := 6 * cfg.Window.Std(); v.Took < least {
				t.Errorf("failed after %s, before the second chance of %s", v.Took, least)
			}
		})
	}
}

func TestRun_AllowsTheErrorsThatTheSpecAllows(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	target := serve(t, "web-g1", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(20 * time.Millisecond)
		if asked.Add(1)%5 == 0 {
			w.WriteHeader(500)
		}
	})
	cfg := config()
	cfg.MaxErrors = 0.5
	wantVerdict(t, warmup.Run(bounded(t, 20*time.Second), cfg, spec.Vars{}, []warmup.Target{target}, nil), gate.Pass, "")
}

func TestRun_IsUnknownWhileANodeIsNotSteady(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	restless := serve(t, "web-g1", func(http.ResponseWriter, *http.Request) {
		time.Sleep(time.Duration(asked.Add(1)) * 4 * time.Millisecond)
	})
	hanging := serve(t, "web-g2", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cfg := config()
	cfg.Tolerance = 0.05
	v := warmup.Run(bounded(t, 2*time.Second), cfg, spec.Vars{}, []warmup.Target{restless, hanging}, nil)
	wantVerdict(t, v, gate.Unknown, "the warm-up was ended (context deadline exceeded) after ")
	wantVerdict(t, v, gate.Unknown, "web-g1: not steady yet: ")
	wantVerdict(t, v, gate.Unknown, "web-g2: not steady yet: it answered 0 of ")
}

func TestRun_EndsTheLoadWithItsContext(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	var ended time.Time
	target := serve(t, "web-g1", func(_ http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 20 {
			ended = time.Now()
			cancel()
		}
		<-r.Context().Done()
	})
	cfg := config()
	cfg.Rate = 200
	v := warmup.Run(ctx, cfg, spec.Vars{}, []warmup.Target{target}, nil)
	wantVerdict(t, v, gate.Unknown, "the warm-up was ended (context canceled)")
	if took := time.Since(ended); took > 1500*time.Millisecond {
		t.Errorf("returned %s after its context", took)
	}
	if got := asked.Load(); got > 40 {
		t.Errorf("%d requests, of which all after the 20th came after the end", got)
	}
}

func TestRun_BoundsWhatItReads(t *testing.T) {
	t.Parallel()
	chunk := make([]byte, 64<<10)
	endless := serve(t, "web-g1", func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	cfg := config()
	cfg.Rate, cfg.Tolerance = 8, 50
	v := warmup.Run(bounded(t, 20*time.Second), cfg, spec.Vars{}, []warmup.Target{endless}, nil)
	wantVerdict(t, v, gate.Pass, "")
}

func TestRun_DoesNotFollowRedirects(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	target := serve(t, "web-g1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/warm" {
			elsewhere.Add(1)
		}
		time.Sleep(20 * time.Millisecond)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	})
	wantVerdict(t, warmup.Run(bounded(t, 20*time.Second), config(), spec.Vars{}, []warmup.Target{target}, nil), gate.Pass, "")
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("followed %d redirects", n)
	}
}

func TestRun_RefusesWhatCannotBeDone(t *testing.T) {
	t.Parallel()
	targets := []warmup.Target{{Name: "web-g1", URL: "http://127.0.0.1:1"}}
	wantVerdict(t, warmup.Run(t.Context(), config(), spec.Vars{}, nil, nil), gate.Unknown, "no node")
	wantVerdict(t, warmup.Run(t.Context(), spec.Warmup{Window: 1}, spec.Vars{}, targets, nil), gate.Fail, "rate must be at least 1, got 0")
	wantVerdict(t, warmup.Run(t.Context(), spec.Warmup{Rate: 1}, spec.Vars{}, targets, nil), gate.Fail, "window must be above 0, got 0s")
}
