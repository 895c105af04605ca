package analysis

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"switchd/gate"
)

func anyLook() *rapid.Generator[gate.Outcome] {
	return rapid.SampledFrom([]gate.Outcome{gate.Pass, gate.Pass, gate.Fail, gate.Unknown})
}

func tallied(looks []gate.Outcome) *tally {
	t := new(tally)
	for _, l := range looks {
		t.add(l)
	}
	return t
}

func count(looks []gate.Outcome, o gate.Outcome) (n int) {
	for _, l := range looks {
		if l == o {
			n++
		}
	}
	return n
}

func TestTally_NeverPassesWithoutItsPassingLooks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		looks := rapid.SliceOf(anyLook()).Draw(t, "looks")
		wanted := rapid.IntRange(-1, 6).Draw(t, "wanted")
		limit := rapid.IntRange(0, 6).Draw(t, "limit")
		passed, failed := count(looks, gate.Pass), count(looks, gate.Fail)
		switch got := tallied(looks).outcome(wanted, limit); got {
		case gate.Pass:
			if passed < max(wanted, 1) || failed > limit {
				t.Fatalf("passed with %d passing and %d failed looks", passed, failed)
			}
			if decided := without(looks, gate.Unknown); decided[len(decided)-1] != gate.Pass {
				t.Fatal("passed although the newest look that is known failed")
			}
		case gate.Fail:
			if failed <= limit {
				t.Fatalf("failed with %d failed looks", failed)
			}
		case gate.Unknown:
			if failed > limit {
				t.Fatalf("unknown with %d failed looks", failed)
			}
		}
	})
}

func without(looks []gate.Outcome, o gate.Outcome) []gate.Outcome {
	return slices.DeleteFunc(slices.Clone(looks), func(l gate.Outcome) bool { return l == o })
}

func TestTally_IgnoresUnknownLooks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		looks := rapid.SliceOf(anyLook()).Draw(t, "looks")
		wanted := rapid.IntRange(1, 6).Draw(t, "wanted")
		limit := rapid.IntRange(0, 6).Draw(t, "limit")
		with := tallied(looks).outcome(wanted, limit)
		if bare := tallied(without(looks, gate.Unknown)).outcome(wanted, limit); bare != with {
			t.Fatalf("%s with unknown looks, %s without them", with, bare)
		}
	})
}

func TestTally_FailsWhateverTheOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		looks := rapid.SliceOf(anyLook()).Draw(t, "looks")
		shuffled := rapid.Permutation(looks).Draw(t, "shuffled")
		wanted := rapid.IntRange(1, 6).Draw(t, "wanted")
		limit := rapid.IntRange(0, 6).Draw(t, "limit")
		a, b := tallied(looks).outcome(wanted, limit), tallied(shuffled).outcome(wanted, limit)
		if (a == gate.Fail) != (b == gate.Fail) {
			t.Fatalf("%s in one order, %s in another", a, b)
		}
	})
}

func TestOverall_IsItsWorstMetric(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		metrics := rapid.SliceOf(anyLook()).Draw(t, "metrics")
		want := gate.Pass
		switch {
		case slices.Contains(metrics, gate.Fail):
			want = gate.Fail
		case slices.Contains(metrics, gate.Unknown), len(metrics) == 0:
			want = gate.Unknown
		}
		if got := overall(metrics); got != want {
			t.Fatalf("overall(%v) = %s, want %s", metrics, got, want)
		}
	})
}
