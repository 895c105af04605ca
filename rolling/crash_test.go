package rolling_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"switchd/artifact"
	"switchd/rolling"
	"switchd/rollout"
	"switchd/runner"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// TestAgent_DiesAnywhere ends the agent at each point of a replacement. The
// next one goes on from the journal and ends as the first would have: with one
// process, its report and no slot held.
func TestAgent_DiesAnywhere(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	for i, test := range []struct{ version, point string }{
		{"2", "stopping, before look"},
		{"2", "stopping, before stop"},
		{"2", "stopping, after stop"},
		{"2", "starting, before start"},
		{"2", "starting, after start"},
		{"2", "proving, before look"},
		{"2-sick", "proving, before look"},
		{"2-sick", "restoring, before stop"},
		{"2-sick", "restoring, after stop"},
		{"2-sick", "restoring, before start"},
		{"2-sick", "restoring, after start"},
		{"2-sick", "restoring, before look"},
	} {
		t.Run(fmt.Sprintf("%s/%s", test.version, strings.ReplaceAll(test.point, ", ", "_")), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, server, fmt.Sprintf("mortal%d", i))
			n.service.Roll.HealthyDeadline = spec.Duration(1500 * time.Millisecond)
			n.apply()
			n.deployed("1")
			n.dieAt(test.point)
			n.roll("r2", test.version)
			n.awaitEnd(test.point)
			n.begin()
			n.wantReplaced(test.version)
		})
	}
}

// dieAt ends the agent once at a point of its work; what is under way then is
// not noted any more.
func (n *node) dieAt(point string) {
	n.Helper()
	n.end()
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.Context()))
	reach := func(when string) func(string) {
		return func(action string) {
			if move := n.journal().Move; move != nil && string(move.Step)+", "+when+" "+action == point {
				cancel()
			}
		}
	}
	n.runtime.hook(reach("before"), reach("after"))
	ended := make(chan error, 1)
	agent := n.agent()
	go func() { ended <- agent.Run(ctx) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			n.Error(err)
		}
		ended <- nil
	})
	n.died = ended
}

// awaitEnd waits for the agent that dieAt ends.
func (n *node) awaitEnd(point string) {
	n.Helper()
	select {
	case err := <-n.died:
		must(n.T, err)
		n.died <- nil
	case <-time.After(patience):
		n.Fatalf("the agent was never at %q", point)
	}
	n.end()
	n.runtime.hook(nil, nil)
}

// wantReplaced waits until the rollout r2 is over on this node, as it should
// be with a version.
func (n *node) wantReplaced(version string) {
	n.Helper()
	runs := version
	if strings.Contains(version, "sick") {
		runs = "1"
		if report := n.awaitReport(version, rollout.Broken); report.Rollout != "r2" || report.Why == "" {
			n.Errorf("got %+v, want a reason", report)
		}
	} else {
		n.awaitReport(version, rollout.Running)
	}
	n.awaitSlotsFree()
	n.wantServing(runs)
	n.awaitThat("passing state in the catalog", func() bool { return n.passes(runs) })
	n.wantCatalog(runs)
	unit := n.journal()
	if unit.Move != nil || unit.Running == nil || unit.Running.Version != runs || (unit.Refused != nil) != (runs == "1") {
		n.Errorf("the journal has %+v", unit)
	}
}

// TestAgent_GoesOnFromAnyJournal begins with journals as kill -9 leaves them,
// also where a process has ended or was started since without a note of it.
func TestAgent_GoesOnFromAnyJournal(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	type left struct {
		old bool // runs
		new bool // runs, and so the old does not
	}
	i := 0
	for _, version := range []string{"2", "2-sick"} {
		for _, step := range []rolling.Step{rolling.Stopping, rolling.Starting, rolling.Proving, rolling.Restoring} {
			for _, what := range []left{{}, {old: true}, {new: true}} {
				if what.old && (step == rolling.Starting || step == rolling.Proving) || what.new && step == rolling.Stopping {
					continue // what no kill can leave behind
				}
				if step == rolling.Restoring && version == "2" || step == rolling.Proving && !what.new {
					continue // other ends than that of the version
				}
				i++
				name := fmt.Sprintf("killed%d", i)
				t.Run(fmt.Sprintf("%s/%s/%+v", version, step, what), func(t *testing.T) {
					t.Parallel()
					n := newNode(t, server, name)
					n.service.Roll.HealthyDeadline = spec.Duration(1500 * time.Millisecond)
					n.apply()
					h := n.deployed("1")
					n.end()
					if !what.old {
						must(t, n.runtime.Runtime.Stop(t.Context(), h, runner.Instance{ID: n.instance(), StopGrace: patience}))
					}
					n.leave(step, version, what.new)
					n.roll("r2", version)
					n.begin()
					n.wantReplaced(version)
				})
			}
		}
	}
}

// leave writes a journal as a killed agent leaves it in a step.
func (n *node) leave(step rolling.Step, version string, started bool) {
	n.Helper()
	dir, err := n.Stage(n.Context(), artifact.Manifest{Version: version}, nil)
	must(n.T, err)
	journal, err := rolling.OpenJournal(n.root, nodeName)
	must(n.T, err)
	unit := journal.Unit(n.unit())
	to := rolling.Run{Version: version, Release: "sha-of-" + version, Dir: dir}
	if started {
		handle, err := n.runtime.Runtime.Start(n.Context(), runner.Instance{
			ID: n.instance(), Version: version, Dir: dir, LogFile: n.root + "/logs/left.log",
			Command: []string{"./app", "--addr", fmt.Sprintf("%s:%d", n.address, n.service.Port)},
		})
		must(n.T, err)
		if step != rolling.Starting { // where it was not noted any more
			to.Handle = handle
		}
	}
	unit.Move = &rolling.Move{Reason: "r2", Service: n.service, Slot: n.slotKey(), Step: step, To: to}
	if step == rolling.Proving {
		unit.Move.Deadline = time.Now() // the agent was away past it
	}
	if step == rolling.Restoring {
		unit.Refused = &rolling.Refusal{Reason: "r2", Why: "it was sick"}
	}
	must(n.T, journal.SetUnit(n.unit(), unit))
}
