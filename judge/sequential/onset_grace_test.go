package sequential_test

import (
	"testing"

	"switchd/judge/sequential"
)

// While a ratio is within the grace, it neither gains nor loses: what was staked on it
// is still there when the grace is over.
func TestOnset_WaitsWhileThereIsGrace(t *testing.T) {
	t.Parallel()
	twice := sequential.Look{Experiment: sequential.Sample{Bad: 40, Total: 10000}, Control: sequential.Sample{Bad: 20, Total: 10000}}
	observe := func(o *sequential.Onset, grace float64) {
		if err := o.Observe(twice, 1.1, grace, sequential.Noise{}); err != nil {
			t.Fatal(err)
		}
	}
	waited, direct := sequential.NewOnset(), sequential.NewOnset()
	for range 3 {
		observe(waited, 20)
	}
	if waited.LogE != 0 {
		t.Errorf("got log E %v of looks within the grace, want 0", waited.LogE)
	}
	for range 3 {
		observe(waited, 1)
		observe(direct, 1)
	}
	if direct.LogE <= 1 || waited.LogE < direct.LogE-0.5 {
		t.Errorf("got log E %v after the grace, and %v without one", waited.LogE, direct.LogE)
	}
}

func TestOnset_RefusesAGraceThatNarrows(t *testing.T) {
	t.Parallel()
	if err := sequential.NewOnset().Observe(sequential.Look{}, 1.1, 0.5, sequential.Noise{}); err == nil {
		t.Error("a grace of 0.5 was taken")
	}
}

// However long noise lasts, it is not believed to be what no noise ever was.
func TestOnset_TellsAGrossDifferenceFromLastingNoise(t *testing.T) {
	t.Parallel()
	o, noise := sequential.NewOnset(), sequential.Lasting(0.3, 0.99)
	gross := sequential.Look{Experiment: sequential.Sample{Bad: 50, Total: 50}, Control: sequential.Sample{Bad: 0.25, Total: 50}}
	looks := 0
	for ; o.LogE < sequential.Threshold(0.001) && looks < 20; looks++ {
		if err := o.Observe(gross, 1.1, 1, noise); err != nil {
			t.Fatal(err)
		}
	}
	if looks > 2 {
		t.Errorf("200 times as many bad events took %d looks", looks)
	}
}
