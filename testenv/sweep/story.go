package sweep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"switchd/consul"
	"switchd/pools"
	"switchd/rolling"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/intercept"
	"switchd/testenv/load"
)

// The exit statuses that a command which is run again may have.
const (
	statusDone    = 0
	statusBusy    = 7
	statusNothing = 9
)

// patience is what a rollout may take that was killed, on a busy machine.
const patience = 90 * time.Second

// Outcome is what came of one rollout.
type Outcome struct {
	Hit    []Point // of those at which it was to be killed
	Broken []string
	Trace  []Point // the points that it came by, those after left out
}

// Run runs one rollout, killed at some points, and takes it back again. An
// error tells that it did not get there.
func (g *Ground) Run(ctx context.Context, cuts []Point, extra string) (Outcome, error) {
	w := g.newWorld(cuts, extra)
	err := w.story(ctx)
	closeErr := w.close()
	if err == nil {
		err = closeErr
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("%s: %w%s", w.service, err, w.logs())
	}
	w.judgeUsers()
	if text, err := os.ReadFile(filepath.Join(w.dir, "broken")); err == nil {
		w.breaks("%s", text)
	}
	w.addScripts()
	if err := w.history.Check(w.dir); err != nil {
		w.breaks("%v", err)
	}
	outcome := Outcome{Hit: append(w.hit, w.hitByScripts()...), Broken: w.broken, Trace: w.trace}
	if len(outcome.Broken) > 0 {
		outcome.Broken = append(outcome.Broken, w.logs())
	}
	return outcome, nil
}

// story is a promotion, which two gates hold up and a person lets go on, and, when
// that is done, a rollback.
func (w *world) story(ctx context.Context) error {
	if err := w.open(ctx); err != nil {
		return err
	}
	before, err := w.ledger.Live(ctx, w.service)
	if err != nil {
		return err
	}
	if err := w.command(ctx, promote, "promote", "--detach", w.service, newVersion); err != nil {
		return err
	}
	if err := w.migrate(ctx); err != nil {
		return err
	}
	if err := w.consent(ctx); err != nil {
		return err
	}
	if err := await(ctx, patience, func() error { return w.ended(ctx) }); err != nil {
		return err
	}
	// A share for the canary and the switch, whoever has driven them.
	switched := pools.Live{Pool: spec.Green, Version: newVersion, Generation: before.Generation + 2}
	if err := await(ctx, patience, func() error { return w.atRest(ctx, switched) }); err != nil {
		return err
	}
	if err := w.command(ctx, rollback, "rollback", w.service); err != nil {
		return err
	}
	back := pools.Live{Pool: spec.Blue, Version: liveVersion, Generation: before.Generation + 3}
	return await(ctx, patience, func() error { return w.atRest(ctx, back) })
}

// migrate does what the rollout waits for before the roll.
func (w *world) migrate(ctx context.Context) error {
	if err := await(ctx, patience, func() error { return w.heldAt(ctx, spec.PointRoll) }); err != nil {
		return err
	}
	return w.ledger.Consul.Txn(ctx, "migrate", consul.CAS("migrations/"+w.service+"/"+newVersion, []byte("done"), 0))
}

// consent lets the rollout switch.
func (w *world) consent(ctx context.Context) error {
	if err := await(ctx, patience, func() error { return w.heldAt(ctx, spec.PointSwitch) }); err != nil {
		return err
	}
	return w.command(ctx, approve, "approve", w.service, "--gate", "owner")
}

// heldAt tells whether the rollout waits for a gate.
func (w *world) heldAt(ctx context.Context, point string) error {
	record, err := w.ledger.Record(ctx, w.service)
	switch {
	case err != nil:
		return err
	case record == nil:
		return errors.New("nothing was promoted")
	case record.Phase.Ended() || record.Phase == rollout.Halted:
		return w.ended(ctx)
	case record.Held == nil || record.Held.Point != point:
		return fmt.Errorf("the rollout is in %s, not held at %s, and waits %+v", record.Phase, point, record.Wait)
	default:
		return nil
	}
}

