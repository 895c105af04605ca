package main

import (
	"time"

	"switchd/rollout"
)

type resumeCmd struct {
	Service string `arg:"" help:"Service whose rollout is to go on."`
}

func (c *resumeCmd) Run(a *app) error {
	change, err := a.operate(c.Service, func(by string, s rollout.Situation) (*rollout.Change, error) {
		return rollout.Resume(s, by, time.Now())
	})
	if err != nil {
		return err
	}
	a.printf("%s: the rollout of %s goes on in phase %s\n", c.Service, change.Record.Version, change.Record.Phase)
	return nil
}
