package alerts_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"pgregory.net/rapid"

	"switchd/alerts"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
)

// book has one service's rollout in memory, so that thousands of histories can
// be made; its operations are the real ones.
type book struct {
	// asked is told when the record is asked for, and has it given when it is
	// told again; it may be nil.
	asked chan<- struct{}

	mu sync.Mutex
	s  rollout.Situation
}

func newBook(s spec.Service) *book {
	passing := func(node, version string) pools.Pool {
		return pools.Pool{{Node: node, Version: version, Passing: true}}
	}
	return &book{s: rollout.Situation{
		Spec:    s,
		Live:    &pools.Live{Service: s.Name, Pool: spec.Blue, Version: "1.0.0", Generation: 1},
		Pools:   map[string]pools.Pool{spec.Blue: passing("b1", "1.0.0"), spec.Green: passing("g1", "2.0.0")},
		Members: map[string][]rollout.Member{spec.Blue: {{Node: "b1", Alive: true}}, spec.Green: {{Node: "g1", Alive: true}}},
	}}
}

// Record implements alerts.Rollouts.
func (b *book) Record(ctx context.Context, _ string) (*rollout.Record, error) {
	if b.asked != nil {
		b.asked <- struct{}{}
		b.asked <- struct{}{}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s.Record, nil
}

// Do implements alerts.Rollouts.
func (b *book) Do(_ context.Context, _, _ string, operation func(rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, err := operation(b.s)
	if err != nil {
		return nil, err
	}
	if c.Ready != nil {
		if err := c.Ready(b.s.Pools); err != nil {
			return nil, err
		}
	}
	if c.Record != nil {
		b.s.Record = c.Record
	}
	if c.Live != nil {
		b.s.Live = c.Live
	}
	return c, nil
}

// in has a rollout in a phase, and a halter that knows its service.
func (b *book) in(t *testing.T, phase rollout.Phase, change func(*rollout.Situation)) *alerts.Halter {
	t.Helper()
	h := &alerts.Halter{Rollouts: b, Log: discard()}
	if err := h.Know(spec.Environment{Name: "prod"}, b.s.Spec); err != nil {
		t.Fatal(err)
	}
	for _, operation := range []func(rollout.Situation) (*rollout.Change, error){promote, to(phase)} {
		if _, err := b.Do(t.Context(), "web", "test", operation); err != nil {
			t.Fatal(err)
		}
	}
	change(&b.s)
	return h
}

func TestHalter_RollsBackOnlyWhereUsersWereMovedAndCanGoBack(t *testing.T) {
	t.Parallel()
	declared := service("web", spec.Alert{Name: "page", Match: []string{"service=web"}, Then: spec.ThenRollback})
	for name, c := range map[string]struct {
		change    func(*rollout.Situation)
		want, why string
	}{
		"Switched":       {func(*rollout.Situation) {}, "web rolled_back", ""},
		"NotSwitchedYet": {func(s *rollout.Situation) { s.Record.SwitchedAt = time.Time{} }, "web halted", "see http"},
		"FirstRelease": {func(s *rollout.Situation) {
			s.Live.Previous, s.Record.From = pools.Side{}, pools.Side{}
		}, "web halted", "there is no former release"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBook(declared)
			h := b.in(t, rollout.Switching, c.change)
			outcomes, err := h.Take(t.Context(), []alerts.Alert{alert("web", time.Now())})
			if got := effects(t, outcomes, err); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if halt := b.s.Record.Halt; halt != nil && !strings.Contains(halt.Why, c.why) {
				t.Errorf("halt %+v, want %q", halt, c.why)
			}
		})
	}
}

// Of several alerts that fire at once, one that leads users back comes first.
func TestHalter_PrefersARollback(t *testing.T) {
	t.Parallel()
	b := newBook(service("web",
		spec.Alert{Name: "halts", Match: []string{"service=web"}, Then: spec.ThenHalt},
		spec.Alert{Name: "leads-back", Match: []string{"alertname=Down"}, Then: spec.ThenRollback}))
	h := b.in(t, rollout.Baking, func(*rollout.Situation) {})
	down := alert("web", time.Now())
	down.Labels["alertname"] = "Down"
	outcomes, err := h.Take(t.Context(), []alerts.Alert{alert("web", time.Now()), down, alert("web", time.Now())})
	if got := effects(t, outcomes, err); got != "web rolled_back, web standing, web standing" || outcomes[0].Alert != "Down" {
		t.Errorf("got %s", got)
	}
}

func TestHalter_RemembersABoundedNumberOfAlerts(t *testing.T) {
	t.Parallel()
	h := &alerts.Halter{Rollouts: newBook(service("web")), Log: discard()}
	if err := h.Know(spec.Environment{Name: "prod"}, service("web")); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var last alerts.Alert
	for range 2 {
		var many []alerts.Alert
		for i := range 5000 {
			last = alert("web", now.Add(time.Duration(i)*time.Millisecond))
			many = append(many, resolved(last))
		}
		if _, err := h.Take(t.Context(), many); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.Remembered(); got != 4096 {
		t.Errorf("remembers %d, want 4096", got)
	}
	outcomes, err := h.Take(t.Context(), []alerts.Alert{last})
	if got := effects(t, outcomes, err); got != "resolved" {
		t.Errorf("the last one: got %s", got)
	}
}

// TestHalter_KeepsItsPromisesInAnyHistory mixes what people, the engine and
// alerts do, in any order.
func TestHalter_KeepsItsPromisesInAnyHistory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		then := rapid.SampledFrom([]string{spec.ThenHalt, spec.ThenRollback}).Draw(t, "then")
		declared := service("web", spec.Alert{Name: "page", Match: []string{"service={{service}}"}, Then: then})
		b := newBook(declared)
		h := &alerts.Halter{Rollouts: b, Log: discard()}
		if err := h.Know(spec.Environment{Name: "prod"}, declared); err != nil {
			t.Fatal(err)
		}
		hour := time.Now().Add(-time.Hour)
		known := []alerts.Alert{alert("web", hour)} // every one that ever fired
		acted := make(map[string]bool)
		var goAhead time.Time // when somebody last let the rollout go on
		person := func(operation func(rollout.Situation) (*rollout.Change, error)) bool {
			_, err := b.Do(t.Context(), "web", "somebody", operation)
			return err == nil
		}
		for i := range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"promote", "go on", "resume", "fire", "repeat", "repeat", "resolve"}).Draw(t, fmt.Sprintf("step %d", i)) {
			case "promote":
				if b.s.Live.Pool == spec.Blue && person(promote) {
					goAhead = time.Now()
				}
			case "go on":
				if r := b.s.Record; r != nil && !r.Phase.Ended() && r.Phase != rollout.Halted {
					phases := []rollout.Phase{rollout.Staging, rollout.Canary, rollout.Draining, rollout.Baking, rollout.Converging, rollout.Done}
					if !r.SwitchedAt.IsZero() {
						phases = phases[2:]
					}
					person(to(rapid.SampledFrom(phases).Draw(t, "phase")))
				}
			case "resume":
				if person(resume) {
					goAhead = time.Now()
				}
			case "fire":
				a := alert("web", time.Now())
				a.Labels["instance"] = model.LabelValue(fmt.Sprint(i)) // the next one may come within a millisecond
				known = append(known, a)
				take(t, b, h, then, a, goAhead, acted)
			case "repeat":
				take(t, b, h, then, rapid.SampledFrom(known).Draw(t, "alert"), goAhead, acted)
			case "resolve":
				before := b.s.Record
				if _, err := h.Take(t.Context(), []alerts.Alert{resolved(known[0])}); err != nil || b.s.Record != before {
					t.Fatalf("a resolved alert has changed something: %v", err)
				}
			}
		}
	})
}

