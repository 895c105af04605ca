package ledger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// TestCommit_HasOneWriterAGeneration lets twenty operators and the holder of
// the lease change one service at the same time.
func TestCommit_HasOneWriterAGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lease := w.lease(t)
	var mu sync.Mutex
	var generations []uint64
	commits := 0
	wrote := func(change *rollout.Change) {
		mu.Lock()
		defer mu.Unlock()
		commits++
		if change.Live != nil {
			generations = append(generations, change.Live.Generation)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { w.watchSerial(ctx, t) })
	watching.Go(func() { // the engine
		for percent := 0; ctx.Err() == nil; percent = (percent + 1) % 101 {
			s, err := w.Observe(ctx, "web")
			if err != nil {
				continue // the end
			}
			change, _ := shift(percent)(s)
			change.Record = s.Record
			switch err := w.Commit(ctx, lease, change); {
			case err == nil:
				wrote(change)
			case !errors.Is(err, consul.ErrConflict) && ctx.Err() == nil:
				t.Errorf("under the lease: %v", err)
			}
		}
	})
	var operating sync.WaitGroup
	for i := range 20 {
		operating.Go(func() {
			operations := []func(rollout.Situation) (*rollout.Change, error){promote(fmt.Sprintf("r%d", i)), stop, resume, rollback, shift(i)}
			for j := range len(operations) {
				change, err := w.Do(t.Context(), "web", fmt.Sprintf("operator %d", i), operations[(i+j)%len(operations)])
				refusal, refused := errors.AsType[*rollout.Refusal](err)
				switch {
				case err == nil:
					wrote(change)
				case errors.Is(err, consul.ErrConflict):
					if !strings.Contains(err.Error(), "try again") {
						t.Errorf("no way out: %v", err)
					}
				case !refused:
					t.Errorf("operator %d: %v", i, err)
				case refusal.Reason == rollout.Unhealthy && !strings.Contains(err.Error(), "not resumed"):
					// A resume may come after another operator has led users elsewhere.
					t.Errorf("healthy pools were refused: %v", err)
				}
			}
		})
	}
	operating.Wait()
	cancel()
	watching.Wait()
	if commits < 20 {
		t.Errorf("only %d commits were made", commits)
	}
	slices.Sort(generations)
	for i, g := range generations {
		if want := uint64(i) + 2; g != want { // 1 was there before
			t.Fatalf("commit %d wrote generation %d, want %d: %v", i, g, want, generations)
		}
	}
	// A commit that was cut off by the end of the test may have been made.
	if live := w.observe(t).Live; live.Generation-uint64(len(generations)) > 2 {
		t.Errorf("generation %d after %d changes", live.Generation, len(generations)+1)
	}
}

// watchSerial reads live record and serial at one index, again and again:
// they must have been written together, and rise together.
func (w world) watchSerial(ctx context.Context, t *testing.T) {
	var generation uint64
	var serial uint32
	for ctx.Err() == nil {
		entries, err := w.client.List(ctx, w.Keys.LivesAndSerial())
		if err != nil {
			continue // the end
		}
		var live, number consul.Entry
		for _, e := range entries {
			switch e.Key {
			case w.Keys.Live("web"):
				live = e
			case w.Keys.Serial():
				number = e
			}
		}
		if live.Index != number.Index {
			t.Errorf("the live record was written at %d, the serial at %d", live.Index, number.Index)
			return
		}
		record, err1 := pools.ParseLive(live.Value, live.Index)
		now, err2 := ledger.ParseSerial(number.Value)
		if err := errors.Join(err1, err2); err != nil {
			t.Error(err)
			return
		}
		if record.Generation < generation || (record.Generation > generation) != (serial == 0 || after(now, serial)) {
			t.Errorf("generation %d with serial %d came after %d with %d", record.Generation, now, generation, serial)
			return
		}
		generation, serial = record.Generation, now
	}
}

// late is a guard that was asked for before its lease was lost: its writer was
// suspended just before the write.
type late struct{ op consul.Op }

func (l late) Guard() (consul.Op, error) { return l.op, nil }

