package driver_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestActive_HearsWhatPeopleSayAndForgetsItAtTheEnd of the rollout.
func TestActive_HearsWhatPeopleSayAndForgetsItAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, devconsul.Start(t, nil), "prod")
	if err := w.Apply(t.Context(), "test", &spec.Desired{Environment: spec.Environment{Name: "prod"}, Services: []spec.Service{{Name: "web"}}}); err != nil {
		t.Fatal(err)
	}
	lease, err := w.Consul.Acquire(t.Context(), consul.LeaseOptions{Key: w.Keys.Lease(), Holder: "test", TTL: 10 * time.Second, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.Fence = lease
	t.Cleanup(func() { _ = lease.Release(context.WithoutCancel(t.Context())) }) // its TTL ends it otherwise
	names := make(chan []string)
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { w.Active(ctx, names) })
	defer watching.Wait()
	defer cancel()
	do := func(operation func(rollout.Situation) (*rollout.Change, error)) {
		t.Helper()
		if _, err := w.Do(t.Context(), "web", "test", operation); err != nil {
			t.Fatal(err)
		}
	}
	do(func(s rollout.Situation) (*rollout.Change, error) {
		s.Released = true
		return rollout.Promote(s, "r1", "1", "test", time.Now())
	})
	for began := false; !began; { // what the beginning wakes
		select {
		case <-names:
		case <-time.After(2 * time.Second):
			began = true
		}
	}
	if err := w.Consent(t.Context(), "web", rollout.Consent{Rollout: "r1", Gate: "owner", Who: "a"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-names:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody looked at the consent")
	}
	watching.Go(func() {
		for {
			select {
			case <-names:
			case <-ctx.Done():
				return
			}
		}
	})
	do(func(s rollout.Situation) (*rollout.Change, error) { return rollout.Rollback(s, "test", "", time.Now()) })
	gone := false
	watchCtx, seen := context.WithTimeout(t.Context(), 20*time.Second)
	defer seen()
	w.Consul.WatchPrefix(watchCtx, w.Keys.Consents(), func(s consul.Seen[[]consul.Entry]) {
		if s.Err == nil && len(s.Value) == 0 {
			gone = true
			seen()
		}
	})
	if !gone {
		t.Error("the consent has outlived the rollout")
	}
}
