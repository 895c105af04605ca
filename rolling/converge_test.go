package rolling_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"switchd/artifact"
	"switchd/consul"
	"switchd/pools"
	"switchd/rolling"
	"switchd/rollout"
	"switchd/runner"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestConvergence has one Consul for all nodes, each with a service of its own.
func TestConvergence(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	for name, run := range map[string]func(*node){
		"TurnsToWhatMostOfThePoolRuns":            turnsToWhatMostRun,
		"OfTwoVersionsTheNewerRelease":            ofTwoVersionsTheNewer,
		"JoinsAPoolWithWhatItRuns":                joinsAPool,
		"DoesNotTurnToWhatWentWrong":              func(n *node) { staysWith(n, rollout.Failed) },
		"HoldsStillWhileItsRolloutIsHalted":       func(n *node) { staysWith(n, rollout.Halted) },
		"LeavesAPoolUnderTheQuorum":               leavesAPool,
		"AdoptsWhatRunsWithoutItsJournal":         adoptsWithoutItsJournal,
		"DrainsBeforeTheStop":                     drainsBeforeTheStop,
		"StopsWhenTheDrainTakesTooLong":           stopsWhenTheDrainTakesTooLong,
		"HoldsWhenTooManyNodesFailed":             holdsWhenTooManyFailed,
		"CountsTheQuorumInPercent":                countsTheQuorumInPercent,
		"LetsTheCanaryGoFirst":                    letsTheCanaryGoFirst,
		"StaggersTheNodes":                        staggersTheNodes,
		"RefusesAServiceWhoseRuntimeItHasNot":     refusesAnUnknownRuntime,
		"TriesAFailedVersionOnceMoreWhenItIsLive": triesAFailedVersionOnceMore,
		"HoldsStillWhileConvergingIsHalted":       holdsWhileConvergingIsHalted,
		"KeepsTheFormerVersionUntilTheBakeEnds":   keepsTheFormerVersion,
		"LetsOthersGoWhenThereIsNoWayBack":        noWayBack,
		"ReplacesWhatHangsOnALivePool":            replacesWhatHangs,
		"TakesNoSlotForNothing":                   takesNoSlotForNothing,
		"FetchesALostReleaseAgain":                fetchesALostRelease,
		"TriesAgainWhatTheNodeWasUnfitFor":        triesAgainWhenMended,
		"LooksAgainWhenNobodyPassed":              looksAgainWhenNobodyPassed,
		"PreloadsBeforeItIsStaged":                preloadsBeforeItIsStaged,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(newNode(t, server, strings.ToLower(name)))
		})
	}
}

// done ends the rollout that the node has followed.
func (n *node) done() {
	n.Helper()
	ended := *n.rollout
	ended.Phase = rollout.Done
	n.record(&ended)
}

func turnsToWhatMostRun(n *node) {
	n.deployed("1")
	n.peerRunning("peer", "2")
	n.peerRunning("peer2", "2")
	n.done()
	n.awaitServing("2")
	n.awaitThat("passing version 2", func() bool { return n.passes("2") })
	n.awaitSlotsFree()
	if entry, err := n.consul.Get(n.Context(), n.reportKey("2")); err != nil || entry.Index != 0 {
		n.Errorf("reported %q, %v, want nothing: nobody waits for it", entry.Value, err)
	}
}

func ofTwoVersionsTheNewer(n *node) {
	n.deployed("2")
	n.peerRunning("peer", "1")
	n.done()
	// Its own version is the newer one of two with as many nodes.
	n.awaitKey(n.reportKey("2"), "end of the reports", func(e consul.Entry) bool { return e.Index == 0 })
	n.wantServing("2")
	n.peerRunning("peer", "3")
	n.end()
	n.begin()
	n.awaitServing("3")
}

func joinsAPool(n *node) {
	n.peerRunning("peer", "1")
	n.record(nil)
	n.begin()
	n.awaitServing("1")
	n.awaitThat("passing version 1", func() bool { return n.passes("1") })
}