// command runs a command to its success. Where it was killed it is run again,
// and may find that it was done.
func (w *world) command(ctx context.Context, who string, args ...string) error {
	text, status, err := w.operate(ctx, who, args...)
	if err != nil {
		return err
	}
	killed := slices.ContainsFunc(w.cuts, func(p Point) bool { return p.Who == who })
	again := killed && (status == statusBusy || status == statusNothing)
	if status != statusDone && !again {
		return fmt.Errorf("%s ended with status %d: %s", who, status, text)
	}
	return nil
}

// ended tells whether the rollout is done. Any other end is a broken promise.
func (w *world) ended(ctx context.Context) error {
	record, err := w.ledger.Record(ctx, w.service)
	switch {
	case err != nil:
		return err
	case record == nil:
		return errors.New("nothing was promoted")
	case record.Phase == rollout.Done:
		return nil
	case record.Phase.Ended() || record.Phase == rollout.Halted:
		w.breaks("the rollout ended %s: %s %+v", record.Phase, record.Outcome, record.Halt)
		return nil
	default:
		return fmt.Errorf("the rollout is in %s and waits %+v", record.Phase, record.Wait)
	}
}

// atRest tells whether everything is as it should be once nothing is under way
// any more.
func (w *world) atRest(ctx context.Context, want pools.Live) error {
	now, err := w.ledger.Observe(ctx, w.service)
	if err != nil {
		return err
	}
	live := now.Live
	if live.Generation > want.Generation {
		w.breaks("a step was done twice: the live record is %+v, want generation %d", live, want.Generation)
		return nil
	}
	if live.Pool != want.Pool || live.Version != want.Version || live.Generation != want.Generation || live.Armed || len(live.Weights) > 0 {
		return fmt.Errorf("live is %+v, want %+v", live, want)
	}
	if n := now.Pools[spec.Green].Passing(newVersion); n != 2 {
		return fmt.Errorf("green is %+v", now.Pools[spec.Green])
	}
	if n := now.Pools[spec.Blue].Passing(liveVersion); n != 1 {
		return fmt.Errorf("blue is %+v", now.Pools[spec.Blue])
	}
	if err := w.recordsAtRest(ctx, now); err != nil {
		return err
	}
	return w.nodesAtRest(ctx)
}

// recordsAtRest looks at what is derived from the records, and at the history.
func (w *world) recordsAtRest(ctx context.Context, now rollout.Situation) error {
	past, err := w.ledger.History(ctx, w.service)
	if err != nil {
		return err
	}
	if len(past) != 1 || past[0].ID != now.Record.ID {
		return fmt.Errorf("the history has %d rollouts: %+v", len(past), past)
	}
	for what, times := range map[string]int{"promoted by": 1, "gates at roll passed: schema": 1, "gates at switch passed: owner": 1, "50 % of answers lead to green": 1, "live record: ": 1, "switched: ": 1, "drained: ": 1} {
		n := 0
		for _, e := range past[0].Timeline {
			if strings.HasPrefix(e.What, what) && !strings.Contains(e.What, "no analysis") {
				n++
			}
		}
		if n != times {
			w.breaks("%q stands %d times in the rollout's history, want %d", what, n, times)
		}
	}
	order, err := w.ledger.Consul.Get(ctx, w.keys.Order(w.service))
	if err != nil {
		return err
	}
	right, err := json.Marshal(rollout.OrderOf(now.Record, now.Live))
	if err != nil {
		return fmt.Errorf("write the order: %w", err)
	}
	if !bytes.Equal(order.Value, right) {
		return fmt.Errorf("the order is %s, want %s", order.Value, right)
	}
	slots, err := w.ledger.Consul.List(ctx, w.keys.Slots(w.service, spec.Green))
	if err != nil {
		return err
	}
	for _, folder := range []string{w.keys.Consents(), w.keys.Bypasses()} {
		words, err := w.ledger.Consul.List(ctx, folder)
		if err != nil {
			return err
		}
		if len(words) > 0 {
			return fmt.Errorf("what was said of an ended rollout is left at %s", words[0].Key)
		}
	}
	if i := slices.IndexFunc(slots, func(e consul.Entry) bool { return e.Session != "" }); i >= 0 {
		return fmt.Errorf("slot %s is held by %s", slots[i].Key, slots[i].Value)
	}
	return nil
}

