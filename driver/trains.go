package driver

import (
	"context"
	"errors"
	"sync"
	"time"

	"switchd/consul"
	"switchd/ledger"
	"switchd/rollout"
	"switchd/train"
)

// KeepTrains has the cars of all trains start when their time has come, and the
// trains say where they are, until ctx ends.
func (w *World) KeepTrains(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	open := make(chan []string) // IDs of the trains that are under way, the oldest first
	watching.Go(func() {
		w.Consul.WatchPrefix(ctx, w.Keys.Trains(), func(seen consul.Seen[[]consul.Entry]) {
			if seen.Err != nil {
				return // Active says so
			}
			if seen.Changed {
				send(ctx, open, w.underWay(ctx, seen.Value))
			}
		})
	})
	moved := make(chan struct{}, 1) // something of the services has changed
	for _, folder := range []string{w.Keys.Rollouts(), w.Keys.Lives(), w.Keys.Specs()} {
		watching.Go(func() {
			w.Consul.WatchKeyChanges(ctx, folder, func() {
				select {
				case moved <- struct{}{}:
				default:
				}
			})
		})
	}
	var trains []string
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case trains = <-open:
		case <-moved:
		case <-again:
		}
		again = nil
		for _, id := range trains {
			if err := w.advance(ctx, id); err != nil && ctx.Err() == nil {
				w.Log.WarnContext(ctx, "train stands still; tried again", "train", id, "error", err)
				again = time.After(keepAgain)
			}
		}
	}
}

func send[T any](ctx context.Context, to chan<- T, value T) {
	select {
	case to <- value:
	case <-ctx.Done():
	}
}

// underWay are the trains that have not ended, the oldest first.
func (w *World) underWay(ctx context.Context, entries []consul.Entry) []string {
	trains, err := ledger.ParseTrains(entries)
	if err != nil {
		w.Log.ErrorContext(ctx, "a train can't be read, and stands still", "error", err)
	}
	var ids []string
	for _, t := range trains {
		if t.Ended.IsZero() {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// advance does all that is to be done for a train now.
func (w *World) advance(ctx context.Context, id string) error {
	// Each step starts a car or changes the state of some, and rollouts move on
	// meanwhile.
	for range 4 * train.MaxCars {
		t, err := w.Train(ctx, id)
		if err != nil {
			if errors.Is(err, ledger.ErrUnknownTrain) {
				return nil // it was taken away
			}
			return err
		}
		facts, err := w.TrainFacts(ctx, t)
		if err != nil {
			return err
		}
		step := train.Plan(t, facts, time.Now())
		if step.Train == nil {
			return nil
		}
		if err := w.take(ctx, step); err != nil && !errors.Is(err, consul.ErrConflict) {
			return err
		}
	}
	return errors.New("it changes all the time")
}

// take does one step. A conflict means that somebody else was faster.
func (w *World) take(ctx context.Context, step train.Step) error {
	if step.Start == "" {
		return w.PutTrain(ctx, w.Fence, step.Train)
	}
	now := time.Now()
	change, err := w.StartCar(ctx, w.Fence, step.Train, step.Start, now)
	refusal, refused := errors.AsType[*rollout.Refusal](err)
	switch {
	case err == nil:
		w.Log.InfoContext(ctx, "the train starts a rollout", "train", step.Train.ID, "service", step.Start, "version", change.Record.Version, "rollout", change.Record.ID)
		return nil
	case refused && (refusal.Reason == rollout.Busy || refusal.Reason == rollout.AlreadyLive):
		return consul.ErrConflict // since the facts were read: the next plan sees it
	case refused, errors.Is(err, ledger.ErrUnknownService):
		step.Train.Refuse(step.Start, err.Error(), now)
		return w.PutTrain(ctx, w.Fence, step.Train)
	default:
		return err
	}
}
