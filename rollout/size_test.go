package rollout_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// TestRecord_HoldsItsBoundWhateverIsWrittenIntoIt: what JSON escapes takes more
// than its bytes, and an ended record that Consul doesn't take never ends.
func TestRecord_HoldsItsBoundWhateverIsWrittenIntoIt(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	s := rollout.Situation{
		Spec:    spec.Service{Name: "web"},
		Live:    &pools.Live{Service: "web", Pool: spec.Blue, Version: "1", Generation: 1, Index: 1},
		Record:  &rollout.Record{ID: "r", Service: "web", Version: "2", Pool: spec.Green, From: pools.Side{Pool: spec.Blue, Version: "1"}, Phase: rollout.Rolling, Generation: 1},
		Pools:   map[string]pools.Pool{},
		Members: map[string][]rollout.Member{},
	}
	for i := range 20 {
		s.Pools[spec.Green] = append(s.Pools[spec.Green], pools.Instance{Node: fmt.Sprint(i), Version: "2", Why: strings.Repeat(`"<`, 300)})
	}
	for i := range 400 {
		at := now.Add(time.Duration(i) * time.Second)
		change, err := rollout.StopRollout(s, "somebody", strings.Repeat("<", 600), at)
		if err == nil {
			s.Record = change.Record
			change, err = rollout.Resume(s, "somebody", at)
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Record = change.Record
	}
	text, err := json.Marshal(s.Record)
	if err != nil {
		t.Fatal(err)
	}
	if most := 128 << 10; len(text) > most { // with what stands beside the timeline
		t.Errorf("the record takes %d bytes, and at most %d are for it", len(text), most)
	}
	if len(s.Record.Timeline) < 20 {
		t.Errorf("only %d events are kept", len(s.Record.Timeline))
	}
}

// TestRecord_KeepsTheNewestGates, as many as there is room for.
func TestRecord_KeepsTheNewestGates(t *testing.T) {
	t.Parallel()
	s := stagingOf(rollout.Switching, map[string]rollout.Report{})
	s.Spec.Approvals = []spec.Approval{{Hold: spec.Hold{At: []string{spec.PointSwitch}}, Name: "owner", MinApprovers: 100}}
	for i := range 30 {
		s.Consents = append(s.Consents, rollout.Consent{Rollout: "r", Gate: "owner", Who: fmt.Sprint(i), By: strings.Repeat(`"<`, 4)})
	}
	at := s.Record.Entered
	for range 150 {
		at = at.Add(time.Second)
		s.Record = rollout.Plan(s, at).Change.Record
		change, err := rollout.StopRollout(s, "somebody", "", at)
		if err != nil {
			t.Fatal(err)
		}
		s.Record = change.Record
		if change, err = rollout.Resume(s, "somebody", at.Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		s.Record = change.Record
	}
	text, err := json.Marshal(s.Record.Gates)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Record.Gates); n < 10 || n > 100 || len(text) > 24<<10 || !s.Record.Gates[n-1].Since.Equal(at) {
		t.Errorf("%d gates in %d bytes are kept, the last one of %s", n, len(text), s.Record.Gates[n-1].Since)
	}
}
