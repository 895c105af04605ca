package gate_test

import (
	"slices"
	"testing"

	"switchd/gate"
)

func TestWhenChanged_LeavesOutWhatWasSaidLast(t *testing.T) {
	t.Parallel()
	var told []string
	report := gate.WhenChanged(func(v gate.Verdict) { told = append(told, v.Outcome.String()+" "+v.Why) })
	for _, v := range []gate.Verdict{
		{}, {}, gate.Undecided("a"), gate.Undecided("a"), gate.Passed("a"), {Outcome: gate.Pass, Why: "a", Evidence: []string{"e"}}, gate.Passed("b"), gate.Undecided("a"),
	} {
		report(v)
	}
	if want := []string{"unknown ", "unknown a", "pass a", "pass b", "unknown a"}; !slices.Equal(told, want) {
		t.Errorf("got %q, want %q", told, want)
	}
}
