package driver_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/driver"
	"switchd/ledger"
	"switchd/pools"
	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/devconsul"
	"switchd/train"
)

// yard is an environment in which web needs cart, cart needs stock, and mail
// needs nobody; 1.0.0 of each is live, and 2.0.0 published.
type yard struct {
	*driver.World
}

func newYard(t *testing.T) yard {
	t.Helper()
	y := yard{&driver.World{
		Ledger: &ledger.Ledger{Consul: devconsul.Start(t, nil).Client(), Keys: consul.Keys{Env: "prod"}},
		Log:    slog.New(slog.DiscardHandler),
	}}
	desired := &spec.Desired{Environment: spec.Environment{Name: "prod"}}
	for name, needs := range map[string][]string{"web": {"cart"}, "cart": {"stock"}, "stock": nil, "mail": nil} {
		desired.Services = append(desired.Services, spec.Service{
			Name: name, Port: 80, DependsOn: needs, Roll: spec.Roll{Quorum: spec.Nodes(1)},
			Pools: map[string]spec.Pool{spec.Blue: {Nodes: []string{name + "-b"}}, spec.Green: {Nodes: []string{name + "-g"}}},
		})
		y.put(t, y.Keys.Release(name, "2.0.0"), fmt.Sprintf(`{"service":%q,"version":"2.0.0","size":1,"sha256":"%s","format":"tar.zst","unpacked":1,"created":"2026-01-02T03:04:05Z","by":"ci"}`, name, strings.Repeat("0", 64)))
		y.put(t, y.Keys.Live(name), fmt.Sprintf(`{"service":%q,"pool":"blue","version":"1.0.0","generation":1,"rollout":"r0","by":"ci","at":"2026-01-02T03:04:05Z"}`, name))
	}
	if err := y.Apply(t.Context(), "test", desired); err != nil {
		t.Fatal(err)
	}
	return y
}

func (y yard) put(t *testing.T, key, value string) {
	t.Helper()
	if _, err := y.Consul.API().KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
		t.Fatal(err)
	}
}

// keep drives the trains until the returned function is called.
func (y yard) keep(t *testing.T) (stop func()) {
	t.Helper()
	lease, err := y.Consul.Acquire(t.Context(), consul.LeaseOptions{Key: y.Keys.Lease(), Holder: "test", TTL: consul.MinSessionTTL})
	if err != nil {
		t.Fatal(err)
	}
	y.Fence = lease
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { y.KeepTrains(ctx) })
	return sync.OnceFunc(func() {
		cancel()
		work.Wait()
		_ = lease.Release(context.WithoutCancel(t.Context())) // its TTL ends it otherwise
	})
}

