package main

import (
	"errors"
	"fmt"
	"time"

	"switchd/ledger"
	"switchd/rollout"
)

type rollbackCmd struct {
	Service string `arg:"" help:"Service to roll back."`
	Why     string `help:"Reason, for the history." placeholder:"TEXT"`
}

func (c *rollbackCmd) Help() string {
	return `One write in Consul; no controller has to run for it. Before the switch it ends the rollout and takes the new version's
share away; afterwards, until the next promote, it makes the former pool live again. It refuses when that pool can't serve.`
}

func (c *rollbackCmd) Run(a *app) error {
	start := time.Now()
	l, err := a.ledger()
	if err != nil {
		return err
	}
	change, err := a.operateOn(l, c.Service, func(by string, s rollout.Situation) (*rollout.Change, error) {
		return rollout.Rollback(s, by, c.Why, time.Now())
	})
	if refusal, ok := errors.AsType[*rollout.Refusal](err); ok && refusal.Reason == rollout.NothingToDo {
		// It may have been written before, and the mesh not have followed.
		return errors.Join(err, a.followMesh(l, c.Service))
	}
	if err != nil {
		return err
	}
	took := time.Since(start).Round(time.Millisecond)
	if change.Live == nil {
		a.printf("%s: the rollout of %s is ended; nothing was live\n", c.Service, change.Record.Version)
		return nil
	}
	a.printf("%s: %s is live (generation %d, written in %s)", c.Service, change.Live.Side(), change.Live.Generation, took)
	if change.Record != nil {
		a.printf("; the rollout of %s is ended", change.Record.Version)
	}
	a.printf("\n")
	return a.followMesh(l, c.Service)
}

// operate does one operation on a service's rollout, under a short lease.
func (a *app) operate(service string, operation func(by string, s rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error) {
	l, err := a.ledger()
	if err != nil {
		return nil, err
	}
	return a.operateOn(l, service, operation)
}

func (a *app) operateOn(l *ledger.Ledger, service string, operation func(by string, s rollout.Situation) (*rollout.Change, error)) (*rollout.Change, error) {
	by := a.by(l)
	change, err := l.Do(a.ctx, service, by, func(s rollout.Situation) (*rollout.Change, error) { return operation(by, s) })
	if err == nil {
		return change, nil
	}
	if _, ok := errors.AsType[*rollout.Refusal](err); ok || errors.Is(err, ledger.ErrUnknownService) {
		return nil, err // which name the service themselves
	}
	return nil, fmt.Errorf("%s: %w", service, err)
}
