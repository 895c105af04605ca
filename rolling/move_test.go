package rolling_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchd/consul"
	"switchd/rolling"
	"switchd/rollout"
	"switchd/spec"
)

// tear leaves a file as a crash of the file system does.
func tear(path string) error { return os.Truncate(path, 20) }

// keepsTheQuorumWithout has the journal lost while the old version runs and
// passes. The next agent is told of a process by nothing but the machine, and
// the pool loses its other node just before that process would be stopped.
func keepsTheQuorumWithout(n *node, lose func(path string) error) {
	n.ttl = time.Second // nobody goes on with the session of the lost journal
	old := n.deployed("1")
	n.end()
	must(n.T, lose(filepath.Join(n.root, "journal.json")))

	var holds atomic.Bool
	loseQuorum := sync.OnceFunc(func() { n.peer("peer", false) })
	n.runtime.hook(func(action string) {
		if action == "stop" && !holds.Load() {
			n.Error("stopped without the quorum")
		}
		if move := n.journal().Move; action == "look" && move != nil && move.Step == rolling.Stopping {
			loseQuorum()
		}
	}, nil)
	n.roll("r2", "2")
	n.begin()
	if report := n.awaitReport("2", rollout.Waiting); !strings.Contains(report.Why, "the quorum of 1 would not hold") {
		n.Errorf("waits %q, want the quorum as the reason", report.Why)
	}
	n.awaitSlotsFree()
	n.wantServing("1")
	n.wantCatalog("1")
	if found := n.processes(); len(found) != 1 || found[0] != old {
		n.Errorf("runs %v, want %s", found, old)
	}

	holds.Store(true)
	n.peer("peer", true)
	n.awaitReport("2", rollout.Running)
	n.awaitSlotsFree()
	n.wantServing("2")
	n.wantCatalog("2")
}

// doesNotStopFor has the rollout end, in a phase, after the slot was taken for
// it and before the stop.
func doesNotStopFor(n *node, phase rollout.Phase) {
	old := n.deployed("1")
	n.live("1", 1)
	end := sync.OnceFunc(func() {
		n.record(&rollout.Record{ID: "r2", Service: n.service.Name, Version: "2", Pool: spec.Blue, Phase: phase})
	})
	n.runtime.hook(func(action string) {
		if action == "stop" {
			n.Error("stopped for a version that is not wanted any more")
		}
		if move := n.journal().Move; action == "look" && move != nil && move.Step == rolling.Stopping {
			end()
		}
	}, nil)
	n.roll("r2", "2")
	n.awaitThat("word that it was not taken down", func() bool {
		return strings.Contains(n.log.String(), "version 2 is not wanted any more")
	})
	n.awaitKey(n.reportKey("2"), "end of the reports", func(e consul.Entry) bool { return len(e.Value) == 0 })
	n.awaitSlotsFree()
	n.wantServing("1")
	n.wantCatalog("1")
	if found := n.processes(); len(found) != 1 || found[0] != old {
		n.Errorf("runs %v, want %s", found, old)
	}
	unit := n.journal()
	if unit.Move != nil || unit.Maintained || unit.Refused != nil || unit.Running.Version != "1" {
		n.Errorf("the journal has %+v", unit)
	}
}
