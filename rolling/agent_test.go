package rolling_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/artifact"
	"switchd/consul"
	"switchd/rolling"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestAgent has one Consul for all nodes, each with a service of its own.
func TestAgent(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	for i, test := range []struct {
		name string
		run  func(*node)
	}{
		{"DeploysForTheFirstTime", deploysForTheFirstTime},
		{"ReplacesUnderASlot", replacesUnderASlot},
		{"PutsTheOldVersionBackWhenTheNewOneIsSick", func(n *node) { putsBack(n, "2-sick", "503 Service Unavailable") }},
		{"PutsTheOldVersionBackWhenTheNewOneExits", func(n *node) { putsBack(n, "2-exits", "ended by itself") }},
		{"PutsTheOldVersionBackWhenTheNewOneCannotStart", func(n *node) { putsBack(n, "2-empty", "no such file") }},
		{"RefusesAFirstVersionThatFails", refusesAFirstVersionThatFails},
		{"RefusesAnUnsignedVersionForGood", refusesAnUnsignedVersionForGood},
		{"TriesAFetchAgain", triesAFetchAgain},
		{"OnlyStagesBeforeItsPoolRolls", onlyStagesBeforeItsPoolRolls},
		{"FollowsTheLiveRecordWithoutReports", followsTheLiveRecordWithoutReports},
		{"LeavesItsServiceToTheNextAgent", leavesItsServiceToTheNextAgent},
		{"StartsAgainWhatEnds", startsAgainWhatEnds},
		{"BoundsACrashLoop", boundsACrashLoop},
		{"WaitsForTheQuorumWithoutTakingSlots", waitsForTheQuorumWithoutTakingSlots},
		{"WaitsForItsTurn", waitsForItsTurn},
		{"WaitsForASlotAndGoesOnInANewSession", waitsForASlotAndGoesOnInANewSession},
		{"GoesAheadOfTheQueueWhenItDoesNotPass", goesAheadOfTheQueueWhenItDoesNotPass},
		{"DoesNotStopWithoutItsSlot", doesNotStopWithoutItsSlot},
		{"GivesBackASlotThatIsLeftOver", givesBackASlotThatIsLeftOver},
		{"LetsNoTwinIn", letsNoTwinIn},
		{"RegistersWhatRunsAndNotWhatIsWanted", registersWhatRunsAndNotWhatIsWanted},
		{"RegistersAgainWhatWasDeregistered", registersAgainWhatWasDeregistered},
		{"EndsTheMaintenanceOfAFormerAgent", endsTheMaintenanceOfAFormerAgent},
		{"LeavesAnOperatorsMaintenanceAlone", leavesAnOperatorsMaintenanceAlone},
		{"KeepsTheQuorumWithoutItsJournal", func(n *node) { keepsTheQuorumWithout(n, os.Remove) }},
		{"KeepsTheQuorumWithATornJournal", func(n *node) { keepsTheQuorumWithout(n, tear) }},
		{"DoesNotStopForAHaltedRollout", func(n *node) { doesNotStopFor(n, rollout.Halted) }},
		{"DoesNotStopForARolledBackRollout", func(n *node) { doesNotStopFor(n, rollout.RolledBack) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(newNode(t, server, fmt.Sprintf("web%d", i)))
		})
	}
}

func deploysForTheFirstTime(n *node) {
	n.begin()
	n.roll("r1", "1")
	if report := n.awaitReport("1", rollout.Running); report.Rollout != "r1" {
		n.Errorf("got %+v, want a report to rollout r1", report)
	}
	n.wantServing("1")
	n.wantCatalog("1")
	n.awaitSlotsFree()
	unit := n.journal()
	if unit.Running == nil || unit.Running.Version != "1" || unit.Move != nil || unit.Refused != nil || unit.Name != n.service.Name {
		n.Errorf("the journal has %+v", unit)
	}
}

func replacesUnderASlot(n *node) {
	old := n.deployed("1")
	session := ""
	n.runtime.hook(func(action string) {
		if action != "stop" {
			return
		}
		slot, err := n.consul.Get(n.Context(), n.slotKey())
		if err != nil || slot.Session == "" || string(slot.Value) != nodeName {
			n.Errorf("stopped while the slot is %+v, %v", slot, err)
		}
		session = slot.Session
		if step := n.journal().Move.Step; step != rolling.Stopping {
			n.Errorf("stopped in step %s of the journal", step)
		}
	}, nil)
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Running)
	n.awaitSlotsFree()
	n.nextStart()
	n.wantServing("2")
	n.wantCatalog("2")
	if session == "" {
		n.Error("the old version was never stopped")
	}
	if status, err := n.runtime.Status(n.Context(), old); err != nil || status.Running {
		n.Errorf("the old process: %+v, %v, want it gone", status, err)
	}
	// The report of the former rollout is nobody's any more.
	if entry, err := n.consul.Get(n.Context(), n.reportKey("1")); err != nil || entry.Index != 0 {
		n.Errorf("the former report is %q, %v, want it gone", entry.Value, err)
	}
}

