package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"switchd/testenv/netns"
	"switchd/testenv/proc"
)

// Server is one of several Consul servers, on a host of its own.
type Server struct {
	*proc.Process

	Name    string
	cluster *Cluster
	address string
}

// Start starts it, also again after it was killed.
func (s *Server) Start(ctx context.Context) error {
	var err error
	s.Process, err = s.cluster.startConsulAgent(ctx, s.Name, s.address, map[string]any{
		"server": true, "bootstrap_expect": s.cluster.ConsulServers, "retry_join": s.cluster.joins(), "retry_interval": "1s",
		// One that was away for a moment is not to be missed for long.
		"reconnect_timeout": "8h",
	})
	return err
}

// Host is its namespace; nil where hosts have none.
func (s *Server) Host() *netns.Host { return s.cluster.net.host(s.address) }

// joins are the addresses at which an agent finds the servers.
func (c *Cluster) joins() []string {
	if len(c.Servers) == 0 {
		return []string{join(c.net.server(), c.ports.consulSerf)}
	}
	var addrs []string
	for _, s := range c.Servers {
		addrs = append(addrs, join(s.address, c.ports.consulSerf))
	}
	return addrs
}

// startServers starts the servers, and a client agent for the operators, which
// is in the place of the one server of other clusters.
func (c *Cluster) startServers(ctx context.Context) error {
	for i := range c.ConsulServers {
		c.Servers = append(c.Servers, &Server{Name: fmt.Sprintf("consul%d", i+1), cluster: c, address: c.net.consul(i)})
	}
	for _, s := range c.Servers {
		if err := s.Start(ctx); err != nil {
			return err
		}
	}
	var err error
	c.Server, err = c.startClient(ctx, "operators", c.net.server(), nil)
	return err
}

// startReplicaAgents starts the Consul agents of the replicas' hosts.
func (c *Cluster) startReplicaAgents(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range c.Replicas {
		group.Go(func() (err error) {
			r.Consul, err = c.startClient(ctx, r.Name, r.address, nil)
			return err
		})
	}
	return group.Wait()
}

// startClient starts a host's Consul agent.
func (c *Cluster) startClient(ctx context.Context, name, address string, meta map[string]string) (*proc.Process, error) {
	p, err := c.startConsulAgent(ctx, name, address, map[string]any{
		"server": false, "retry_join": c.joins(), "retry_interval": "1s", "node_meta": meta,
	})
	if err != nil {
		return nil, err
	}
	return p, await(ctx, "the Consul agent of "+name, p, func(ctx context.Context) error {
		// The agent is of use once its node is in the catalog.
		return c.get(ctx, "http://"+join(address, c.ports.consulHTTP)+"/v1/catalog/node/"+name, func(body []byte) bool { return len(body) > 4 })
	})
}

// Leader is the server that leads the others.
func (c *Cluster) Leader(ctx context.Context) (*Server, error) {
	var errs []error
	for _, asked := range c.Servers {
		var leader *Server
		err := c.get(ctx, "http://"+join(asked.address, c.ports.consulHTTP)+"/v1/status/leader", func(body []byte) bool {
			for _, s := range c.Servers {
				if strings.Contains(string(body), `"`+s.address+":") {
					leader = s
				}
			}
			return leader != nil
		})
		if err == nil {
			return leader, nil
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("find Consul's leader: %w", errors.Join(errs...))
}
