package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"switchd/consul"
	"switchd/ledger"
	"switchd/pools"
	"switchd/preflight"
	"switchd/spec"
)

type checkCmd struct {
	Services    []string `arg:"" optional:"" help:"Services that this node is to run; those that Consul says it has if none are named."`
	Unit        string   `help:"systemd unit of the agent, whose limits count." default:"switchd-agent.service"`
	SwarmListen string   `help:"As the agent is run with." env:"SWITCHD_SWARM_LISTEN" placeholder:"IP:PORT"`
	JSON        bool     `help:"Print JSON."`
}

func (c *checkCmd) Help() string {
	return "Looks at limits, capabilities, disk, ports, users, the clock, and what the Consul token may do, and changes nothing. Run it as the agent's user. It exits with 1 if anything is missing, each with the line that adds it."
}

// errUnready says that the machine lacks something.
var errUnready = errors.New("this machine is not ready, see above")

func (c *checkCmd) Run(a *app) error {
	if a.flags.Env == "" {
		return &usageError{"check needs --env (or SWITCHD_ENV)"}
	}
	ctx, cancel := context.WithTimeout(a.ctx, time.Minute)
	defer cancel()
	client, err := consul.NewClient(a.flags.Consul)
	if err != nil {
		return err
	}
	const (
		room  = 1 << 30 // a release, unpacked, and its archive
		files = 1024
	)
	needs := preflight.Needs{
		Data: a.flags.Data, Room: room, OpenFiles: files, Unit: c.Unit, Consul: client, Env: a.flags.Env, Services: c.Services,
	}
	if c.SwarmListen != "" {
		at, err := netip.ParseAddrPort(c.SwarmListen)
		if err != nil {
			return &usageError{fmt.Sprintf("--swarm-listen: %v", err)}
		}
		if at.Port() != 0 {
			needs.Listen = append(needs.Listen, at)
		}
	}
	c.ask(ctx, a, client, &needs)
	findings := preflight.Check(ctx, needs)
	if err := c.print(a, findings); err != nil {
		return err
	}
	if preflight.Worst(findings) == preflight.Missing {
		return errUnready
	}
	return nil
}

// ask adds what the desired state of the services says, as far as Consul can be
// asked; that it can't is a finding of its own.
func (c *checkCmd) ask(ctx context.Context, a *app, client *consul.Client, needs *preflight.Needs) {
	self, err := client.Self(ctx)
	if err != nil {
		return
	}
	services, err := (&ledger.Ledger{Consul: client, Keys: consul.Keys{Env: a.flags.Env}}).Services(ctx)
	if err != nil {
		return
	}
	for _, s := range services {
		named := slices.Contains(c.Services, s.Name)
		if !named && (len(c.Services) > 0 || !mine(s, self)) {
			continue
		}
		if !named {
			needs.Services = append(needs.Services, s.Name)
		}
		if s.Runtime.User != "" {
			needs.Users = append(needs.Users, s.Runtime.User)
		}
		if s.Preload != nil && s.Preload.Kind == spec.PreloadLock {
			needs.Lock++ // how much, only the release knows
		}
		if at, err := netip.ParseAddrPort(net.JoinHostPort(self.Address, strconv.Itoa(s.Port))); err == nil && !registered(ctx, client, s.Name, self.Name) {
			needs.Listen = append(needs.Listen, at)
		}
	}
}

// mine tells whether a node is in one of a service's pools.
func mine(s spec.Service, self consul.Node) bool {
	for _, pool := range s.Pools {
		if slices.ContainsFunc(pools.Members(pool, []consul.Node{self}), func(n consul.Node) bool { return n.Name == self.Name && n.Alive }) {
			return true
		}
	}
	return false
}

// registered tells whether the service runs here already, and so has its port.
func registered(ctx context.Context, client *consul.Client, service, node string) bool {
	found, err := pools.ReadNode(ctx, client, service, node)
	return err == nil && len(found) > 0
}

func (c *checkCmd) print(a *app, findings []preflight.Finding) error {
	if c.JSON {
		encoder := json.NewEncoder(a.stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(findings)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, f := range findings {
		_, _ = fmt.Fprintf(w, "%v\t%s\t%s\n", f.Level, f.What, f.Have)
		if f.Level == preflight.OK {
			continue
		}
		if f.Need != "" {
			_, _ = fmt.Fprintf(w, "\t  needed\t%s\n", f.Need)
		}
		if f.Fix != "" {
			_, _ = fmt.Fprintf(w, "\t  add\t%s\n", f.Fix)
		}
	}
	return w.Flush()
}