// nodesAtRest looks at what runs on the nodes, and what they think of it.
func (w *world) nodesAtRest(ctx context.Context) error {
	for node, version := range map[string]string{blueNode: liveVersion, greenNode: newVersion, otherNode: newVersion} {
		pool := spec.Green
		if node == blueNode {
			pool = spec.Blue
		}
		runs, err := os.ReadFile(filepath.Join(w.dir, "runs-"+node))
		if err != nil || strings.TrimSpace(string(runs)) != version {
			return fmt.Errorf("%s runs %q, want %s (%w)", node, runs, version, err)
		}
		journal, err := rolling.ReadJournal(filepath.Join(w.dir, node))
		if err != nil {
			return err
		}
		if unit := journal.Unit(w.service + "-" + pool); unit.Move != nil || unit.Running == nil || unit.Running.Version != version || unit.Refused != nil {
			return fmt.Errorf("the journal of %s has %+v", node, unit)
		}
	}
	return ctx.Err()
}

// judge holds each write of a live record to the promises.
func (w *world) judge(c *intercept.Call) {
	ops, ok := c.Txn()
	if !ok || c.Status != http.StatusOK {
		return
	}
	for _, op := range ops {
		if op.Key != w.keys.Live(w.service) || op.Written == 0 {
			continue
		}
		live, err := pools.ParseLive([]byte(op.Value), op.Written)
		if err != nil {
			w.breaks("a live record was written that can't be read: %v", err)
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), consul.CallTimeout)
		now, err := pools.Read(ctx, w.ledger.Consul, w.service)
		cancel()
		if err != nil {
			w.breaks("the pools could not be read: %v", err)
			continue
		}
		for _, pool := range []string{spec.Blue, spec.Green} {
			if live.Share(pool) > 0 && now[pool].Passing("") < 1 {
				w.breaks("users were led to %s, where %+v: %+v", pool, now[pool], live)
			}
		}
	}
}

// judgeUsers holds what users saw to the promises. That the replica is dead for
// a moment is not what is looked at; there is only one.
func (w *world) judgeUsers() {
	for _, chapter := range w.users.Snapshot() {
		for _, kind := range []load.Kind{load.Connect, load.Read, load.Status} {
			if chapter.Failures[kind].Count > 0 {
				w.breaks("users were led where nobody serves: %s", chapter)
			}
		}
		for _, sample := range chapter.Failures[load.DNS].Samples {
			if strings.Contains(sample.Err.Error(), "NXDOMAIN") || strings.Contains(sample.Err.Error(), "no address") {
				w.breaks("the answer was empty: %v", sample.Err)
			}
		}
		if chapter.Succeeded() == 0 {
			w.breaks("no user was served: %s", chapter)
		}
	}
}

// addScripts adds the fault points that the scripts of the killed agent came by.
func (w *world) addScripts() {
	text, err := os.ReadFile(filepath.Join(w.dir, "passed-"+greenNode))
	if err != nil {
		w.breaks("no script was run: %v", err)
		return
	}
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutSuffix(strings.TrimSpace(line), "-before"); ok {
			w.passed(agent, scripted+name)
		}
	}
}

// hitByScripts are the points that the scripts have cut.
func (w *world) hitByScripts() []Point {
	var hit []Point
	for _, p := range w.cuts {
		file, ok := w.aimed(p)
		if _, err := os.Stat(file); ok && errors.Is(err, os.ErrNotExist) {
			hit = append(hit, p)
		}
	}
	return hit
}

// logs are the ends of the logs of what was killed.
func (w *world) logs() string {
	const most = 6 << 10
	var text strings.Builder
	for _, p := range w.kept {
		log, err := os.ReadFile(p.log)
		if err == nil {
			fmt.Fprintf(&text, "\n--- %s of %s:\n%s", p.who, w.service, log[max(0, len(log)-most):])
		}
	}
	return text.String()
}
