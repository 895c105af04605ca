package main

import (
	"time"

	"switchd/rollout"
)

type haltCmd struct {
	Service string `arg:"" help:"Service whose rollout is to be stopped."`
	Why     string `help:"Reason, for the history." placeholder:"TEXT"`
}

func (c *haltCmd) Help() string {
	return "What the canary had of the users goes back to the live pool in the same write. A halted rollout stays halted until `resume` or `rollback`."
}

func (c *haltCmd) Run(a *app) error {
	l, err := a.ledger()
	if err != nil {
		return err
	}
	change, err := a.operateOn(l, c.Service, func(by string, s rollout.Situation) (*rollout.Change, error) {
		return rollout.StopRollout(s, by, c.Why, time.Now())
	})
	if err != nil {
		return err
	}
	a.printf("%s: the rollout of %s is halted in phase %s; go on with `switchd resume %s`, or end it with `switchd rollback %s`\n",
		c.Service, change.Record.Version, change.Record.Halt.Phase, c.Service, c.Service)
	if change.Live == nil {
		return nil
	}
	return a.followMesh(l, c.Service)
}
