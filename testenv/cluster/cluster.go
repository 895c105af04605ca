// Package cluster runs all of switchd on one machine, for tests, the demo and
// benchmarks: real Consul, with a client agent for each node, real Prometheus,
// replicas of `switchd serve`, agents and the sample app. Every host has a
// loopback address of its own.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/consul"
	"switchd/ledger"
	"switchd/testenv/netns"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

// Env is the environment that every cluster has.
const Env = "demo"

// Zone is the zone that its replicas are authoritative for.
const Zone = "apps.test"

// Options say what the cluster is like.
type Options struct {
	Dir      string    // for everything that it writes
	Progress io.Writer // gets a line for what takes long; nil: nobody
	// Nodes is the number of nodes in each pool.
	Nodes int
	// Replicas is the number of `switchd serve` processes.
	Replicas int
	// Prometheus tells whether there is to be one.
	Prometheus bool
	// LeaseTTL of the driver; zero: Consul's shortest.
	LeaseTTL time.Duration
	// SessionTTL of the agents; zero: Consul's shortest.
	SessionTTL time.Duration
	// ACLs has Consul deny whatever was not granted, and each process and command
	// have just what `switchd acl` prints for its role.
	ACLs bool
	// Serve are further flags of `switchd serve`.
	Serve []string
	// Namespaces gives each host a network namespace instead of a loopback
	// address, which takes root; a cluster like that has no ACLs.
	Namespaces bool
	// ConsulServers are on hosts of their own, if there is more than one; then
	// each replica talks to an agent on its host, and so do the operators.
	ConsulServers int
	// Via puts something between a replica, or the operators' commands, and the
	// Consul agent on their host, and tells where that listens; nil: nothing.
	Via func(ctx context.Context, who string, host *netns.Host, to string) (string, error)
}

// Cluster is one running.
type Cluster struct {
	Options

	Bin   Binaries
	Group *proc.Group
	ports ports
	net   network
	http  *http.Client // reaches all hosts

	Server   *proc.Process // the Consul server; with several, the operators' Consul agent
	Servers  []*Server     // several Consul servers, or none
	Metrics  *proc.Process // Prometheus
	Replicas []*Replica
	Agents   []*Agent
	Key      string // file of the private key that releases are signed with
	paths    map[string]string
	tokens   map[string]string // ACL tokens by person, node, or controller
	operated string            // where commands talk to Consul
}

// Binaries are the programs of this checkout, built static.
type Binaries struct{ Switchd, Agent, App string }

