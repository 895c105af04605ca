package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/train"
)

// trainFollower prints what happens to the cars of a train, one line an event.
type trainFollower struct {
	*app

	ledger *ledger.Ledger
	now    *train.Train
	width  int                            // of the longest service's name
	cars   map[string]*follower           // by service, of those whose rollouts have begun
	told   map[string]string              // by service, what was said of a car without a rollout
	seen   chan consul.Seen[consul.Entry] // of the train and of its rollouts
	watch  sync.WaitGroup
}

// followTrain prints what happens to the cars of a train until it ends, or
// stands still until a person acts.
func (a *app) followTrain(l *ledger.Ledger, t *train.Train) error {
	ctx, cancel := context.WithCancel(a.ctx)
	f := trainFollower{
		app: a, ledger: l, now: t,
		cars: make(map[string]*follower), told: make(map[string]string), seen: make(chan consul.Seen[consul.Entry]),
	}
	defer f.watch.Wait()
	defer cancel()
	for _, car := range t.Cars {
		f.width = max(f.width, len(car.Service))
	}
	f.watchKey(ctx, l.Keys.Train(t.ID))
	for f.now.Ended.IsZero() && !f.now.Stands() {
		select {
		case <-ctx.Done():
			return &outcomeError{statusInterrupted, fmt.Sprintf("interrupted; train %s goes on without this command, `switchd status --watch` follows it", t.ID)}
		case seen := <-f.seen:
			if err := f.take(ctx, seen); err != nil {
				return err
			}
		}
	}
	if err := f.flush(ctx); err != nil {
		return err
	}
	return trainOutcome(f.now)
}

func (f *trainFollower) watchKey(ctx context.Context, key string) {
	f.watch.Go(func() {
		f.ledger.Consul.WatchKey(ctx, key, func(seen consul.Seen[consul.Entry]) {
			select {
			case f.seen <- seen:
			case <-ctx.Done():
			}
		})
	})
}

// take prints what is new.
func (f *trainFollower) take(ctx context.Context, seen consul.Seen[consul.Entry]) error {
	switch {
	case seen.Err != nil:
		if seen.Value.Key == f.ledger.Keys.Train(f.now.ID) || seen.Value.Key == "" {
			f.notef("switchd: Consul is away, the train's state is not known: %v\n", seen.Err)
		}
		return nil
	case seen.Value.Key == f.ledger.Keys.Train(f.now.ID):
		if seen.Value.Index == 0 {
			return fmt.Errorf("train %s was removed from Consul; its outcome is not known", f.now.ID)
		}
		now, err := train.Parse(seen.Value.Value, seen.Value.Index)
		if err != nil {
			return err
		}
		f.now = now
		f.show(ctx)
		return nil
	}
	record, err := rollout.ParseRecord(seen.Value.Value, seen.Value.Index)
	if err != nil {
		return err
	}
	if car := f.now.Car(consul.Base(seen.Value.Key)); record != nil && record.ID == car.Rollout {
		f.cars[car.Service].show(record)
	}
	return nil
}

// show tells what is new of the cars that have no rollout, and begins to follow
// those that have.
func (f *trainFollower) show(ctx context.Context) {
	for _, car := range f.now.Cars {
		if car.Rollout != "" {
			if f.cars[car.Service] == nil {
				f.cars[car.Service] = f.follower(car.Service)
				f.watchKey(ctx, f.ledger.Keys.Rollout(car.Service))
			}
			continue
		}
		if line := string(car.State) + car.Why; f.told[car.Service] != line && car.Why != train.Turn {
			f.told[car.Service] = line
			f.follower(car.Service).line(car.Since, rollout.Phase(car.State), car.Why)
		}
	}
}

// follower prints the events of one service, whose name is in front of each.
func (f *trainFollower) follower(service string) *follower {
	lines := *f.app
	lines.stdout = prefixed{f.stdout, service + strings.Repeat(" ", f.width-len(service)+1)}
	return &follower{app: &lines, start: f.now.At}
}

// flush prints what the rollouts said at their ends: that the train has seen it
// doesn't mean that it was seen here.
func (f *trainFollower) flush(ctx context.Context) error {
	for _, car := range f.now.Cars {
		if car.Rollout == "" {
			continue
		}
		own, err := f.ledger.CarRollout(ctx, car)
		if err != nil {
			return err
		}
		if own != nil {
			f.cars[car.Service].show(own)
		}
	}
	return nil
}

// trainOutcome is the worst that became of a car, and says all that did not go
// well.
func trainOutcome(t *train.Train) error {
	status := statusOK
	var lines []string
	worse := func(to int) {
		for _, s := range []int{statusFailed, statusRolledBack, statusHalted} {
			if status == s || to == s {
				status = s
				return
			}
		}
	}
	for _, car := range t.Cars {
		switch car.State {
		case train.Failed:
			worse(statusFailed)
			lines = append(lines, fmt.Sprintf("%s failed: %s", car.Release(), car.Why))
		case train.RolledBack:
			worse(statusRolledBack)
			lines = append(lines, fmt.Sprintf("%s was rolled back: %s", car.Release(), car.Why))
		case train.Halted:
			worse(statusHalted)
			lines = append(lines, fmt.Sprintf("%s is halted %s; go on with `switchd resume %s`, or end it with `switchd rollback %[3]s`", car.Release(), car.Why, car.Service))
		case train.Stopped:
			worse(statusFailed)
			lines = append(lines, fmt.Sprintf("%s was not started: %s", car.Release(), car.Why))
		case train.Dropped:
			worse(statusRolledBack)
			lines = append(lines, fmt.Sprintf("%s was not started: %s", car.Release(), car.Why))
		case train.Waits:
			lines = append(lines, fmt.Sprintf("%s waits %s", car.Release(), car.Why))
		case train.Runs, train.Baked, train.Done:
		}
	}
	if status == statusOK {
		return nil
	}
	return &outcomeError{status, t.ID + ":\n  " + strings.Join(lines, "\n  ")}
}