func TestCommit_OfAFencedWriterChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	lease := w.lease(t)
	operator, err := w.Operate(t.Context(), "suspended")
	if err != nil {
		t.Fatal(err)
	}
	s := w.observe(t)
	change, err := rollback(s)
	if err != nil {
		t.Fatal(err)
	}
	var fences []ledger.Fence
	for _, fence := range []ledger.Fence{lease, operator} {
		guard, err := fence.Guard()
		if err != nil {
			t.Fatal(err)
		}
		fences = append(fences, fence, late{guard})
	}
	before := w.everything(t)
	w.destroySessions(t)
	for i, fence := range fences {
		if err := w.Commit(t.Context(), fence, change); !errors.Is(err, consul.ErrFenced) {
			t.Errorf("fence %d: got %v, want it fenced", i, err)
		}
	}
	if _, err := w.Do(t.Context(), "web", "test", func(s rollout.Situation) (*rollout.Change, error) {
		w.destroySessions(t) // between its look and its write
		return rollback(s)
	}); !errors.Is(err, consul.ErrFenced) {
		t.Errorf("an operator without a session: got %v, want it fenced", err)
	}
	if now := w.everything(t); now != before {
		t.Errorf("was changed from\n%sto\n%s", before, now)
	}
	_ = operator.Close(t.Context()) // it is gone
	if _, err := w.Do(t.Context(), "web", "test", rollback); err != nil {
		t.Errorf("with a lease of its own: %v", err)
	}
}

func TestCommit_IsAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	lease := w.lease(t)
	s := w.observe(t)
	before := w.everything(t)
	refused := errors.New("not like this")
	for name, spoil := range map[string]func(*rollout.Change) error{
		"an old live record":    func(c *rollout.Change) error { c.Live.Index--; return consul.ErrConflict },
		"an old rollout record": func(c *rollout.Change) error { c.Record.Index--; return consul.ErrConflict },
		"a refusal": func(c *rollout.Change) error {
			c.Ready = func(map[string]pools.Pool) error { return refused }
			return refused
		},
	} {
		change, err := rollback(s)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := spoil(change), w.Commit(t.Context(), lease, change); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	change, err := shift(10)(s)
	if err != nil {
		t.Fatal(err)
	}
	change.Live.Weights[spec.Blue]++
	if err := w.Commit(t.Context(), lease, change); err == nil || !strings.Contains(err.Error(), "add up to 100") {
		t.Errorf("a live record that must not be acted on: %v", err)
	}
	if now := w.everything(t); now != before {
		t.Errorf("was changed from\n%sto\n%s", before, now)
	}
}

func TestCommit_AsksThePoolsAnewWhetherItIsReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	change, err := w.Do(t.Context(), "web", "test", func(s rollout.Situation) (*rollout.Change, error) {
		change, err := rollback(s)
		w.node(t, "g1", spec.Green, "2.0.0", api.HealthCritical) // after the look
		return change, err
	})
	refusal, ok := errors.AsType[*rollout.Refusal](err)
	if !ok || refusal.Reason != rollout.Unhealthy || !strings.Contains(refusal.Text, "g1") {
		t.Fatalf("got %+v, %v, want a refusal that names the node", change, err)
	}
	if live := w.observe(t).Live; live.Pool != spec.Blue || live.Generation != 1 {
		t.Errorf("users were led to a pool that can't serve: %+v", live)
	}
}