// Start builds and starts everything, and returns when all of it is up. The
// caller closes the cluster also when Start fails.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.LeaseTTL == 0 {
		opts.LeaseTTL = consul.MinSessionTTL
	}
	if opts.SessionTTL == 0 {
		opts.SessionTTL = consul.MinSessionTTL
	}
	if opts.Progress == nil {
		opts.Progress = io.Discard
	}
	c := &Cluster{Options: opts, paths: make(map[string]string), tokens: make(map[string]string)}
	for _, name := range []string{servers.Consul, servers.Prometheus} {
		path, err := servers.Find(ctx, opts.Progress, name)
		if err != nil {
			return c, err
		}
		c.paths[name] = path
	}
	var err error
	if c.Bin, err = Build(ctx, filepath.Join(opts.Dir, "bin")); err != nil {
		return c, err
	}
	if c.Group, err = proc.NewGroup(); err != nil {
		return c, err
	}
	if c.net, err = newNetwork(ctx, opts); err != nil {
		return c, err
	}
	c.http = &http.Client{Transport: c.transport()}
	if c.ports, err = c.net.freePorts(); err != nil {
		return c, err
	}
	for _, pool := range []string{"blue", "green"} {
		for i := range opts.Nodes {
			c.Agents = append(c.Agents, &Agent{Node: nodeName(pool, i), Pool: pool, cluster: c, address: c.net.node(pool, i)})
		}
	}
	for i := range opts.Replicas {
		c.Replicas = append(c.Replicas, &Replica{Name: fmt.Sprintf("ns%d", i+1), cluster: c, address: c.net.replica(i)})
	}
	if err := c.startConsul(ctx); err != nil {
		return c, err
	}
	if c.operated, err = c.via(ctx, "operators", c.net.server(), c.ConsulAddr()); err != nil {
		return c, err
	}
	if err := c.keys(ctx); err != nil {
		return c, err
	}
	if err := c.grant(ctx); err != nil {
		return c, err
	}
	if opts.Prometheus {
		if err := c.StartPrometheus(ctx); err != nil {
			return c, err
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, r := range c.Replicas {
		group.Go(func() error { return r.Start(groupCtx) })
	}
	for _, a := range c.Agents {
		group.Go(func() error { return a.Start(groupCtx) })
	}
	return c, group.Wait()
}

func nodeName(pool string, i int) string { return fmt.Sprintf("web-%s%d", pool[:1], i+1) }

// Close ends everything that the cluster has started, services included.
func (c *Cluster) Close() error {
	if c.Group == nil {
		return nil
	}
	if c.http != nil {
		c.http.CloseIdleConnections()
	}
	return errors.Join(c.Group.Close(), c.net.close())
}

// ConsulAddr is the Consul server's HTTP address.
func (c *Cluster) ConsulAddr() string { return join(c.net.server(), c.ports.consulHTTP) }

// GRPC is where proxies on the Consul server's host ask it.
func (c *Cluster) GRPC() string { return join(c.net.server(), c.ports.consulGRPC) }

// via is where a program on a host talks to a Consul agent.
func (c *Cluster) via(ctx context.Context, who, address, to string) (string, error) {
	if c.Via == nil {
		return to, nil
	}
	return c.Via(ctx, who, c.net.host(address), to)
}

// Between is where somebody else among the operators talks to Consul.
func (c *Cluster) Between(ctx context.Context, who string) (string, error) {
	return c.via(ctx, who, c.net.server(), c.ConsulAddr())
}

// PrometheusURL is Prometheus' base URL.
func (c *Cluster) PrometheusURL() string {
	return "http://" + join(c.net.server(), c.ports.prometheus)
}

// DNS are the addresses of all replicas' DNS servers.
func (c *Cluster) DNS() []string {
	var addrs []string
	for _, r := range c.Replicas {
		addrs = append(addrs, r.DNS())
	}
	return addrs
}

// AppPort is the port that the service listens on.
func (c *Cluster) AppPort() int { return c.ports.app }

// Dial connects to an address of the cluster from where its users are, over
// TCP or UDP.
func (c *Cluster) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if users := c.net.host(c.net.server()); users != nil {
		return users.DialContext(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Ledger opens the environment's ledger.
func (c *Cluster) Ledger() (*ledger.Ledger, error) {
	client, err := consul.NewClientOver(consul.Flags{HTTPAddr: c.ConsulAddr(), Token: c.manager()}, c.transport())
	if err != nil {
		return nil, err
	}
	return &ledger.Ledger{Consul: client, Keys: consul.Keys{Env: Env}}, nil
}

// transport reaches all hosts, wherever they are. It keeps no connections, so
// that nothing is left of it.
func (c *Cluster) transport() http.RoundTripper {
	return &http.Transport{DialContext: c.net.dial, DisableKeepAlives: true}
}

// path makes and names a folder of the cluster.
func (c *Cluster) path(parts ...string) (string, error) {
	dir := filepath.Join(append([]string{c.Dir}, parts...)...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a folder of the cluster: %w", err)
	}
	return dir, nil
}

// start starts one program on the host with an address, with its log in the
// cluster's folder.
func (c *Cluster) start(ctx context.Context, address, name string, env []string, argv ...string) (*proc.Process, error) {
	logs, err := c.path("logs")
	if err != nil {
		return nil, err
	}
	command := c.net.command(ctx, address, argv[0], argv[1:]...)
	return c.Group.Start(ctx, name, filepath.Join(logs, name+".log"), command.Args, env)
}

// await tries until try has no error, its process has ended, or the time is
// over.
func await(ctx context.Context, what string, p *proc.Process, try func(context.Context) error) error {
	const patience, every = time.Minute, 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, errors.Join(ctx.Err(), err))
		case <-p.Done():
			tail, _ := p.LogTail()
			return fmt.Errorf("%s ended: %s", what, tail)
		case <-time.After(every):
		}
	}
}

func join(addr string, port int) string { return net.JoinHostPort(addr, fmt.Sprint(port)) }
