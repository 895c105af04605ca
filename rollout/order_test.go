package rollout_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

func TestOrderOf_SaysWhatIsToBeDone(t *testing.T) {
	t.Parallel()
	live := &pools.Live{Pool: spec.Blue, Version: "1", Generation: 3, Weights: map[string]int{spec.Blue: 80, spec.Green: 20}}
	record := func(phase rollout.Phase) *rollout.Record {
		return &rollout.Record{ID: "r", Version: "2", Pool: spec.Green, Phase: phase, From: pools.Side{Pool: spec.Blue, Version: "1"}}
	}
	switched := func(phase, halted rollout.Phase) *rollout.Record {
		r := record(phase)
		r.SwitchedAt, r.Halt = time.Unix(1, 0), &rollout.Halt{Phase: halted}
		return r
	}
	for _, test := range []struct {
		name   string
		record *rollout.Record
		want   rollout.Order
	}{
		{"nothing", nil, rollout.Order{}},
		{"queued", record(rollout.Queued), rollout.Order{Rollout: "r", Version: "2"}},
		{"staging", record(rollout.Staging), rollout.Order{Rollout: "r", Version: "2", Stage: []string{spec.Green}}},
		{"rolling", record(rollout.Rolling), rollout.Order{Rollout: "r", Version: "2", Stage: []string{spec.Green}, Roll: []string{spec.Green}}},
		{"halted", record(rollout.Halted), rollout.Order{Rollout: "r", Version: "2"}},
		{"failed", record(rollout.Failed), rollout.Order{Avoid: "2"}},
		{"done", record(rollout.Done), rollout.Order{}},
		{"baking", switched(rollout.Baking, ""), rollout.Order{
			Rollout: "r", Version: "2", Stage: []string{spec.Green}, Roll: []string{spec.Green}, Keep: pools.Side{Pool: spec.Blue, Version: "1"},
		}},
		{"halted in the bake", switched(rollout.Halted, rollout.Baking), rollout.Order{
			Rollout: "r", Version: "2", Keep: pools.Side{Pool: spec.Blue, Version: "1"},
		}},
		{"halted while converging", switched(rollout.Halted, rollout.Converging), rollout.Order{Rollout: "r", Version: "2"}},
		{"converging", switched(rollout.Converging, ""), rollout.Order{
			Rollout: "r", Version: "2", Stage: []string{spec.Blue, spec.Green}, Roll: []string{spec.Blue, spec.Green},
		}},
	} {
		test.want.Live, test.want.Generation, test.want.Known = live.Side(), 3, true
		test.want.Users = []string{spec.Blue, spec.Green}
		got, err := json.Marshal(rollout.OrderOf(test.record, live))
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(test.want)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: got  %s\nwant %s", test.name, got, want)
		}
	}
	// What went live is good, whatever became of its rollout then.
	if got := rollout.OrderOf(record(rollout.Failed), &pools.Live{Pool: spec.Green, Version: "2", Generation: 4}); got.Avoid != "" {
		t.Errorf("avoids %s, which is live", got.Avoid)
	}
}

func TestOrder_SurvivesJSONAndIsTolerant(t *testing.T) {
	t.Parallel()
	phases := append(rollout.Phases(), rollout.Halted, rollout.Failed, rollout.RolledBack)
	rapid.Check(t, func(t *rapid.T) {
		record := &rollout.Record{ID: "r", Version: "2", Pool: spec.Green, Phase: rapid.SampledFrom(phases).Draw(t, "phase")}
		want := rollout.OrderOf(record, &pools.Live{Pool: spec.Blue, Version: "1", Generation: 1})
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		newer := slices.Concat(text[:len(text)-1], []byte(`,"levitate":true}`))
		got, err := rollout.ParseOrder(newer)
		if err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if string(again) != string(text) || !got.Known {
			t.Fatalf("got %s, want %s", again, text)
		}
	})
	if o, err := rollout.ParseOrder(nil); err != nil || o.Known {
		t.Errorf("an order that was never written: %+v, %v", o, err)
	}
	if _, err := rollout.ParseOrder([]byte("{")); err == nil {
		t.Error("a torn order was read")
	}
}
