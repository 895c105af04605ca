package cluster

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"switchd/testenv/netns"
	"switchd/testenv/proc"
)

// Replica is one `switchd serve`.
type Replica struct {
	*proc.Process

	Name    string
	Consul  *proc.Process // its host's Consul agent, where there are several servers
	cluster *Cluster
	address string
	asked   string // where it talks to Consul
}

// Host is its namespace; nil where hosts have none.
func (r *Replica) Host() *netns.Host { return r.cluster.net.host(r.address) }

// HTTP is the address of its API.
func (r *Replica) HTTP() string { return join(r.address, r.cluster.ports.serveHTTP) }

// DNS is the address of its DNS server.
func (r *Replica) DNS() string { return join(r.address, r.cluster.ports.dns) }

// Data is its data directory.
func (r *Replica) Data() string { return filepath.Join(r.cluster.Dir, "serve", r.Name) }

// Start starts it, also again after it was killed.
func (r *Replica) Start(ctx context.Context) error {
	c := r.cluster
	data, err := c.path("serve", r.Name)
	if err != nil {
		return err
	}
	argv := append([]string{
		c.Bin.Switchd, "serve", "--env", Env, "--name", r.Name, "--data", data,
		"--http-listen", r.HTTP(), "--dns-listen", r.DNS(), "--swarm-listen", join(r.address, 0),
		"--trusted-key", c.Key + ".pub", "--lease-ttl", c.LeaseTTL.String(),
	}, c.Serve...)
	if r.asked == "" {
		to := c.ConsulAddr()
		if r.Consul != nil {
			to = join(r.address, c.ports.consulHTTP)
		}
		if r.asked, err = c.via(ctx, r.Name, r.address, to); err != nil {
			return err
		}
	}
	env := []string{"CONSUL_HTTP_ADDR=" + r.asked, "CONSUL_HTTP_TOKEN=" + c.Token(controller)}
	r.Process, err = c.start(ctx, r.address, "serve-"+r.Name, env, argv...)
	if err != nil {
		return err
	}
	return await(ctx, "replica "+r.Name, r.Process, func(ctx context.Context) error {
		return c.get(ctx, "http://"+r.HTTP()+"/healthz", func([]byte) bool { return true })
	})
}

// Agent is one node's agent.
type Agent struct {
	*proc.Process

	Consul  *proc.Process // the node's Consul agent
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
	if _, err := a.cluster.path("nodes", a.Node); err != nil {
		return err
	}
	var err error
	a.Process, err = a.StartOn(ctx, "agent-"+a.Node, a.Data())
	return err
}

// StartOn starts an agent of this node on a data directory, whichever agents
// there are already.
func (a *Agent) StartOn(ctx context.Context, name, data string) (*proc.Process, error) {
	c := a.cluster
	return c.start(ctx, a.address, name, []string{"CONSUL_HTTP_ADDR=" + a.ConsulAddr(), "CONSUL_HTTP_TOKEN=" + c.Token(a.Node)},
		c.Bin.Agent, "--env", Env, "--data", data, "run", "--trusted-key", c.Key+".pub",
		"--session-ttl", c.SessionTTL.String(), "--lock-delay", "1s", "--swarm-listen", join(a.address, 0))
}

// Host is its node's namespace; nil where nodes have none.
func (a *Agent) Host() *netns.Host { return a.cluster.net.host(a.address) }

// Address is its node's.
func (a *Agent) Address() string { return a.address }

// Get asks the service on this node, past the DNS, and returns what it
// answers.
func (a *Agent) Get(ctx context.Context, path string) (string, error) {
	var answer string
	err := a.cluster.get(ctx, "http://"+join(a.address, a.cluster.ports.app)+path, func(body []byte) bool {
		answer = string(body)
		return true
	})
	return answer, err
}

// AgentStatus is what `agent status` prints of a node.
func (c *Cluster) AgentStatus(ctx context.Context, a *Agent) (string, error) {
	out, err := exec.CommandContext(ctx, c.Bin.Agent, "--env", Env, "--data", a.Data(), "status").Output()
	if err != nil {
		return "", fmt.Errorf("agent status of %s: %w", a.Node, err)
	}
	return string(out), nil
}