// putsBack has a version fail: the old one is put back, the reason is told, and
// nothing is tried again until another rollout wants it.
func putsBack(n *node, version, why string) {
	n.deployed("1")
	n.service.Roll.HealthyDeadline = spec.Duration(1500 * time.Millisecond)
	n.apply()
	n.roll("r2", version)
	report := n.awaitReport(version, rollout.Broken)
	if report.Rollout != "r2" || !strings.Contains(report.Why, why) {
		n.Errorf("got %+v, want the reason %q", report, why)
	}
	n.awaitSlotsFree()
	n.wantServing("1")
	unit := n.journal()
	if unit.Running.Version != "1" || unit.Move != nil || unit.Refused == nil || unit.Refused.Reason != "r2" {
		n.Errorf("the journal has %+v", unit)
	}
	for len(n.runtime.started) > 0 {
		<-n.runtime.started
	}

	n.end()
	n.begin()
	n.awaitKey(n.reportKey(version), "report of the next agent", func(e consul.Entry) bool { return strings.Contains(string(e.Value), "r2") })
	n.roll("r2", version)
	if got := n.awaitReport(version, rollout.Broken); got.Why != report.Why {
		n.Errorf("after a restart: %q, want %q", got.Why, report.Why)
	}
	n.noStart()

	n.roll("r3", "3")
	n.awaitReport("3", rollout.Running)
	n.wantServing("3")
}

func refusesAFirstVersionThatFails(n *node) {
	n.begin()
	n.roll("r1", "1-exits")
	if report := n.awaitReport("1-exits", rollout.Broken); !strings.Contains(report.Why, filepath.Join(n.root, "logs")) {
		n.Errorf("%q does not name the log", report.Why)
	}
	n.awaitSlotsFree()
	if found := n.processes(); len(found) != 0 {
		n.Errorf("left over: %v", found)
	}
	services, err := n.consul.Service(n.Context(), n.service.Name)
	if err != nil || len(services) != 0 {
		n.Errorf("the catalog still has %v, %v", services, err)
	}
}

func refusesAnUnsignedVersionForGood(n *node) {
	fetches := 0
	n.stage = func(string) error { fetches++; return fmt.Errorf("fetch: %w", artifact.ErrUnsigned) }
	n.begin()
	n.roll("r1", "1")
	if report := n.awaitReport("1", rollout.Broken); !strings.Contains(report.Why, artifact.ErrUnsigned.Error()) {
		n.Errorf("got %+v, want %q", report, artifact.ErrUnsigned)
	}
	n.end()
	if fetches != 1 {
		n.Errorf("fetched %d times, want once", fetches)
	}
}

func triesAFetchAgain(n *node) {
	again := make(chan struct{})
	allow := sync.OnceFunc(func() { close(again) })
	n.Cleanup(allow)
	failed := false
	n.stage = func(string) error {
		if failed {
			<-again
			return nil
		}
		failed = true
		return errors.New("the line is cut")
	}
	n.begin()
	n.roll("r1", "1")
	n.awaitKey(n.reportKey("1"), "reason", func(e consul.Entry) bool { return strings.Contains(string(e.Value), "the line is cut") })
	allow()
	n.awaitReport("1", rollout.Running)
}

func onlyStagesBeforeItsPoolRolls(n *node) {
	n.deployed("1")
	record := rollout.Record{ID: "r2", Service: n.service.Name, Version: "2", Pool: spec.Blue, Phase: rollout.Staging}
	n.record(&record)
	n.awaitReport("2", rollout.Staged)
	n.wantServing("1")
	n.noStart()
	record.Phase = rollout.Rolling
	n.record(&record)
	n.awaitReport("2", rollout.Running)
	n.wantServing("2")
}

func followsTheLiveRecordWithoutReports(n *node) {
	n.peer("peer", true)
	n.live("1", 1)
	n.begin()
	n.awaitServing("1")
	n.live("2", 2)
	n.awaitServing("2")
	n.awaitThat("passing version 2", func() bool { return n.journal().Running.Version == "2" && n.journal().Move == nil })
	n.awaitSlotsFree()
	n.wantCatalog("2")
	if entry, err := n.consul.Get(n.Context(), n.reportKey("2")); err != nil || entry.Index != 0 {
		n.Errorf("reported %q, %v, want nothing", entry.Value, err)
	}
}

