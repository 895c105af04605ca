package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"switchd/testenv/proc"
)

// Replica is one `switchd serve`.
type Replica struct {
	*proc.Process

	Name    string
	cluster *Cluster
	address string
}

// HTTP is the address of its API.
func (r *Replica) HTTP() string { return join(r.address, r.cluster.ports.serveHTTP) }

// DNS is the address of its DNS server.
func (r *Replica) DNS() string { return join(r.address, r.cluster.ports.dns) }

// Start starts it, also again after it was killed.
func (r *Replica) Start(ctx context.Context) error {
	c := r.cluster
	data, err := c.path("serve", r.Name)
	if err != nil {
		return err
	}
	r.Process, err = c.start(ctx, "serve-"+r.Name, []string{"CONSUL_HTTP_ADDR=" + c.ConsulAddr(), "CONSUL_HTTP_TOKEN=" + c.Token(RoleServe)},
		c.Bin.Switchd, "serve", "--env", Env, "--name", r.Name, "--data", data,
		"--http-listen", r.HTTP(), "--dns-listen", r.DNS(), "--swarm-listen", join(r.address, 0),
		"--trusted-key", c.Key+".pub", "--lease-ttl", c.LeaseTTL.String())
	if err != nil {
		return err
	}
	return await(ctx, "replica "+r.Name, r.Process, func(ctx context.Context) error {
		return get(ctx, "http://"+r.HTTP()+"/healthz", func([]byte) bool { return true })
	})
}

// Agent is one node's agent.
type Agent struct {
	*proc.Process

	Node    string
	Pool    string
	cluster *Cluster
	address string
}

// Data is its data directory.
func (a *Agent) Data() string { return filepath.Join(a.cluster.Dir, "nodes", a.Node) }

// ConsulAddr is the HTTP address of its node's Consul agent.
func (a *Agent) ConsulAddr() string { return join(a.address, a.cluster.ports.consulHTTP) }

// Start starts it, also again after it was killed.
func (a *Agent) Start(ctx context.Context) error {
	c := a.cluster
	data, err := c.path("nodes", a.Node)
	if err != nil {
		return err
	}
	a.Process, err = c.start(ctx, "agent-"+a.Node, []string{"CONSUL_HTTP_ADDR=" + a.ConsulAddr(), "CONSUL_HTTP_TOKEN=" + c.Token(RoleAgent+"-"+a.Node)},
		c.Bin.Agent, "--env", Env, "--data", data, "run", "--trusted-key", c.Key+".pub",
		"--session-ttl", c.SessionTTL.String(), "--lock-delay", "1s", "--swarm-listen", join(a.address, 0))
	return err
}

// AgentStatus is what `agent status` prints of a node.
func (c *Cluster) AgentStatus(ctx context.Context, a *Agent) (string, error) {
	out, err := exec.CommandContext(ctx, c.Bin.Agent, "--env", Env, "--data", a.Data(), "status").Output()
	if err != nil {
		return "", fmt.Errorf("agent status of %s: %w", a.Node, err)
	}
	return string(out), nil
}
