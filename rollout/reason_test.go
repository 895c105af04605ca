package rollout_test

import (
	"regexp"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"switchd/rollout"
	"switchd/spec"
)

// waitWords are all words that the planner has for waits, outside of points.
var waitWords = []struct {
	words  *regexp.Regexp
	reason rollout.WaitReason
}{
	{regexp.MustCompile(`^for .*, which this service depends on`), rollout.WaitsQueue},
	{regexp.MustCompile(`^for .* to stage |^for nodes of pool `), rollout.WaitsStage},
	{regexp.MustCompile(`^for .* to run .* nodes do`), rollout.WaitsRoll},
	{regexp.MustCompile(`^for smoke`), rollout.WaitsSmoke},
	{regexp.MustCompile(`^for warmup`), rollout.WaitsWarmup},
	{regexp.MustCompile(`^for the analysis at `), rollout.WaitsAnalysis},
	{regexp.MustCompile(`^for the new pool: |^for the pool that users are on: `), rollout.WaitsHealth},
	{regexp.MustCompile(`^for all that are asked .* to give a TTL |^for caches to `), rollout.WaitsTTL},
	{regexp.MustCompile(`^for all that are asked .* to answer with pool `), rollout.WaitsProof},
	{regexp.MustCompile(`^for the traffic of `), rollout.WaitsDrain},
	{regexp.MustCompile(`^for the bake of `), rollout.WaitsBake},
}

func TestWaitReason_OfWhatDoesNotMoveIsAPerson(t *testing.T) {
	t.Parallel()
	wait := &rollout.Wait{For: "for the bake of 1h to end"}
	for want, r := range map[rollout.WaitReason]*rollout.Record{
		"": nil, rollout.WaitsPerson: {Phase: rollout.Halted, Wait: wait}, rollout.WaitsBake: {Phase: rollout.Baking, Wait: wait},
	} {
		if got := r.WaitReason(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, r := range []*rollout.Record{{Phase: rollout.Done, Wait: wait}, {Phase: rollout.Baking}} {
		if got := r.WaitReason(); got != "" {
			t.Errorf("%s waits for %q", r.Phase, got)
		}
	}
}

// checkReason has what is said to people and the reason say the same. The world
// asks it whenever the planner comes to rest.
func checkReason(t *rapid.T, r *rollout.Record) {
	got := r.WaitReason()
	switch {
	case r == nil || r.Phase.Ended():
		if got != "" {
			t.Fatalf("what has ended waits for %s", got)
		}
		return
	case r.Phase == rollout.Halted:
		if got != rollout.WaitsPerson {
			t.Fatalf("a halted rollout waits for %q", got)
		}
		return
	case r.Wait == nil:
		if got != "" {
			t.Fatalf("without a wait, it waits for %s", got)
		}
		return
	}
	if !slices.Contains(rollout.WaitReasons(), got) {
		t.Fatalf("%q is none of the reasons: %s", got, r.Wait.For)
	}
	for _, known := range waitWords {
		if known.words.MatchString(r.Wait.For) {
			if got != known.reason {
				t.Fatalf("in phase %s, %s is for %q, want %s", r.Phase, got, r.Wait.For, known.reason)
			}
			return
		}
	}
	kinds := []rollout.WaitReason{spec.GateApproval, spec.GateWait, spec.GateWindow, spec.GateSilence}
	if open := r.Waiting(); len(open) == 0 || rollout.WaitReason(open[0].Kind) != got || !slices.Contains(kinds, got) {
		t.Fatalf("in phase %s, %s is for %q, and these gates wait: %v", r.Phase, got, r.Wait.For, open)
	}
}