func leavesItsServiceToTheNextAgent(n *node) {
	h := n.deployed("1")
	before := n.journalSession()
	n.end()
	n.wantServing("1")
	n.begin()
	n.awaitKey(n.reportKey("1"), "report under the same session", func(e consul.Entry) bool { return e.Session == before })
	n.roll("r1-again", "1")
	n.awaitKey(n.reportKey("1"), "report to the next rollout", func(e consul.Entry) bool { return strings.Contains(string(e.Value), "r1-again") })
	n.noStart()
	if found := n.processes(); len(found) != 1 || found[0] != h {
		n.Errorf("runs %v, want %s, which ran before", found, h)
	}
	if after := n.journalSession(); after != before {
		n.Errorf("the session is %s now, was %s", after, before)
	}
}

func (n *node) journalSession() string {
	n.Helper()
	journal, err := rolling.ReadJournal(n.root)
	must(n.T, err)
	return journal.Session()
}

func startsAgainWhatEnds(n *node) {
	n.killPid(n.deployed("1"))
	h := n.nextStart()
	n.awaitServing("1")
	n.awaitThat("note of the new process", func() bool { return n.journal().Running.Handle == h })
	n.wantServing("1")
	// Also what ends while no agent is there.
	n.end()
	n.killPid(h)
	must(n.T, n.runtime.Wait(n.Context(), h))
	n.begin()
	n.nextStart()
	n.awaitServing("1")
	n.wantServing("1")
}

func boundsACrashLoop(n *node) {
	h := n.deployed("1")
	began := time.Now()
	for range 3 {
		n.killPid(h) // with what supervises it, which would start it again itself
		h = n.nextStart()
	}
	// At once, after one second, after two more.
	if took := time.Since(began); took < 2900*time.Millisecond {
		n.Errorf("three starts took %v, want a growing pause between them", took)
	}
	n.awaitServing("1")
}

func waitsForTheQuorumWithoutTakingSlots(n *node) {
	n.deployed("1")
	before, err := n.consul.Get(n.Context(), n.slotKey())
	must(n.T, err)
	n.peer("peer", false)
	n.roll("r2", "2")
	report := n.awaitReport("2", rollout.Waiting)
	if !strings.Contains(report.Why, "the quorum of 1 would not hold") || !strings.Contains(report.Why, "peer") {
		n.Errorf("waits %q, want the quorum as the reason", report.Why)
	}
	// A change elsewhere in the pool wakes it, and is no reason to write.
	n.peer("peer2", false)
	n.awaitKey(n.reportKey("2"), "new reason", func(e consul.Entry) bool { return strings.Contains(string(e.Value), "peer2") })
	after, err := n.consul.Get(n.Context(), n.slotKey())
	must(n.T, err)
	if after.Locks > before.Locks+1 {
		n.Errorf("the slot was taken %d times in vain, want once at the most", after.Locks-before.Locks)
	}
	n.wantServing("1")
	began := time.Now()
	n.peer("peer", true)
	n.awaitReport("2", rollout.Running)
	if took := time.Since(began); took > 4500*time.Millisecond {
		n.Errorf("went on %v after the quorum held again, want it to be woken", took)
	}
	n.wantServing("2")
}

// other is another node's session in the service.
func (n *node) other() *consul.Session {
	n.Helper()
	session, err := n.consul.NewSession(n.Context(), consul.SessionOptions{Name: "other", TTL: 30 * time.Second, LockDelay: time.Millisecond, Delete: true})
	must(n.T, err)
	n.Cleanup(session.Abandon)
	return session
}

// lock has another session hold a key.
func (n *node) lock(session *consul.Session, key, value string) {
	n.Helper()
	ok, err := session.Acquire(n.Context(), key, []byte(value))
	must(n.T, err)
	if !ok {
		n.Fatalf("%s is held by another session", key)
	}
}

func waitsForItsTurn(n *node) {
	n.deployed("1")
	head := n.other()
	n.lock(head, n.keys.Staging(n.service.Name, "2", "head"), `{"rollout":"r2","state":"staged"}`)
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Staged)
	n.wantServing("1")
	n.wantSlotUntaken()
	// The head dies, and its place in the queue with it.
	must(n.T, head.Close(n.Context()))
	n.awaitReport("2", rollout.Running)
	n.wantServing("2")
}

// wantSlotUntaken fails if anybody holds the slot.
func (n *node) wantSlotUntaken() {
	n.Helper()
	if slot, err := n.consul.Get(n.Context(), n.slotKey()); err != nil || slot.Session != "" {
		n.Errorf("the slot is %+v, %v, want it free", slot, err)
	}
}

