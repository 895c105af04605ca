package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"switchd/testenv/cluster"
	"switchd/testenv/load"
)

// The load: enough for a canary's share to be judged in seconds, little
// enough for two cores.
const (
	workers = 30
	rate    = 240
)

// errInterrupted is a demo that was ended by its user.
var errInterrupted = errors.New("interrupted; everything was ended")

func run(ctx context.Context, f flags) (err error) {
	dir, err := os.MkdirTemp("", "switchd-demo-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	d := &demo{out: os.Stdout, began: time.Now()}
	d.say("starting Consul (a server, and an agent for each of 6 nodes), Prometheus, 2 replicas of switchd serve and 6 agents")
	c, err := cluster.Start(ctx, cluster.Options{Dir: dir, Progress: os.Stderr, Nodes: 3, Replicas: 2, Prometheus: true})
	defer func() {
		closeErr := c.Close()
		if closeErr == nil {
			closeErr = os.RemoveAll(dir)
		}
		if ctx.Err() != nil {
			err = errInterrupted
		}
		err = errors.Join(err, closeErr)
	}()
	if err != nil {
		return err
	}
	d.cluster = c
	if d.ledger, err = c.Ledger(); err != nil {
		return err
	}
	d.load, err = load.New(load.Config{Name: "web." + cluster.Zone, Port: c.AppPort(), Servers: c.DNS(), Workers: workers, Rate: rate})
	if err != nil {
		return err
	}
	err = d.tell(ctx)
	if err != nil && ctx.Err() == nil {
		d.say("FAILED: %v", err)
		if tails := c.Group.LogTails(os.Stderr); tails != nil {
			err = errors.Join(err, tails)
		}
	}
	if f.Keep && ctx.Err() == nil {
		d.keep(ctx)
		return err
	}
	return err
}