// staysWith has most of the pool run the version of a rollout that did not go
// through.
func staysWith(n *node, phase rollout.Phase) {
	h := n.deployed("1")
	n.peerRunning("peer", "2")
	n.peerRunning("peer2", "2")
	n.record(&rollout.Record{ID: "r2", Service: n.service.Name, Version: "2", Pool: spec.Blue, Phase: phase})
	n.awaitKey(n.reportKey("1"), "end of the reports", func(e consul.Entry) bool { return e.Index == 0 })
	n.end()
	n.begin()
	n.awaitThat("a look at the order", func() bool { return n.registered() != nil })
	n.noMoveFor(time.Second)
	if found := n.processes(); len(found) != 1 || found[0] != h {
		n.Errorf("runs %v, want %s", found, h)
	}
}

// noMoveFor fails if the node begins a replacement within a time: that nothing
// happens can't be awaited.
func (n *node) noMoveFor(d time.Duration) {
	n.Helper()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if move := n.journal().Move; move != nil {
			n.Fatalf("replaces what runs: %+v", move)
		}
	}
}

func leavesAPool(n *node) {
	h := n.deployed("1")
	n.live("1", 1)
	n.done()
	n.peer("peer", false)
	n.service.Pools[spec.Blue] = spec.Pool{Nodes: []string{"peer"}}
	n.apply()
	// The quorum doesn't let it go yet.
	n.awaitThat("word of the quorum", func() bool { return strings.Contains(n.log.String(), "the quorum of 1 would not hold") })
	if found := n.processes(); len(found) != 1 || found[0] != h {
		n.Errorf("runs %v, want %s", found, h)
	}
	n.peer("peer", true)
	n.awaitThat("end of the service", func() bool { return len(n.processes()) == 0 })
	n.awaitThat("end of the registration", func() bool { return n.registered() == nil })
	n.awaitThat("end of the journal's entry", func() bool { return n.journal().Name == "" })
	n.awaitSlotsFree()
	// And back again.
	n.service.Pools[spec.Blue] = spec.Pool{Nodes: []string{nodeName, "peer"}}
	n.apply()
	n.awaitServing("1")
}

func adoptsWithoutItsJournal(n *node) {
	h := n.deployed("1")
	n.live("1", 1)
	n.done()
	n.end()
	must(n.T, os.Remove(filepath.Join(n.root, "journal.json")))
	n.begin()
	n.awaitThat("new journal", func() bool { u := n.journal(); return u.Running != nil })
	if u := n.journal(); u.Running.Handle != h || u.Running.Version != "1" || u.Running.Release != "sha-of-1" {
		n.Errorf("the journal has %+v, want what runs", u.Running)
	}
	n.noStart()
	n.wantServing("1")
}

// connect opens a connection to the service that stays.
func (n *node) connect() net.Conn {
	n.Helper()
	conn, err := new(net.Dialer).DialContext(n.Context(), "tcp", net.JoinHostPort(n.address, strconv.Itoa(n.service.Port)))
	must(n.T, err)
	n.Cleanup(func() { _ = conn.Close() })
	return conn
}

// onLivePool has the version run in the live pool, with a drain.
func (n *node) onLivePool(version string, timeout time.Duration) {
	n.Helper()
	n.service.Roll.DrainTimeout = spec.Duration(timeout)
	n.service.Switch.TTL = spec.Duration(50 * time.Millisecond)
	n.apply()
	n.deployed(version)
	n.live(version, 1)
	n.done()
}

func drainsBeforeTheStop(n *node) {
	n.onLivePool("1", patience)
	conn := n.connect()
	stopped := make(chan struct{}, 1)
	n.runtime.hook(func(action string) {
		if action == "stop" {
			stopped <- struct{}{}
		}
	}, nil)
	n.live("2", 2)
	n.awaitThat("maintenance in the catalog", n.maintained)
	select {
	case <-stopped:
		n.Error("stopped while a connection was open")
	case <-time.After(500 * time.Millisecond): // ten times the TTL
	}
	n.wantServing("1")
	must(n.T, conn.Close())
	n.awaitServing("2")
	n.awaitThat("passing version 2", func() bool { return n.passes("2") })
}

func stopsWhenTheDrainTakesTooLong(n *node) {
	n.onLivePool("1", 700*time.Millisecond)
	n.connect()
	n.live("2", 2)
	n.awaitServing("2")
	if !strings.Contains(n.log.String(), "connections are still open") {
		n.Error("nothing tells of the connection that was cut")
	}
}

