package driver_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchd/consul"
	"switchd/driver"
	"switchd/ledger"
	"switchd/notify"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// inbox is where people are told.
type inbox struct {
	mu    sync.Mutex
	got   []string
	news  chan struct{}
	block chan struct{} // nil, or nobody is told before it is closed
}

// Send implements notify.Sender.
func (i *inbox) Send(ctx context.Context, to notify.Address, m notify.Message) error {
	if i.block != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-i.block:
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	// Notices that come together are one message.
	for line := range strings.SplitSeq(m.Title+"\n"+m.Text, "\n") {
		if strings.HasPrefix(line, "[") && strings.Contains(line, "] web ") {
			i.got = append(i.got, to.Kind()+" "+line)
			i.news <- struct{}{}
		}
	}
	return nil
}

// all waits for a number of notices, and for a moment in which there is no other.
func (i *inbox) all(t *testing.T, n int) []string {
	t.Helper()
	for range n {
		select {
		case <-i.news:
		case <-time.After(20 * time.Second):
			t.Fatalf("no more than %q after 20 s", i.got)
		}
	}
	select {
	case <-i.news:
		t.Fatalf("one too many: %q", i.got)
	case <-time.After(300 * time.Millisecond):
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	got := slices.Clone(i.got)
	i.got = nil
	slices.Sort(got)
	return got
}

// noticed is an environment with a service whose owner is told.
type noticed struct {
	*driver.World

	registry *prometheus.Registry
	inbox    *inbox
	log      *lines
}

func newNoticed(t *testing.T, server *devconsul.Lone, env string, events []string, addresses ...string) *noticed {
	t.Helper()
	n := &noticed{inbox: &inbox{news: make(chan struct{}, 100)}, registry: prometheus.NewRegistry(), log: &lines{}}
	log := slog.New(slog.NewTextHandler(n.log, nil))
	n.World = &driver.World{Ledger: &ledger.Ledger{Consul: server.Client(), Keys: consul.Keys{Env: env}}, Log: log, Metrics: driver.NewMetrics(n.registry)}
	path := filepath.Join(t.TempDir(), "addresses")
	if err := os.WriteFile(path, []byte(strings.Join(addresses, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := notify.Open(path, log)
	if err != nil {
		t.Fatal(err)
	}
	n.Notices = &driver.Notices{Post: &notify.Post{File: file, Sender: n.inbox, Log: log, Metrics: notify.NewMetrics(n.registry)}}
	web := spec.Service{
		Name: "web", Owner: "web-team", Port: 80, Roll: spec.Roll{Quorum: spec.Nodes(1)},
		Notify: spec.Notify{Events: events},
		Pools:  map[string]spec.Pool{spec.Blue: {Nodes: []string{"b1"}}, spec.Green: {Nodes: []string{"g1"}}},
	}
	if err := n.Apply(t.Context(), "test", &spec.Desired{Environment: spec.Environment{Name: env}, Services: []spec.Service{web}}); err != nil {
		t.Fatal(err)
	}
	return n
}

// keep tells under a lease until the test or what it returns ends it.
func (n *noticed) keep(t *testing.T) (stop func()) {
	t.Helper()
	lease, err := n.Consul.Acquire(t.Context(), consul.LeaseOptions{Key: n.Keys.Lease(), Holder: "test", TTL: 10 * time.Second, LockDelay: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	n.Fence = lease
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { n.KeepNotices(ctx) })
	once := sync.OnceFunc(func() {
		cancel()
		work.Wait()
		if err := lease.Release(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(once)
	return once
}

// write has the record of a rollout be something else.
func (n *noticed) write(t *testing.T, edit func(*rollout.Record)) {
	t.Helper()
	_, err := n.Do(t.Context(), "web", "test", func(s rollout.Situation) (*rollout.Change, error) {
		r := &rollout.Record{}
		if s.Record != nil {
			*r = *s.Record
		}
		edit(r)
		return &rollout.Change{Record: r, Saw: s.Live.Read(), What: "test"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func begins(id string) func(*rollout.Record) {
	return func(r *rollout.Record) {
		now := time.Now().UTC()
		*r = rollout.Record{
			ID: id, Service: "web", Version: id, Pool: spec.Green, From: pools.Side{Pool: spec.Blue, Version: "1.0.0"},
			By: "alice", At: now, Phase: rollout.Queued, Entered: now, Timeline: []rollout.Event{}, Index: r.Index,
		}
	}
}

func enters(phase rollout.Phase) func(*rollout.Record) {
	return func(r *rollout.Record) {
		r.Phase, r.Entered = phase, time.Now().UTC()
		if phase == rollout.Halted {
			r.Halt = &rollout.Halt{Phase: rollout.Canary, By: "alert HighErrorRate", Why: "errors", At: r.Entered}
		}
		if phase == rollout.Draining {
			r.SwitchedAt, r.ProvedAt = r.Entered, r.Entered
		}
	}
}

// awaits waits until a gate has been waited for longer than the grace.
func awaits(r *rollout.Record) {
	since := time.Now().Add(-notify.Grace).UTC()
	r.Phase, r.Entered, r.Held = rollout.Switching, since, &rollout.Held{Point: spec.PointSwitch, Since: since}
	r.Gates = []rollout.GateState{{Name: "release", Kind: spec.GateApproval, Owner: "security", Point: spec.PointSwitch, Since: since, Outcome: rollout.GateWaits}}
}

func wantMessages(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestKeepNotices has an environment for each test, in one Consul.
func TestKeepNotices(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	for name, test := range map[string]func(*testing.T, *devconsul.Lone){
		"TellsWhatBecomesOfARollout":   tellsWhatBecomesOfARollout,
		"GoesOnWhereAnotherOneEnded":   goesOnWhereAnotherOneEnded,
		"TellsAnEndThatNobodyHasSeen":  tellsAnEndThatNobodyHasSeen,
		"SaysOnceWhomItDoesNotKnow":    saysOnceWhomItDoesNotKnow,
		"WritesNothingWithoutTheLease": writesNothingWithoutTheLease,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, server)
		})
	}
}

func tellsWhatBecomesOfARollout(t *testing.T, server *devconsul.Lone) {
	n := newNoticed(t, server, "tellswhatbecomesofarollout", spec.Events()[1:], "web-team = slack://x", "security = smtp://y")
	n.keep(t)
	n.write(t, begins("2.0.0")) // which nobody is told
	n.write(t, awaits)
	wantMessages(t, n.inbox.all(t, 2), "slack [tellswhatbecomesofarollout] web 2.0.0 waits for approval release", "smtp [tellswhatbecomesofarollout] web 2.0.0 waits for approval release")
	n.write(t, func(r *rollout.Record) {
		r.Gates = slices.Clone(r.Gates)
		r.Gates[0].Outcome, r.Gates[0].By, r.Gates[0].At, r.Held = rollout.GatePassed, []string{"bob"}, time.Now().UTC(), nil
	})
	n.write(t, enters(rollout.Draining))
	wantMessages(t, n.inbox.all(t, 1), "slack [tellswhatbecomesofarollout] web 2.0.0 is live")
	n.write(t, enters(rollout.Done))
	wantMessages(t, n.inbox.all(t, 1), "slack [tellswhatbecomesofarollout] web 2.0.0 is done")
	for name, want := range map[string]float64{"begun": 1, "waiting": 1, "switched": 1, "done": 1, "approval": 1} {
		if got := n.counted(t, name); got != want {
			t.Errorf("%s is counted %v times", name, got)
		}
	}
	entry, err := n.Consul.Get(t.Context(), n.Keys.Notice("web"))
	if err != nil {
		t.Fatal(err)
	}
	memory, err := notify.ParseMemory(entry.Value)
	if err != nil || len(memory.Told) != 4 {
		t.Errorf("%d are remembered (%v): %s", len(memory.Told), err, entry.Value)
	}
}

// counted is the sum of all counters with a label's value.
func (n *noticed) counted(t *testing.T, label string) float64 {
	t.Helper()
	families, err := n.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetValue() == label {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

func goesOnWhereAnotherOneEnded(t *testing.T, server *devconsul.Lone) {
	n := newNoticed(t, server, "goesonwhereanotheroneended", spec.Events(), "web-team = slack://x")
	stop := n.keep(t)
	n.write(t, begins("2.0.0"))
	wantMessages(t, n.inbox.all(t, 1), "slack [goesonwhereanotheroneended] web 2.0.0 begins")
	// This one dies with a message that it could not send.
	n.inbox.block = make(chan struct{})
	n.write(t, enters(rollout.Halted))
	time.Sleep(200 * time.Millisecond)
	stop()
	other := newNoticed(t, server, "goesonwhereanotheroneended", spec.Events(), "web-team = slack://x")
	other.keep(t)
	wantMessages(t, other.inbox.all(t, 1), "slack [goesonwhereanotheroneended] web 2.0.0 is halted")
	if got := n.inbox.got; len(got) != 0 {
		t.Errorf("the one that died has told %q", got)
	}
}

func tellsAnEndThatNobodyHasSeen(t *testing.T, server *devconsul.Lone) {
	n := newNoticed(t, server, "tellsanendthatnobodyhasseen", spec.Events(), "web-team = slack://x")
	stop := n.keep(t)
	n.write(t, begins("2.0.0"))
	wantMessages(t, n.inbox.all(t, 1), "slack [tellsanendthatnobodyhasseen] web 2.0.0 begins")
	stop()
	n.write(t, func(r *rollout.Record) {
		enters(rollout.Failed)(r)
		r.Outcome = "smoke failed"
	})
	n.write(t, begins("2.0.1"))
	n.keep(t)
	wantMessages(t, n.inbox.all(t, 2), "slack [tellsanendthatnobodyhasseen] web 2.0.0 failed", "slack [tellsanendthatnobodyhasseen] web 2.0.1 begins")
}

func saysOnceWhomItDoesNotKnow(t *testing.T, server *devconsul.Lone) {
	n := newNoticed(t, server, "saysoncewhomitdoesnotknow", spec.Events(), "somebody = slack://x")
	n.keep(t)
	n.write(t, begins("2.0.0"))
	n.write(t, enters(rollout.Halted))
	deadline := time.Now().Add(10 * time.Second)
	for n.counted(t, "halted") == 0 && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	if got := strings.Count(n.log.String(), "whom the file of addresses doesn't have"); got != 1 {
		t.Errorf("it is said %d times:\n%s", got, n.log.String())
	}
	wantMessages(t, n.inbox.all(t, 0))
}

func writesNothingWithoutTheLease(t *testing.T, server *devconsul.Lone) {
	n := newNoticed(t, server, "writesnothingwithoutthelease", spec.Events(), "web-team = slack://x")
	n.keep(t)
	entry, err := n.Consul.Get(t.Context(), n.Keys.Lease())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Consul.API().Session().Destroy(entry.Session, nil); err != nil {
		t.Fatal(err)
	}
	n.write(t, begins("2.0.0"))
	wantMessages(t, n.inbox.all(t, 1), "slack [writesnothingwithoutthelease] web 2.0.0 begins")
	if entry, err := n.Consul.Get(t.Context(), n.Keys.Notice("web")); err != nil || entry.Index != 0 {
		t.Errorf("it was written down: %s (%v)", entry.Value, err)
	}
}