// take tells an alert and checks what came of it.
func take(t *rapid.T, b *book, h *alerts.Halter, then string, a alerts.Alert, goAhead time.Time, acted map[string]bool) {
	before := b.s
	outcomes, err := h.Take(t.Context(), []alerts.Alert{a})
	if err != nil || len(outcomes) != 1 {
		t.Fatalf("got %+v, %v", outcomes, err)
	}
	effect := outcomes[0].Effect
	changed := b.s.Record != before.Record
	underWay := before.Record != nil && !before.Record.Phase.Ended()
	isNew := underWay && a.StartsAt.After(goAhead)
	switch {
	case changed != (effect == alerts.Halted || effect == alerts.RolledBack):
		t.Fatalf("%s, and the record was changed: %v", effect, changed)
	case changed && (acted[a.ID()] || !isNew):
		t.Fatalf("%s for an alert of %s that is not new (go-ahead %s, acted %v)", effect, a.StartsAt, goAhead, acted[a.ID()])
	case effect == alerts.RolledBack && (then != spec.ThenRollback || before.Record.SwitchedAt.IsZero() || b.s.Live.Pool != spec.Blue):
		t.Fatalf("rolled back with then = %q from %+v to %+v", then, before.Record, b.s.Live)
	case isNew && !acted[a.ID()] && effect != alerts.Resolved && b.s.Record.Phase != rollout.Halted && b.s.Record.Phase != rollout.RolledBack:
		t.Fatalf("the rollout goes on in %s (%s)", b.s.Record.Phase, effect)
	}
	if changed {
		acted[a.ID()] = true
	}
}