func holdsWhenTooManyFailed(n *node) {
	n.deployed("1")
	other := n.other()
	n.lock(other, n.keys.Staging(n.service.Name, "2", "sick"), `{"rollout":"r2","state":"failed"}`)
	n.roll("r2", "2")
	if report := n.awaitReport("2", rollout.Waiting); report.Why != "1 nodes failed, max_failures is 0" {
		n.Errorf("waits %q, want the failures", report.Why)
	}
	n.wantServing("1")
	n.service.Roll.MaxFailures = 1
	n.apply()
	n.awaitReport("2", rollout.Running)
}

func countsTheQuorumInPercent(n *node) {
	n.deployed("1")
	n.service.Pools[spec.Blue] = spec.Pool{Nodes: []string{nodeName, "peer", "away"}}
	n.service.Roll.Quorum = spec.Count{N: 67, Percent: true} // of three: all of them
	n.apply()
	n.roll("r2", "2")
	if report := n.awaitReport("2", rollout.Waiting); !strings.Contains(report.Why, "the quorum of 3 would not hold") {
		n.Errorf("waits %q, want the quorum", report.Why)
	}
	n.service.Roll.Quorum = spec.Count{N: 33, Percent: true} // of three: one
	n.apply()
	n.awaitReport("2", rollout.Running)
}

func letsTheCanaryGoFirst(n *node) {
	n.service.Roll.MaxUnavailable, n.service.Roll.CanaryNodes = spec.Nodes(5), 1
	n.apply()
	n.deployed("1")
	head := n.other()
	key := n.keys.Staging(n.service.Name, "2", "canary")
	n.lock(head, key, `{"rollout":"r2","state":"replacing"}`)
	n.lock(head, n.slotKey(), "canary")
	n.roll("r2", "2")
	if report := n.awaitReport("2", rollout.Waiting); report.Why != "all slots are taken, by canary" {
		n.Errorf("waits %q, want the canary, though five may be down at a time", report.Why)
	}
	n.wantServing("1")
	n.lock(head, key, `{"rollout":"r2","state":"running"}`)
	must(n.T, head.Release(n.Context(), n.slotKey()))
	n.awaitReport("2", rollout.Running)
}

func staggersTheNodes(n *node) {
	const stagger = 1500 * time.Millisecond
	n.service.Roll.Stagger = spec.Duration(stagger)
	n.apply()
	n.deployed("1")
	first := n.other()
	n.lock(first, n.keys.Staging(n.service.Name, "2", "first"), `{"rollout":"r2","state":"running"}`)
	var stopped time.Time
	n.runtime.hook(func(action string) {
		if action == "stop" {
			stopped = time.Now()
		}
	}, nil)
	began := time.Now()
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Running)
	if took := stopped.Sub(began); took < stagger {
		n.Errorf("taken down %v after another node, want %v at least", took, stagger)
	}
}

func refusesAnUnknownRuntime(n *node) {
	n.deployed("1")
	n.service.Runtime.Kind = "lambda"
	n.apply()
	n.roll("r2", "2")
	if report := n.awaitReport("2", rollout.Broken); !strings.Contains(report.Why, `runtime "lambda": this agent has no such runtime; it has process`) {
		n.Errorf("got %q, want the runtimes that it has", report.Why)
	}
	n.wantServing("1")
}

// triesAFailedVersionOnceMore has a version that failed in its rollout become
// live on the strength of the other nodes: it is tried once more, and then not
// in a loop.
func triesAFailedVersionOnceMore(n *node) {
	n.deployed("1")
	n.service.Roll.HealthyDeadline = spec.Duration(time.Second)
	n.apply()
	n.roll("r2", "2-exits")
	n.awaitReport("2-exits", rollout.Broken)
	n.awaitSlotsFree()
	n.live("2-exits", 1)
	n.done()
	n.awaitThat("second refusal", func() bool {
		refused := n.journal().Refused
		return refused != nil && refused.Reason == "2-exits is live on blue" && n.journal().Move == nil
	})
	n.live("2-exits", 2) // as a change of weights makes it
	n.noMoveFor(time.Second)
	n.wantServing("1")
}

// onGreen has green live with version 2, and blue be the former pool of a
// rollout in some phase.
func (n *node) onGreen(phase rollout.Phase, halt *rollout.Halt) {
	n.Helper()
	n.liveRecord = &pools.Live{Service: n.service.Name, Pool: spec.Green, Version: "2", Generation: 2}
	n.record(&rollout.Record{
		ID: "r2", Service: n.service.Name, Version: "2", Pool: spec.Green, Phase: phase, Halt: halt,
		From: pools.Side{Pool: spec.Blue, Version: "1"}, SwitchedAt: time.Now(),
	})
}

