package main

import (
	"time"

	"switchd/rollout"
)

type approveCmd struct {
	Service string `arg:"" help:"Service whose rollout waits."`
	Gate    string `help:"Name of the approval; needed where several are open." placeholder:"NAME"`
}

func (c *approveCmd) Run(a *app) error {
	change, err := a.operate(c.Service, func(by string, s rollout.Situation) (*rollout.Change, error) {
		return rollout.Approve(s, c.Gate, by, time.Now())
	})
	if err != nil {
		return err
	}
	given := change.Record.Approvals[len(change.Record.Approvals)-1]
	a.printf("%s %s: %s approved by %s\n", c.Service, change.Record.Version, given.Name, given.By)
	return nil
}
