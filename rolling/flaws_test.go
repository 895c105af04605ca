package rolling_test

import (
	"strings"
	"testing"
	"time"

	"switchd/artifact"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestFlaws keeps out what was once wrong.
func TestFlaws(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	for name, run := range map[string]func(*node){
		"RestsWhileARolloutIsHalted":         restsWhileHalted,
		"LetsGoOfAVersionThatFailed":         letsGoOfWhatFailed,
		"RunsNothingUnderAnotherName":        runsNothingUnderAnotherName,
		"LeavesMaintenanceAloneWhenItCantGo": leavesMaintenanceWhenItCantGo,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(newNode(t, server, strings.ToLower(name)))
		})
	}
}

// restsWhileHalted counts the looks at the process, which come with each turn.
func restsWhileHalted(n *node) {
	n.deployed("1")
	looks := 0
	n.record(&rollout.Record{ID: "r2", Service: n.service.Name, Version: "2", Pool: spec.Blue, Phase: rollout.Halted})
	n.noMoveFor(time.Second)
	n.runtime.hook(func(action string) {
		if action == "look" {
			looks++
		}
	}, nil)
	n.noMoveFor(2 * time.Second)
	n.end()
	if looks > 4 {
		n.Errorf("looked %d times in 2 s at what does not change", looks)
	}
}

func letsGoOfWhatFailed(n *node) {
	n.memory = &memory{loaded: make(map[string]bool)}
	n.service.Preload = &spec.Preload{Kind: spec.PreloadLock, Files: []string{"app"}}
	n.service.Roll.HealthyDeadline = spec.Duration(time.Second)
	n.apply()
	n.deployed("1")
	n.roll("r2", "2-sick")
	n.awaitReport("2-sick", rollout.Broken)
	n.awaitSlotsFree()
	n.record(&rollout.Record{ID: "r2", Service: n.service.Name, Version: "2-sick", Pool: spec.Blue, Phase: rollout.Failed})
	n.awaitThat("end of what failed, in memory", func() bool { return n.memory.versions() == "1" })
	n.roll("r3", "3")
	n.awaitReport("3", rollout.Running)
	n.awaitThat("only the new version in memory", func() bool { return n.memory.versions() == "3" })
}

// runsNothingUnderAnotherName has a signed manifest be filed as another version.
func runsNothingUnderAnotherName(n *node) {
	n.deployed("1")
	n.manifest = func(m *artifact.Manifest) { m.Version = "1" }
	n.roll("r2", "2")
	if report := n.awaitReport("2", rollout.Broken); !strings.Contains(report.Why, "the manifest is of") {
		n.Errorf("got %q, want the two names", report.Why)
	}
	n.wantServing("1")
}

// leavesMaintenanceWhenItCantGo has the quorum refuse a node that an operator
// is at work on.
func leavesMaintenanceWhenItCantGo(n *node) {
	n.deployed("1")
	n.peer("peer", false)
	n.service.Roll.Quorum = spec.Nodes(2)
	n.apply()
	n.runtime.hook(func(action string) {
		if move := n.journal().Move; action == "look" && move != nil {
			n.record(&rollout.Record{ID: "r2", Service: n.service.Name, Version: "2", Pool: spec.Blue, Phase: rollout.Halted})
		}
	}, nil)
	n.maintain("a new disk")
	n.roll("r2", "2")
	n.awaitThat("word that it was not taken down", func() bool { return strings.Contains(n.log.String(), "not taken down") })
	n.awaitSlotsFree()
	if !n.maintained() {
		n.Errorf("the catalog has %+v, want it in maintenance", n.registered())
	}
}