func holdsWhileConvergingIsHalted(n *node) {
	h := n.deployed("1")
	n.peerRunning("peer", "2")
	n.peerRunning("peer2", "2")
	n.onGreen(rollout.Halted, &rollout.Halt{Phase: rollout.Converging})
	n.awaitKey(n.reportKey("1"), "end of the reports", func(e consul.Entry) bool { return e.Index == 0 })
	n.noMoveFor(time.Second)
	if found := n.processes(); len(found) != 1 || found[0] != h {
		n.Errorf("runs %v, want %s", found, h)
	}
}

// keepsTheFormerVersion has most of the former pool run something else during
// the bake: stragglers that came back.
func keepsTheFormerVersion(n *node) {
	n.deployed("1")
	n.peerRunning("peer", "0")
	n.peerRunning("peer2", "0")
	n.onGreen(rollout.Baking, nil)
	n.awaitKey(n.reportKey("1"), "end of the reports", func(e consul.Entry) bool { return e.Index == 0 })
	n.noMoveFor(time.Second)
	n.wantServing("1")
	// A node that runs something else itself turns to it.
	n.deploysAnew("0")
	n.onGreen(rollout.Baking, nil)
	n.awaitServing("1")
}

// deploysAnew has another version running.
func (n *node) deploysAnew(version string) {
	n.Helper()
	n.roll("r-"+version+"-again", version)
	n.awaitReport(version, rollout.Running)
	n.awaitSlotsFree()
	n.wantServing(version)
}

func noWayBack(n *node) {
	n.deployed("1")
	n.service.Roll.HealthyDeadline = spec.Duration(time.Second)
	n.apply()
	must(n.T, os.Remove(filepath.Join(n.root, "releases", "1", "app")))
	n.roll("r2", "2-sick")
	report := n.awaitReport("2-sick", rollout.Broken)
	if !strings.Contains(report.Why, "503 Service Unavailable") || !strings.Contains(report.Why, "the former version can't be started again") {
		n.Errorf("got %q, want both reasons", report.Why)
	}
	n.awaitSlotsFree()
	n.roll("r3", "3")
	n.awaitReport("3", rollout.Running)
	n.wantServing("3")
}

// replacesWhatHangs has the quorum be lost already: only the node that hangs
// can bring it back.
func replacesWhatHangs(n *node) {
	n.service.Roll.Quorum = spec.Nodes(2)
	n.service.Roll.DrainTimeout = spec.Duration(patience)
	n.apply()
	n.peer("peer2", true)
	h := n.deployed("1")
	n.live("1", 1)
	n.done()
	n.hang(h)
	n.peer("peer2", false)
	n.awaitThat("critical state", func() bool { return !n.passes("1") })
	n.live("2", 2)
	n.awaitServing("2")
}

// hang stops the service, and not its shim.
func (n *node) hang(h runner.Handle) {
	n.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid(h)))
	must(n.T, err)
	stopped := 0
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		must(n.T, err)
		for child := range strings.FieldsSeq(string(text)) {
			id, err := strconv.Atoi(child)
			must(n.T, err)
			must(n.T, syscall.Kill(id, syscall.SIGSTOP))
			stopped++
		}
	}
	if stopped == 0 {
		n.Fatal("the shim has no service")
	}
}

// takesNoSlotForNothing has the pool turn to another version while this node
// waits for the quorum to turn to the first one.
func takesNoSlotForNothing(n *node) {
	n.deployed("1")
	n.peerRunning("peer", "2")
	n.peerRunning("peer2", "2")
	n.service.Roll.Quorum = spec.Nodes(3)
	n.apply()
	n.done()
	n.awaitThat("wait for the quorum", func() bool { return strings.Contains(n.journal().Waits, "the quorum of 3 would not hold") })
	for _, peer := range []string{"peer", "peer2", "peer3"} {
		n.peerRunning(peer, "1")
	}
	n.awaitThat("end of the wait", func() bool { return n.journal().Waits == "" })
	if slot, err := n.consul.Get(n.Context(), n.slotKey()); err != nil || slot.Locks > 5 {
		n.Errorf("the slot was taken %d times, %v", slot.Locks, err)
	}
	n.wantServing("1")
}

