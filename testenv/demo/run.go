package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// errInterrupted is a demo that was ended by its user before its end.
var errInterrupted = errors.New("interrupted; everything was ended")

func run(ctx context.Context, f flags) (err error) {
	dir, err := os.MkdirTemp("", "switchd-demo-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	d := &demo{out: os.Stdout, began: time.Now(), keeps: f.Keep, stopLoad: func() {}}
	d.say("starting Consul (a server, and an agent for each of 6 nodes), Prometheus, 2 replicas of switchd serve and 6 agents")
	d.cluster, err = cluster.Start(ctx, cluster.Options{Dir: dir, Progress: os.Stderr, Nodes: 3, Replicas: 2, Prometheus: true})
	defer func() {
		d.stopLoad()
		failed := err != nil && !errors.Is(err, errInterrupted)
		err = errors.Join(err, d.cluster.Close(), clean(dir, failed))
	}()
	if err == nil {
		err = d.prepare()
	}
	if err == nil {
		err = d.tell(ctx)
	}
	if ctx.Err() != nil {
		return errInterrupted
	}
	if f.Keep && d.load != nil {
		if err != nil {
			d.say("FAILED: %v", err)
		}
		d.keep(ctx)
	}
	return err
}

func (d *demo) prepare() error {
	var err error
	if d.ledger, err = d.cluster.Ledger(); err != nil {
		return err
	}
	d.load, err = load.New(load.Config{
		Name: "web." + cluster.Zone, Port: d.cluster.AppPort(), Servers: d.cluster.DNS(), Workers: workers, Rate: rate,
	})
	if err != nil {
		return fmt.Errorf("prepare the clients: %w", err)
	}
	return nil
}

// clean removes what the demo has written, but for the logs of one that
// failed.
func clean(dir string, failed bool) error {
	if !failed {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clean up: %w", err)
		}
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	for _, e := range entries {
		if e.Name() == "logs" {
			fmt.Fprintf(os.Stderr, "demo: the logs are kept in %s\n", filepath.Join(dir, e.Name()))
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("clean up: %w", err)
		}
	}
	return nil
}
