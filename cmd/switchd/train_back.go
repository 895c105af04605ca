package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchd/ledger"
	"switchd/rollout"
	"switchd/train"
)

// rollbackTrain leads the cars of a train back.
func (c *promoteCmd) rollbackTrain(a *app, args []string) error {
	switch {
	case len(args) > 1:
		return &usageError{"--rollback-train takes one train"}
	case c.Train != "" || c.Parallel != 0 || c.Detach || len(c.Bypass) > 0:
		return &usageError{"--rollback-train goes with the ID of a train and --why only"}
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	id := strings.Join(args, "")
	if id == "" {
		if id, err = lastTrain(a.ctx, l); err != nil {
			return err
		}
	}
	by := a.by(l)
	marked := false
	t, err := l.ChangeTrain(a.ctx, id, by, func(t *train.Train) bool {
		marked = t.RollBack(by, c.Why, time.Now())
		return marked
	})
	if err != nil {
		return err
	}
	why := fmt.Sprintf("train %s was rolled back by %s", t.ID, by)
	if c.Why != "" {
		why += ": " + c.Why
	}
	if marked {
		a.printf("%s: nothing more of it starts\n", t.ID)
	}
	return a.wayBack(l, t, by, why, marked)
}

// lastTrain is the train that was put in last.
func lastTrain(ctx context.Context, l *ledger.Ledger) (string, error) {
	trains, err := l.Trains(ctx)
	if len(trains) == 0 {
		if err != nil {
			return "", err
		}
		return "", &outcomeError{statusNothing, fmt.Sprintf("there was no train in environment %s yet", l.Keys.Env)}
	}
	return trains[len(trains)-1].ID, nil
}

// wayBack leads the cars back one after the other. What can't be led back keeps
// what it depends on where it is.
func (a *app) wayBack(l *ledger.Ledger, t *train.Train, by, why string, marked bool) error {
	held := make(map[string]string) // by service, what depends on it and could not be led back
	var refused []error
	done := 0
	for _, car := range t.WayBack() {
		if by := held[car.Service]; by != "" {
			a.printf("%s: stays on %s, which %s depends on\n", car.Service, car.Version, by)
			continue
		}
		start := time.Now()
		change, err := l.ReturnCar(a.ctx, t.ID, car.Service, by, why)
		stays, ok := errors.AsType[*train.StaysError](err)
		_, refusal := errors.AsType[*rollout.Refusal](err)
		switch {
		case err == nil:
			done++
			if err := a.tellReturn(l, car, change, time.Since(start)); err != nil {
				refused = append(refused, err)
			}
		case ok && !stays.Blocks:
			a.printf("%s: left alone: %s\n", car.Service, stays.Why)
		case ok, refusal:
			refused = append(refused, fmt.Errorf("%s: %w", car.Service, err))
			for _, need := range t.Needs(car.Service) {
				held[need.Service] = car.Service
			}
		default:
			return fmt.Errorf("%s: %w; run the command again, it goes on from here", car.Service, err)
		}
	}
	switch {
	case len(refused) > 0:
		var words []string
		for _, err := range refused {
			words = append(words, err.Error())
		}
		return &outcomeError{backStatus(refused[0]), fmt.Sprintf("%s is not wholly led back; mend what is said here and run the command again, it goes on from here:\n  %s", t.ID, strings.Join(words, "\n  "))}
	case done == 0 && !marked:
		return &outcomeError{statusNothing, fmt.Sprintf("nothing of %s is left to be led back", t.ID)}
	}
	return nil
}

// backStatus is the exit status of what could not be led back: that of a
// refusal, but never one that can be taken for done.
func backStatus(err error) int {
	if _, ok := errors.AsType[*train.StaysError](err); ok {
		return statusBusy
	}
	if status := statusOf(err); status != statusNothing {
		return status
	}
	return statusUnhealthy
}

func (a *app) tellReturn(l *ledger.Ledger, car train.Car, change *rollout.Change, took time.Duration) error {
	if change.Live == nil {
		a.printf("%s: the rollout of %s is ended; nothing was live\n", car.Service, car.Version)
		return nil
	}
	a.printf("%s: %s is live (generation %d, written in %s)\n", car.Service, change.Live.Side(), change.Live.Generation, took.Round(time.Millisecond))
	return a.followMesh(l, car.Service)
}
