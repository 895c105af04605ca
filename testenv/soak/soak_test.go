package main

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSoak has the short form of what the command does: the first faults of
// the list, each in a rollout of its own.
func TestSoak(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	s := newStorm(t.TempDir(), seed, t.Logf)
	if err := s.soak(t.Context(), 7); err != nil {
		if s.cluster != nil && s.cluster.Group != nil {
			if err := s.cluster.Group.LogTails(t.Output()); err != nil {
				t.Log(err)
			}
		}
		t.Fatal(err)
	}
}
