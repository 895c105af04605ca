package warmup_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"switchd/spec"
	"switchd/warmup"
)

// TestHold_KeepsTheLoadUntilItsEnd, on all nodes, whatever they answer.
func TestHold_KeepsTheLoadUntilItsEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var well, failing atomic.Int64
	enough := func() {
		if well.Load() >= 50 && failing.Load() >= 50 {
			cancel()
		}
	}
	targets := []warmup.Target{
		serve(t, "web-g1", func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/warm/web-g1" {
				t.Errorf("asked for %s", r.URL.Path)
			}
			well.Add(1)
			enough()
		}),
		serve(t, "web-g2", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			failing.Add(1)
			enough()
		}),
	}
	cfg := config()
	cfg.Path, cfg.Rate = "/warm/{{node}}", 200
	warmup.Hold(ctx, cfg, spec.Vars{}, targets)
	sent := well.Load() + failing.Load()
	if ctx.Err() == nil || sent < 100 {
		t.Fatalf("ended by itself after %d requests", sent)
	}
	time.Sleep(100 * time.Millisecond) // in which nothing more comes
	if now := well.Load() + failing.Load(); now != sent {
		t.Errorf("%d requests came after the end", now-sent)
	}
}