func fetchesALostRelease(n *node) {
	n.deployed("1")
	n.live("1", 1)
	n.done()
	n.end()
	n.killAll()
	must(n.T, os.RemoveAll(filepath.Join(n.root, "releases")))
	n.begin()
	n.awaitServing("1")
}

func triesAgainWhenMended(n *node) {
	n.peer("peer", true)
	n.stage = func(string) error { return artifact.ErrTooLarge }
	n.live("1", 1)
	n.begin()
	n.awaitThat("refusal", func() bool { return strings.Contains(n.log.String(), "version refused") })
	n.end()
	n.stage = func(string) error { return nil }
	n.begin()
	n.awaitServing("1")
}

func looksAgainWhenNobodyPassed(n *node) {
	n.register("peer", "1", false)
	n.record(nil)
	n.begin()
	n.noMoveFor(500 * time.Millisecond)
	n.register("peer", "1", true)
	n.awaitServing("1")
}

// memory is a preloader that tells what is in it.
type memory struct {
	mu     sync.Mutex
	loaded map[string]bool
	fail   error
}

func (m *memory) May(spec.Preload, int64) error                           { return nil }
func (m *memory) Can(context.Context, string, spec.Preload, string) error { return m.fail }

func (m *memory) Load(_ context.Context, id string, _ spec.Preload, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loaded[id] = true
	return nil
}

func (m *memory) Unload(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.loaded, id)
	return nil
}

// versions are those that are loaded.
func (m *memory) versions() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var versions []string
	for id := range m.loaded {
		versions = append(versions, strings.Split(id[strings.LastIndexByte(id, ':')+1:], "-")[0])
	}
	slices.Sort(versions)
	return strings.Join(versions, " ")
}

func preloadsBeforeItIsStaged(n *node) {
	n.memory = &memory{loaded: make(map[string]bool)}
	n.service.Preload = &spec.Preload{Kind: spec.PreloadLock, Files: []string{"app"}}
	n.apply()
	n.deployed("1")
	if got := n.memory.versions(); got != "1" {
		n.Errorf("%q is loaded, want 1", got)
	}
	staging := rollout.Record{ID: "r2", Service: n.service.Name, Version: "2", Pool: spec.Blue, Phase: rollout.Staging}
	n.record(&staging)
	n.awaitReport("2", rollout.Staged)
	if got := n.memory.versions(); got != "1 2" {
		n.Errorf("%q is loaded while both versions are needed, want 1 2", got)
	}
	n.roll("r2", "2")
	n.awaitReport("2", rollout.Running)
	n.awaitThat("end of the old version in memory", func() bool { return n.memory.versions() == "2" })

	// What never runs is let go of, also by the next agent.
	staging = rollout.Record{ID: "r3", Service: n.service.Name, Version: "3", Pool: spec.Blue, Phase: rollout.Staging}
	n.record(&staging)
	n.awaitReport("3", rollout.Staged)
	n.end()
	staging.Phase = rollout.Failed
	n.record(&staging)
	n.begin()
	n.awaitThat("end of what did not run", func() bool { return n.memory.versions() == "2" })

	n.memory.fail = errors.New("RLIMIT_MEMLOCK is too low")
	n.roll("r4", "4")
	if report := n.awaitReport("4", rollout.Broken); !strings.Contains(report.Why, "RLIMIT_MEMLOCK is too low") {
		n.Errorf("got %q, want the limit", report.Why)
	}
	n.wantServing("2")
}

func TestConnections_CountOnlyTheServicesOwn(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = listener.Close() }()
	port := listener.Addr().(*net.TCPAddr).Port
	count := func() int {
		t.Helper()
		n, err := rolling.Connections(port)
		must(t, err)
		return n
	}
	if got := count(); got != 0 {
		t.Errorf("%d connections before there is any", got)
	}
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	must(t, err)
	accepted, err := listener.Accept()
	must(t, err)
	if got := count(); got != 1 {
		t.Errorf("%d connections, want the one", got)
	}
	must(t, conn.Close())
	must(t, accepted.Close())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for count() != 0 {
		if ctx.Err() != nil {
			t.Fatal("a closed connection is still counted")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