func waitsForASlotAndGoesOnInANewSession(n *node) {
	n.deployed("1")
	holder := n.other()
	n.lock(holder, n.slotKey(), "holder")
	n.peer("peer2", true) // the quorum holds without the holder
	n.roll("r2", "2")
	if report := n.awaitReport("2", rollout.Waiting); report.Why != "all slots are taken, by holder" {
		n.Errorf("waits %q, want the slot", report.Why)
	}
	before := n.journalSession()
	_, err := n.consul.API().Session().Destroy(before, nil)
	must(n.T, err)
	n.awaitKey(n.reportKey("2"), "report in a new session", func(e consul.Entry) bool {
		return e.Session != "" && e.Session != before && strings.Contains(string(e.Value), "by holder")
	})
	n.wantServing("1")
	must(n.T, holder.Release(n.Context(), n.slotKey()))
	n.awaitReport("2", rollout.Running)
	n.wantServing("2")
}

// goesAheadOfTheQueueWhenItDoesNotPass has the head of the queue wait for the
// quorum, which only this node, not passing, can bring back.
func goesAheadOfTheQueueWhenItDoesNotPass(n *node) {
	n.service.Roll.Quorum = spec.Nodes(2)
	n.apply()
	n.deployed("1")
	must(n.T, os.Remove(filepath.Join(n.root, "releases", "1", "app"))) // it can't be started again
	n.lock(n.other(), n.keys.Staging(n.service.Name, "2", "head"), `{"rollout":"r2","state":"waiting"}`)
	n.killPid(n.processes()[0])
	n.awaitThat("critical state", func() bool {
		services, err := n.consul.Service(n.Context(), n.service.Name)
		must(n.T, err)
		for _, s := range services {
			if s.Node.Node == nodeName {
				return s.Checks.AggregatedStatus() == "critical"
			}
		}
		return false
	})
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Running)
	n.wantServing("2")
}

// doesNotStopWithoutItsSlot has another node take the slot between this one's
// taking it and the stop.
func doesNotStopWithoutItsSlot(n *node) {
	h := n.deployed("1")
	thief := n.other()
	steal := sync.OnceFunc(func() {
		if err := n.consul.Delete(n.Context(), n.slotKey()); err != nil {
			n.Error(err)
		}
		if ok, err := thief.Acquire(n.Context(), n.slotKey(), []byte("thief")); !ok {
			n.Errorf("the slot can't be stolen: %v", err)
		}
	})
	n.runtime.hook(func(action string) {
		if action == "stop" {
			n.Error("stopped without a slot")
		}
		if move := n.journal().Move; action == "look" && move != nil && move.Step == rolling.Stopping {
			steal()
		}
	}, nil)
	n.roll("r2", "2")
	if report := n.awaitReport("2", rollout.Waiting); report.Why != "the slot was lost" {
		n.Errorf("waits %q, want that the slot was lost", report.Why)
	}
	n.awaitKey(n.reportKey("2"), "wait for the thief", func(e consul.Entry) bool { return strings.Contains(string(e.Value), "thief") })
	if found := n.processes(); len(found) != 1 || found[0] != h {
		n.Errorf("runs %v, want %s", found, h)
	}
}

// givesBackASlotThatIsLeftOver begins with the slot of an agent that was killed
// after its replacement was done and before it gave the slot back.
func givesBackASlotThatIsLeftOver(n *node) {
	n.deployed("1")
	session := n.journalSession()
	n.end()
	_, _, err := n.consul.API().KV().Acquire(&api.KVPair{Key: n.slotKey(), Value: []byte(nodeName), Session: session}, nil)
	must(n.T, err)
	n.begin()
	n.awaitSlotsFree()
	if now := n.journalSession(); now != session {
		n.Errorf("the slot went with its session %s, and was not given back", session)
	}
	n.wantServing("1")
}

func letsNoTwinIn(n *node) {
	n.ttl = 2 * time.Second
	n.deployed("1")
	twin := n.twin()
	twin.begin()
	twin.awaitThat("reason", func() bool {
		return strings.Contains(twin.log.String(), "another agent holds this node's name ("+n.keys.Presence()+nodeName+")")
	})
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Running)
	n.wantServing("2")
	twin.noStart()
	session := n.journalSession()
	n.end()
	n.killAll()
	n.roll("r3", "3")
	twin.awaitReport("3", rollout.Running)
	twin.wantServing("3")
	if twin.journalSession() == session {
		n.Error("the twin goes on with a session that is not its own")
	}
}

func registersWhatRunsAndNotWhatIsWanted(n *node) {
	n.deployed("1")
	port := n.service.Port
	n.service.Port = freePort(n.T, n.address)
	n.apply()
	n.live("1", 1) // the tag changes, so the node registers again
	n.awaitThat("tag live", func() bool {
		services, err := n.consul.Service(n.Context(), n.service.Name)
		must(n.T, err)
		for _, s := range services {
			if s.Node.Node == nodeName {
				return s.Service.Tags[1] == "live"
			}
		}
		return false
	})
	wanted := n.service.Port
	n.service.Port = port
	n.wantServing("1")
	n.wantCatalog("1")
	n.service.Port = wanted
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Running)
	n.wantServing("2")
	n.wantCatalog("2")
}
