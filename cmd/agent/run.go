package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"golang.org/x/sys/unix"

	"switchd/artifact"
	"switchd/consul"
	"switchd/pagecache"
	"switchd/rolling"
)

type runCmd struct {
	Node       string        `help:"Name of this node; the Consul agent's if not set." placeholder:"NAME"`
	Address    string        `help:"Address that services listen on; the Consul agent's if not set." placeholder:"IP"`
	TrustedKey []string      `help:"minisign public keys whose releases may run here." type:"path" required:"" placeholder:"FILE"`
	SessionTTL time.Duration `help:"How long this node's Consul session lives without a renewal." default:"15s"`
	LockDelay  time.Duration `help:"How long a slot stays taken after its holder was lost." default:"15s"`

	SwarmListen string   `help:"Address to exchange releases with other nodes on, such as 10.0.0.7:7946; port 0 is any. Without it, releases come over HTTP from the replicas." env:"SWITCHD_SWARM_LISTEN" placeholder:"IP:PORT" group:"Swarm:"`
	Rack        string   `help:"Rack of this node, whose nodes are asked first; the Consul node's metadata \"rack\" if not set." placeholder:"NAME" group:"Swarm:"`
	UpRate      byteRate `help:"Most that this node sends, a second, such as 50MiB." placeholder:"BYTES" group:"Swarm:"`
	DownRate    byteRate `help:"Most that this node receives, a second." placeholder:"BYTES" group:"Swarm:"`
	RackUpRate  byteRate `help:"Most that the nodes of this rack together send to other racks, a second." placeholder:"BYTES" group:"Swarm:"`

	LogLevel slog.Level `help:"debug, info, warn or error." default:"info"`
}

func (c *runCmd) Help() string {
	return "Talks to the node's own Consul agent (CONSUL_HTTP_ADDR). What it started goes on running when it ends; the next agent takes over. Under systemd, set KillMode=process."
}

func (c *runCmd) Run(a *app) error {
	if a.flags.Env == "" {
		return &usageError{"run needs --env (or SWITCHD_ENV)"}
	}
	log := slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: c.LogLevel}))
	client, err := consul.NewClient(a.flags.Consul)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.flags.Data, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	lock, err := lockDir(a.flags.Data)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	trusted, err := artifact.LoadTrustedKeys(c.TrustedKey...)
	if err != nil {
		return err
	}
	self, err := c.self(a, client, log)
	if err != nil {
		return err
	}
	log = log.With("node", self.Name)
	releases, err := c.releases(a, client, self, trusted, log)
	if err != nil {
		return err
	}
	presence, err := json.Marshal(releases.presence(self.Address))
	if err != nil {
		return errors.Join(fmt.Errorf("write the presence: %w", err), releases.close())
	}
	agent := &rolling.Agent{
		Consul: client, Keys: consul.Keys{Env: a.flags.Env}, Node: self.Name, Address: self.Address, Meta: self.Meta, Root: a.flags.Data,
		Runtimes: runtimes(log), Stager: releases.stager, Releases: releases.ledger, Progress: releases.Progress,
		Preloader: preloader{pagecache.NewPinner([]string{"/proc/self/exe", "pin"}, log)},
		TTL:       c.SessionTTL, LockDelay: c.LockDelay, Presence: presence, Log: log,
	}
	log.Info("agent runs", "env", a.flags.Env, "address", self.Address, "data", a.flags.Data, "version", version)
	ctx, stop := context.WithCancel(a.ctx)
	var work sync.WaitGroup
	work.Go(func() { releases.seed(ctx) })
	work.Go(func() { releases.prune(ctx, agent) })
	work.Go(func() { releases.keepProgress(ctx, a.flags.Data) })
	err = agent.Run(ctx)
	stop()
	work.Wait()
	log.Info("agent ends; services run on")
	return errors.Join(err, releases.close())
}

// self is what the node is called. The Consul agent knows, and a file
// remembers it, so that services can be started again while Consul is away.
func (c *runCmd) self(a *app, client *consul.Client, log *slog.Logger) (consul.Node, error) {
	file := filepath.Join(a.flags.Data, "node.json")
	for {
		node, err := client.Self(a.ctx)
		if err == nil {
			if c.Node != "" {
				node.Name = c.Node
			}
			if c.Address != "" {
				node.Address = c.Address
			}
			if err := rememberNode(file, node); err != nil {
				// What must be remembered for a start without Consul is no
				// reason not to start with it.
				log.Warn("a start without Consul would not know this node", "error", err)
			}
			return node, nil
		}
		if a.ctx.Err() != nil {
			return node, a.ctx.Err()
		}
		if remembered, readErr := recallNode(file); readErr == nil {
			log.Warn("consul is away; going on as the node that this was", "node", remembered.Name, "address", client.Addr(), "error", err)
			return remembered, nil
		}
		if errors.Is(err, consul.ErrDenied) {
			return node, err
		}
		log.Warn("waiting for the local Consul agent (CONSUL_HTTP_ADDR, --http-addr)", "address", client.Addr(), "error", err)
		select {
		case <-a.ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// lockDir keeps a second agent out of a data directory.
func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("another agent uses %s (%s is locked); give each agent a data directory of its own", dir, path)
	}
	return file, nil
}

// byteRate is a number of bytes a second, with a unit if need be.
type byteRate int64

// UnmarshalText reads a rate such as "50MiB".
func (r *byteRate) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > 1<<50 {
		return fmt.Errorf("%q is no number of bytes, such as 50MiB", text)
	}
	*r = byteRate(n)
	return nil
}
