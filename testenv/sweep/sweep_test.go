package sweep_test

import (
	"testing"

	"go.uber.org/goleak"

	"switchd/testenv/sweep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSweep_EndsRightWhereverItIsKilled is the short form of what the command
// does: each rollout is killed several times.
func TestSweep_EndsRightWhereverItIsKilled(t *testing.T) {
	ground, err := sweep.NewGround(t.Context(), t.TempDir())
	t.Cleanup(func() {
		if err := ground.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	result, err := ground.Sweep(t.Context(), sweep.Options{AtATime: 12, Kills: 6, Known: sweep.Known(), Say: func(broken string) { t.Error(broken) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(result)
	for _, point := range result.Lacking {
		t.Errorf("nothing was killed %s", point)
	}
}
