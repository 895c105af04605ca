package rolling_test

import (
	"testing"
	"time"

	"switchd/rolling"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestAgent_GivesNoMoreTimeWhenItsClockIsSetBack begins with the journal of an
// agent whose clock was an hour ahead when it noted until when its version must
// be healthy. A version that is sick must fail as soon as with a right clock.
func TestAgent_GivesNoMoreTimeWhenItsClockIsSetBack(t *testing.T) {
	t.Parallel()
	n := newNode(t, devconsul.Start(t, nil), "setback")
	n.service.Roll.HealthyDeadline = spec.Duration(1500 * time.Millisecond)
	n.apply()
	h := n.deployed("1")
	n.end()
	n.killPid(h)
	n.leave(rolling.Proving, "2-sick", true)
	journal, err := rolling.OpenJournal(n.root, nodeName)
	must(t, err)
	unit := journal.Unit(n.unit())
	unit.Move.Deadline = time.Now().Add(time.Hour)
	must(t, journal.SetUnit(n.unit(), unit))
	n.roll("r2", "2-sick")
	n.begin()
	n.wantReplaced("2-sick")
}
