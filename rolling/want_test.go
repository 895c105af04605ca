package rolling_test

import (
	"testing"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/rolling"
	"switchd/rollout"
	"switchd/spec"
)

func TestWantOf_FollowsTheRolloutThenTheLiveRecord(t *testing.T) {
	t.Parallel()
	live := &pools.Live{Service: "web", Pool: spec.Blue, Version: "1", Generation: 3}
	lags := rolling.Want{Version: "1", Roll: true, Reason: "1 is live on blue"}
	stages := rolling.Want{Version: "2", Reason: "r1", Report: true}
	rolls := rolling.Want{Version: "2", Roll: true, Reason: "r1", Report: true}
	none := rolling.Want{}
	for _, test := range []struct {
		phase       rollout.Phase
		blue, green rolling.Want // green is the rollout's
	}{
		{rollout.Queued, lags, none},
		{rollout.Staging, lags, stages},
		{rollout.Rolling, lags, rolls},
		{rollout.Smoke, lags, rolls},
		{rollout.Warmup, lags, rolls},
		{rollout.Canary, lags, rolls},
		{rollout.Switching, lags, rolls},
		{rollout.Draining, lags, rolls},
		{rollout.Baking, lags, rolls},
		{rollout.Converging, rolls, rolls},
		{rollout.Done, lags, none},
		{rollout.Halted, lags, none},
		{rollout.Failed, lags, none},
		{rollout.RolledBack, lags, none},
	} {
		record := &rollout.Record{ID: "r1", Version: "2", Pool: spec.Green, Phase: test.phase}
		if got := rolling.WantOf(spec.Blue, rollout.OrderOf(record, live)); got != test.blue {
			t.Errorf("%s: blue wants %+v, want %+v", test.phase, got, test.blue)
		}
		if got := rolling.WantOf(spec.Green, rollout.OrderOf(record, live)); got != test.green {
			t.Errorf("%s: green wants %+v, want %+v", test.phase, got, test.green)
		}
	}
	if got := rolling.WantOf(spec.Blue, rollout.OrderOf(nil, nil)); got != none {
		t.Errorf("with nothing written: %+v, want nothing", got)
	}
}

// TestWantOf_NeverTouchesTheOldPoolBeforeTheBakeHasEnded is the promise "old
// stays warm": the pool that a rollout left keeps what it runs.
func TestWantOf_NeverTouchesTheOldPoolBeforeTheBakeHasEnded(t *testing.T) {
	t.Parallel()
	colour := rapid.SampledFrom([]string{spec.Blue, spec.Green})
	phases := append(rollout.Phases(), rollout.Halted, rollout.Failed, rollout.RolledBack)
	rapid.Check(t, func(t *rapid.T) {
		record := &rollout.Record{ID: "r1", Version: "2", Pool: colour.Draw(t, "rollout's"), Phase: rapid.SampledFrom(phases).Draw(t, "phase")}
		old := spec.Other(record.Pool)
		live := &pools.Live{Pool: colour.Draw(t, "live"), Version: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version"), Generation: 1}
		got := rolling.WantOf(old, rollout.OrderOf(record, live))
		if got.Version == record.Version && got.Reason == record.ID && record.Phase != rollout.Converging {
			t.Fatalf("in %s the old pool is to run %+v", record.Phase, got)
		}
		if live.Pool != old && got != (rolling.Want{}) && record.Phase != rollout.Converging {
			t.Fatalf("in %s the idle pool %s is to run %+v", record.Phase, old, got)
		}
		if got.Roll && got.Version == "" {
			t.Fatalf("nothing is to be run: %+v", got)
		}
	})
}