func TestCommit_KeepsThirtyEndedRollouts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// What can't be read must not keep a rollout from its end.
	w.put(t, w.Keys.History("web", "r-garbage"), "{")
	lease := w.lease(t)
	live := w.observe(t).Live
	const ended = 34
	for i := range ended {
		index := uint64(0)
		if record, err := w.Record(t.Context(), "web"); err != nil {
			t.Fatal(err)
		} else if record != nil {
			index = record.Index
		}
		record := &rollout.Record{ID: "r" + strconv.Itoa(i), Service: "web", Version: "1", Pool: spec.Blue, Phase: rollout.Done, Index: index}
		if err := w.Commit(t.Context(), lease, &rollout.Change{Record: record, Saw: live.Index, What: "done"}); err != nil {
			t.Fatal(err)
		}
		current, err := w.client.Get(t.Context(), w.Keys.Rollout("web"))
		if err != nil {
			t.Fatal(err)
		}
		if past, err := w.client.Get(t.Context(), w.Keys.History("web", record.ID)); err != nil || past.Created != current.Index {
			t.Fatalf("history of %s was written at %d, the record at %d (%v)", record.ID, past.Created, current.Index, err)
		}
		if i == 0 {
			if _, err := w.History(t.Context(), "web"); err == nil || !strings.Contains(err.Error(), w.Keys.History("web", "r-garbage")) {
				t.Errorf("a history that can't be read: %v, want the key", err)
			}
		}
	}
	records, err := w.History(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 30 {
		t.Fatalf("the history has %d records, want 30", len(records))
	}
	for i, r := range records {
		if want := "r" + strconv.Itoa(ended-30+i); r.ID != want {
			t.Fatalf("record %d of the history is %s, want %s", i, r.ID, want)
		}
	}
}

func TestObserve_ReadsEverythingOfOneService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.Observe(t.Context(), "wbe"); !errors.Is(err, ledger.ErrUnknownService) || !strings.Contains(err.Error(), `"wbe"`) {
		t.Errorf("an unknown service: %v", err)
	}
	s := w.observe(t)
	if s.Record != nil || s.Live.Pool != spec.Blue || s.Pools[spec.Green].Passing("2.0.0") != 1 {
		t.Errorf("before a rollout: %+v", s)
	}
	want := map[string][]rollout.Member{spec.Blue: {{Node: "b1", Alive: true}}, spec.Green: {{Node: "g1", Alive: true}, {Node: "g2"}}}
	for colour, members := range want {
		if !slices.Equal(s.Members[colour], members) {
			t.Errorf("members of %s: %+v, want %+v", colour, s.Members[colour], members)
		}
	}
	other := web()
	other.Name, other.DependsOn = "shop", []string{"web"}
	if err := w.Apply(t.Context(), "test", desired(web(), other)); err != nil {
		t.Fatal(err)
	}
	if err := w.Publish(t.Context(), manifest("2.0.0", "a")); err != nil {
		t.Fatal(err)
	}
	w.put(t, w.Keys.Staging("web", "2.0.0", "g1"), `{"rollout":"r1","state":"staged"}`)
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	if s = w.observe(t); !s.Released || s.Reports["g1"].State != rollout.Staged || s.Record.Phase != rollout.Queued {
		t.Errorf("during a rollout: %+v", s)
	}
	if _, err := w.Do(t.Context(), "shop", "test", promote("r2")); err != nil {
		t.Fatal(err)
	}
	shop, err := w.Observe(t.Context(), "shop")
	if err != nil || len(shop.Blockers) != 1 || shop.Blockers[0] != "web 2.0.0 (queued)" || shop.Released {
		t.Errorf("a service that waits for another: %+v (%v)", shop, err)
	}
}

