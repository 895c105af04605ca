package rollout_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain draws more and longer histories than rapid does by default: the
// planner is cheap, and its faults are rare interleavings.
func TestMain(m *testing.M) {
	given := false
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" || f.Name == "rapid.steps" })
	if !given {
		for name, value := range map[string]string{"rapid.checks": "2000", "rapid.steps": "80"} {
			if err := flag.Set(name, value); err != nil {
				panic(err)
			}
		}
	}
	goleak.VerifyTestMain(m)
}
