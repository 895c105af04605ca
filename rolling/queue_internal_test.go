package rolling

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
)

// queueKeys are those of the environment in which the reports are.
var queueKeys = consul.Keys{Env: "test"} //nolint:gochecknoglobals // a constant

// filed is a report as Consul has it.
func filed(node string, created uint64, r rollout.Report) consul.Entry {
	value, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return consul.Entry{Key: queueKeys.Staging("web", "2", node), Created: created, Value: value}
}

func TestReportsOf_AreInTheOrderOfStaging(t *testing.T) {
	t.Parallel()
	report := func(state rollout.ReportState) rollout.Report { return rollout.Report{Rollout: "r1", State: state} }
	entries := []consul.Entry{
		filed("late", 90, report(rollout.Staged)), filed("b", 20, report(rollout.Waiting)), filed("a", 20, report(rollout.Staged)),
		filed("first", 10, report(rollout.Waiting)), filed("other", 5, rollout.Report{Rollout: "r0", State: rollout.Staged}),
		{Key: queueKeys.Staging("web", "2", "torn"), Created: 6, Value: []byte("{")},
		{Key: queueKeys.Staging("web", "1", "b"), Created: 1, Value: filed("b", 1, report(rollout.Staged)).Value},
		// Below its own node's folder an agent may write what it likes.
		{Key: queueKeys.StagingsBy("web", "liar") + "b/2", Created: 2, Value: filed("b", 2, report(rollout.Staged)).Value},
	}
	var got []string
	for _, r := range reportsOf(queueKeys, "web", entries, Want{Reason: "r1", Version: "2"}) {
		got = append(got, r.node)
	}
	if want := []string{"first", "a", "b", "late"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if entries[0].Created != 90 {
		t.Error("the entries that were given are in another order now")
	}
}

func TestLookAt_KnowsWhoseTurnItIs(t *testing.T) {
	t.Parallel()
	in := func(states ...rollout.ReportState) []reported {
		var all []reported
		for i, state := range states {
			all = append(all, reported{node: fmt.Sprintf("n%d", i), Report: rollout.Report{State: state}})
		}
		return all
	}
	const (
		fetching, staged, waiting  = rollout.Fetching, rollout.Staged, rollout.Waiting
		replacing, running, broken = rollout.Replacing, rollout.Running, rollout.Broken
	)
	for _, test := range []struct {
		name    string
		reports []reported
		node    string
		roll    spec.Roll
		down    int
		want    turn
	}{
		{"the head goes", in(staged, staged), "n0", spec.Roll{}, 1, turn{limit: 1}},
		{"the next one waits for the head", in(staged, staged), "n1", spec.Roll{}, 1, turn{limit: 1, after: "n0"}},
		{"who fetches is not in the queue", in(fetching, staged), "n1", spec.Roll{}, 1, turn{limit: 1}},
		{"one after the other, also where two may be down", in(staged, waiting, staged), "n1", spec.Roll{}, 2, turn{limit: 2, after: "n0"}},
		{"the third waits for the second", in(staged, waiting, staged), "n2", spec.Roll{}, 2, turn{limit: 2, after: "n1"}},
		{"who has gone is not in the queue", in(replacing, running, staged), "n2", spec.Roll{}, 1, turn{limit: 1, begun: true}},
		{"a canary goes alone", in(staged, staged, staged), "n2", spec.Roll{CanaryNodes: 1}, 5, turn{limit: 1, after: "n1"}},
		{"others wait for the canary's proof", in(replacing, staged), "n1", spec.Roll{CanaryNodes: 1}, 5, turn{limit: 1, begun: true}},
		{"a proven canary lets all go", in(running, staged, staged), "n1", spec.Roll{CanaryNodes: 1}, 5, turn{limit: 5, begun: true}},
		{"one failure too many", in(broken, staged), "n1", spec.Roll{}, 1, turn{limit: 1, begun: true, hold: "1 nodes failed, max_failures is 0"}},
		{"a failure that is allowed", in(broken, staged), "n1", spec.Roll{MaxFailures: 1}, 1, turn{limit: 1, begun: true}},
	} {
		if got := lookAt(test.reports, test.node, spec.Green, test.roll, test.down); got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, got, test.want)
		}
	}
}

// TestLookAt_NeverBlocks: whatever the nodes report, somebody's turn it is as
// long as anybody waits, and nobody waits for one who has gone.
func TestLookAt_NeverBlocks(t *testing.T) {
	t.Parallel()
	states := rapid.SampledFrom([]rollout.ReportState{rollout.Fetching, rollout.Staged, rollout.Waiting, rollout.Replacing, rollout.Running})
	rapid.Check(t, func(t *rapid.T) {
		var all []reported
		for i := range rapid.IntRange(1, 12).Draw(t, "nodes") {
			all = append(all, reported{node: fmt.Sprintf("n%02d", i), Report: rollout.Report{State: states.Draw(t, "state")}})
		}
		down := rapid.IntRange(1, 4).Draw(t, "max_unavailable")
		roll := spec.Roll{CanaryNodes: rapid.IntRange(0, 3).Draw(t, "canaries")}
		waits := func(r reported) bool { return r.State == rollout.Staged || r.State == rollout.Waiting }
		ahead := 0
		for _, r := range all {
			if !waits(r) {
				continue
			}
			got := lookAt(all, r.node, spec.Green, roll, down)
			if (got.after == "") != (ahead == 0) {
				t.Fatalf("%s, with %d before it of %d at a time: %+v", r.node, ahead, got.limit, got)
			}
			if i := slices.IndexFunc(all, func(o reported) bool { return o.node == got.after }); i >= 0 && (!waits(all[i]) || all[i].node >= r.node) {
				t.Fatalf("%s waits for %s", r.node, got.after)
			}
			ahead++
		}
	})
}
