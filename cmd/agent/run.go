package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/replica"
	"switchd/rolling"
)

type runCmd struct {
	Node       string        `help:"Name of this node; the Consul agent's if not set." placeholder:"NAME"`
	Address    string        `help:"Address that services listen on; the Consul agent's if not set." placeholder:"IP"`
	TrustedKey []string      `help:"minisign public keys whose releases may run here." type:"path" required:"" placeholder:"FILE"`
	SessionTTL time.Duration `help:"How long this node's Consul session lives without a renewal." default:"15s"`
	LockDelay  time.Duration `help:"How long a slot stays taken after its holder was lost." default:"15s"`
	LogLevel   slog.Level    `help:"debug, info, warn or error." default:"info"`
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
	keys := consul.Keys{Env: a.flags.Env}
	fetcher := artifact.NewHTTPFetcher(func(ctx context.Context) ([]string, error) {
		replicas, err := replica.List(ctx, client, keys.Env)
		if err != nil {
			return nil, err
		}
		var urls []string
		for _, r := range replicas {
			urls = append(urls, "http://"+r.HTTP)
		}
		return urls, nil
	}, &http.Client{Transport: &http.Transport{}}, log)
	stager, err := artifact.NewStager(filepath.Join(a.flags.Data, "releases"), trusted, fetcher)
	if err != nil {
		return err
	}
	agent := &rolling.Agent{
		Consul: client, Keys: keys, Node: self.Name, Address: self.Address, Meta: self.Meta, Root: a.flags.Data,
		Runtimes: runtimes(log), Stager: stager, Releases: &ledger.Ledger{Consul: client, Keys: keys},
		TTL: c.SessionTTL, LockDelay: c.LockDelay, Log: log,
	}
	log.Info("agent runs", "env", keys.Env, "address", self.Address, "data", a.flags.Data)
	err = agent.Run(a.ctx)
	log.Info("agent ends; services run on")
	return err
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
			return node, rememberNode(file, node)
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
