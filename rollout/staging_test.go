package rollout_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// stagingOf is a rollout in some phase on four nodes of which two may fail.
func stagingOf(phase rollout.Phase, reports map[string]rollout.Report) rollout.Situation {
	now := time.Unix(1_800_000_000, 0)
	s := rollout.Situation{
		Spec:     spec.Service{Name: "web", Roll: spec.Roll{Quorum: spec.Nodes(2), MaxUnavailable: spec.Nodes(1), MaxFailures: 2}},
		Record:   &rollout.Record{ID: "r", Service: "web", Version: "2", Pool: spec.Green, Phase: phase, Entered: now},
		Released: true, Reports: reports, Pools: map[string]pools.Pool{}, Members: map[string][]rollout.Member{},
	}
	for _, node := range []string{"n1", "n2", "n3", "n4"} {
		s.Members[spec.Green] = append(s.Members[spec.Green], rollout.Member{Node: node, Alive: true})
		if r := reports[node]; r.Rollout == "" {
			r.Rollout, r.Pool = "r", spec.Green
			reports[node] = r
		}
	}
	return s
}

func planned(t *testing.T, s rollout.Situation) *rollout.Record {
	t.Helper()
	d := rollout.Plan(s, s.Record.Entered.Add(time.Second))
	if d.Change == nil {
		t.Fatal("nothing is to be written")
	}
	return d.Change.Record
}

func TestPlan_LeavesOutWhoCannotGetTheVersion(t *testing.T) {
	t.Parallel()
	staged, full := rollout.Report{State: rollout.Staged}, rollout.Report{State: rollout.Fetching, Why: "not enough room on the disk"}
	r := planned(t, stagingOf(rollout.Staging, map[string]rollout.Report{"n1": staged, "n2": staged, "n3": full, "n4": {State: rollout.Broken, Why: "unfit"}}))
	if r.Phase != rollout.Rolling || !slices.Equal(r.Members, []string{"n1", "n2"}) || !slices.Equal(r.LeftOut, []string{"n4", "n3"}) {
		t.Errorf("phase %s, members %v, left out %v", r.Phase, r.Members, r.LeftOut)
	}
	// As long as another one is on its way, all are waited for.
	r = planned(t, stagingOf(rollout.Staging, map[string]rollout.Report{"n1": staged, "n2": staged, "n3": full, "n4": {State: rollout.Fetching}}))
	if r.Phase != rollout.Staging || r.Wait == nil || !strings.Contains(r.Wait.For, "n4, n3") || !strings.Contains(r.Wait.For, "not enough room") {
		t.Errorf("phase %s, waits %+v", r.Phase, r.Wait)
	}
	// And so they are where too many could not get it.
	r = planned(t, stagingOf(rollout.Staging, map[string]rollout.Report{"n1": full, "n2": full, "n3": full, "n4": staged}))
	if r.Phase != rollout.Staging {
		t.Errorf("phase %s with one node of four", r.Phase)
	}
}

// TestPlan_CountsFailuresAsTheAgentsDo: a node that could not stage and one
// that failed its roll are two failures, wherever they are counted.
func TestPlan_CountsFailuresAsTheAgentsDo(t *testing.T) {
	t.Parallel()
	s := stagingOf(rollout.Rolling, map[string]rollout.Report{
		"n1": {State: rollout.Broken, Why: "unfit"}, "n2": {State: rollout.Broken, Why: "sick"}, "n3": {State: rollout.Broken, Why: "sick"}, "n4": {State: rollout.Staged},
	})
	s.Record.Members, s.Record.LeftOut = []string{"n2", "n3", "n4"}, []string{"n1"}
	if r := planned(t, s); r.Phase != rollout.Failed || !strings.Contains(r.Outcome, "max_failures is 2") {
		t.Errorf("phase %s, outcome %q", r.Phase, r.Outcome)
	}
}

// TestPlan_LeavesOutOfTheGatesWhoDroppedOut: a member that died in the roll is
// not what smoke waits for.
func TestPlan_LeavesOutOfTheGatesWhoDroppedOut(t *testing.T) {
	t.Parallel()
	running := rollout.Report{State: rollout.Running}
	s := stagingOf(rollout.Rolling, map[string]rollout.Report{"n1": running, "n2": running, "n3": {State: rollout.Broken, Why: "sick"}, "n4": {}})
	s.Record.Members = []string{"n1", "n2", "n3", "n4"}
	s.Members[spec.Green][3].Alive = false
	s.Pools[spec.Green] = pools.Pool{{Node: "n1", Version: "2", Passing: true}, {Node: "n2", Version: "2", Passing: true}, {Node: "n3", Version: "1", Passing: true}}
	if r := planned(t, s); r.Phase != rollout.Smoke || !slices.Equal(r.Members, []string{"n1", "n2"}) || !slices.Equal(r.LeftOut, []string{"n3", "n4"}) {
		t.Errorf("phase %s, members %v, left out %v", r.Phase, r.Members, r.LeftOut)
	}
}