// add puts a train in.
func (y yard) add(t *testing.T, parallel int, services ...string) {
	t.Helper()
	var items []train.Item
	for _, name := range services {
		items = append(items, train.Item{Service: name, Version: "2.0.0"})
	}
	all, err := y.Services(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, err := train.New("train-1", "alice", time.Now(), parallel, items, all)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := y.Operate(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = operator.Close(t.Context()) }() // its TTL ends it otherwise
	if err := y.PutTrain(t.Context(), operator, made); err != nil {
		t.Fatal(err)
	}
}

// await returns when the train's cars are as wanted, in the order of the train.
func (y yard) await(t *testing.T, want string) *train.Train {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var now *train.Train
	var got string
	y.Consul.WatchKey(ctx, y.Keys.Train("train-1"), func(seen consul.Seen[consul.Entry]) {
		var err error
		if now, err = train.Parse(seen.Value.Value, seen.Value.Index); err != nil {
			return
		}
		var cars []string
		for _, car := range now.Cars {
			cars = append(cars, strings.TrimSpace(car.Service+" "+string(car.State)+" "+car.Why))
		}
		if got = strings.Join(cars, "; "); got == want {
			cancel()
		}
	})
	if got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	return now
}

// become brings the rollout of a service into a phase, as the engine would.
func (y yard) become(t *testing.T, name string, phase rollout.Phase) {
	t.Helper()
	if _, err := y.Do(t.Context(), name, "engine", func(s rollout.Situation) (*rollout.Change, error) {
		change := &rollout.Change{Record: s.Record, Saw: s.Live.Read(), What: "test"}
		s.Record.Phase, s.Record.Outcome = phase, "because"
		if phase == rollout.Converging {
			live := s.Live.Next("engine", time.Now())
			live.Pool, live.Version, live.Rollout = s.Record.Pool, s.Record.Version, s.Record.ID
			live.Previous = pools.Side{Pool: spec.Blue, Version: "1.0.0"}
			change.Live, s.Record.Generation = live, live.Generation
		}
		return change, nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestKeepTrains_StartsEachCarWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	defer y.keep(t)()
	y.add(t, 2, "web", "mail", "cart", "stock")
	y.await(t, "stock runs; cart waits for stock 2.0.0; web waits for cart 2.0.0; mail runs")
	y.become(t, "stock", rollout.Converging)
	y.await(t, "stock baked; cart waits for others of the train: 2 may be under way at a time; web waits for cart 2.0.0; mail runs")
	y.become(t, "mail", rollout.Failed)
	y.await(t, "stock baked; cart runs; web waits for cart 2.0.0; mail failed because")
	y.become(t, "stock", rollout.Done)
	y.become(t, "cart", rollout.Converging)
	y.become(t, "cart", rollout.Done)
	y.await(t, "stock done because; cart done because; web runs; mail failed because")
	y.become(t, "web", rollout.Converging)
	y.become(t, "web", rollout.Done)
	if ended := y.await(t, "stock done because; cart done because; web done because; mail failed because"); ended.Ended.IsZero() {
		t.Error("the train has not ended")
	}
}

func TestKeepTrains_StopsWhatDependsOnAFailureAndNothingElse(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	defer y.keep(t)()
	y.add(t, 4, "web", "cart", "stock", "mail")
	y.become(t, y.runs(t, "stock"), rollout.Converging)
	y.become(t, y.runs(t, "cart"), rollout.Failed)
	y.await(t, "stock baked; cart failed because; web stopped cart 2.0.0 failed; mail runs")
}

// runs returns when the train has begun the rollout of a service.
func (y yard) runs(t *testing.T, name string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	begun := false
	y.Consul.WatchKey(ctx, y.Keys.Rollout(name), func(seen consul.Seen[consul.Entry]) {
		if begun = seen.Value.Index != 0; begun {
			cancel()
		}
	})
	if !begun {
		t.Fatalf("the rollout of %s never began", name)
	}
	return name
}

func TestKeepTrains_GoesOnUnderAnotherDriver(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	stop := y.keep(t)
	y.add(t, 4, "cart", "stock")
	y.become(t, y.runs(t, "stock"), rollout.Converging)
	y.runs(t, "cart")
	stop()
	begun, err := y.Record(t.Context(), "cart")
	if err != nil {
		t.Fatal(err)
	}
	y.become(t, "stock", rollout.Done)
	y.become(t, "cart", rollout.Failed)
	defer y.keep(t)()
	if y.await(t, "stock done because; cart failed because").Cars[1].Rollout != begun.ID {
		t.Error("cart was started twice")
	}
}

func TestKeepTrains_SaysWhyACarCouldNotStart(t *testing.T) {
	t.Parallel()
	y := newYard(t)
	y.add(t, 4, "web", "cart")
	if _, err := y.Consul.API().KV().Delete(y.Keys.Release("cart", "2.0.0"), nil); err != nil {
		t.Fatal(err)
	}
	defer y.keep(t)()
	y.await(t, "cart failed cart has no release 2.0.0; `switchd publish cart 2.0.0 PATH` makes one; web stopped cart 2.0.0 failed")
}