// TestLedger_NamesTheKeyThatCannotBeRead spoils one value after the other.
func TestLedger_NamesTheKeyThatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := w.Publish(t.Context(), manifest("2.0.0", "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Do(t.Context(), "web", "test", promote("r1")); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct{ key, value, want string }{
		{w.Keys.Live("web"), "garbage", "invalid character"},
		{w.Keys.Live("web"), `{"service":"web","pool":"red","version":"1","generation":1}`, `"red"`},
		{w.Keys.Rollout("web"), `{"id":"r1","phase":"levitating"}`, `"levitating"`},
		{w.Keys.Rollout("web"), "[]", "cannot unmarshal"},
		{w.Keys.Spec("web"), "{", "unexpected end"},
		{w.Keys.Serial(), "4294967296", "32 bits"},
	} {
		good, err := w.client.Get(t.Context(), bad.key)
		if err != nil {
			t.Fatal(err)
		}
		w.put(t, bad.key, bad.value)
		before := w.everything(t)
		_, err = w.Do(t.Context(), "web", "test", rollback)
		if err == nil || !strings.Contains(err.Error(), bad.key) || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s with %s: got %v, want the key and %q", bad.key, bad.value, err, bad.want)
		}
		if now := w.everything(t); now != before {
			t.Errorf("%s with %s: something was written", bad.key, bad.value)
		}
		if good.Index != 0 {
			w.put(t, bad.key, string(good.Value))
		} else if err := w.client.Delete(t.Context(), bad.key); err != nil {
			t.Fatal(err)
		}
	}
	// What one node or one publisher has spoiled is in nobody else's way.
	w.put(t, w.Keys.Staging("web", "2.0.0", "g1"), "{")
	w.put(t, w.Keys.Release("web", "2.0.0"), "{}")
	if why := w.observe(t).Reports["g1"].Why; !strings.Contains(why, "unexpected end") {
		t.Errorf("the spoiled report says %q", why)
	}
	if _, err := w.Do(t.Context(), "web", "test", rollback); err != nil {
		t.Errorf("with a spoiled report and manifest: %v", err)
	}
	w.put(t, w.Keys.Environment(), "{")
	if _, err := w.Environment(t.Context()); err == nil || !strings.Contains(err.Error(), w.Keys.Environment()) {
		t.Errorf("environment: %v", err)
	}
}

func TestNewID_IsUniqueAndSortsByTime(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	seen := make(map[string]bool)
	for range 1000 {
		seen[ledger.NewID("web", "1.0.0", now)] = true
	}
	if len(seen) != 1000 {
		t.Errorf("%d of 1000 names differ", len(seen))
	}
	if later := ledger.NewID("web", "1.0.0", now.Add(time.Second)); later < ledger.NewID("web", "1.0.0", now) {
		t.Errorf("%s sorts before what came before it", later)
	}
}

// TestCommit_TakesTheLargestRecord that a rollout may have, at its end, when it
// stands twice in one transaction. Its evidence is for the history alone.
func TestCommit_TakesTheLargestRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.observe(t).Live
	evidence := json.RawMessage(`"` + strings.Repeat("x", 96<<10-2) + `"`)
	record := &rollout.Record{ID: "r1", Service: "web", Version: "1", Pool: spec.Blue, Phase: rollout.Failed, Evidence: evidence}
	for range 120 {
		record.Timeline = append(record.Timeline, rollout.Event{What: strings.Repeat("y", 1<<10-100)})
	}
	if err := w.Commit(t.Context(), w.lease(t), &rollout.Change{Record: record, Saw: live.Index, What: "fail"}); err != nil {
		t.Fatal(err)
	}
	past, err := w.History(t.Context(), "web")
	if err != nil || len(past) != 1 || !bytes.Equal(past[0].Evidence, evidence) {
		t.Fatalf("the history lacks the evidence: %v", err)
	}
	if last, err := w.Record(t.Context(), "web"); err != nil || last == nil || last.Evidence != nil || len(last.Timeline) != 120 {
		t.Fatalf("the last record: %v", err)
	}
}

// TestCommit_EndsARolloutOfAVeryLargePool whose nodes' names leave no room for
// the evidence: the end of a rollout is worth more.
func TestCommit_EndsARolloutOfAVeryLargePool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.observe(t).Live
	record := &rollout.Record{
		ID: "r1", Service: "web", Version: "1", Pool: spec.Blue, Phase: rollout.RolledBack,
		Evidence: json.RawMessage(`"` + strings.Repeat("x", 96<<10-2) + `"`),
	}
	for range 120 {
		record.Timeline = append(record.Timeline, rollout.Event{What: strings.Repeat("y", 1<<10-100)})
	}
	for i := range 2500 {
		record.Members = append(record.Members, fmt.Sprintf("web-%05d.nodes.apps.test", i))
	}
	if err := w.Commit(t.Context(), w.lease(t), &rollout.Change{Record: record, Saw: live.Index, What: "roll back"}); err != nil {
		t.Fatal(err)
	}
	past, err := w.History(t.Context(), "web")
	if err != nil || len(past) != 1 || past[0].Evidence != nil || len(past[0].Members) != 2500 || len(past[0].Timeline) != 120 {
		t.Fatalf("the history: %v", err)
	}
}
