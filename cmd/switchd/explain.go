package main

import (
	"time"

	"switchd/explain"
)

type explainCmd struct {
	Service string `arg:"" help:"Service whose rollout is explained."`
	JSON    bool   `help:"Print JSON, for programs."`
}

func (c *explainCmd) Help() string {
	return "Tells where the rollout is and why, what it waits for, since when and until when, and who can end the wait."
}

func (c *explainCmd) Run(a *app) error {
	l, err := a.ledger()
	if err != nil {
		return err
	}
	facts := explain.Facts{Environment: l.Keys.Env}
	if facts.Situation, err = l.Observe(a.ctx, c.Service); err != nil {
		return err
	}
	if facts.Driver, err = l.Driver(a.ctx); err != nil {
		return err
	}
	now := time.Now()
	explanation := explain.Explain(facts, now)
	if !c.JSON {
		return explanation.Text(a.stdout, now)
	}
	return a.json("explanation", explanation)
}
