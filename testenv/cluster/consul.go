package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"

	"switchd/testenv/devconsul"
	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

// StartServer starts the Consul server, also again after it was killed.
func (c *Cluster) StartServer(ctx context.Context) error {
	var err error
	if c.Server, err = c.startConsulAgent(ctx, "consul", c.net.server(), devconsul.Server()); err != nil {
		return err
	}
	return await(ctx, "the Consul server", c.Server, func(ctx context.Context) error {
		return c.get(ctx, "http://"+c.ConsulAddr()+"/v1/status/leader", func(body []byte) bool { return len(body) > 2 })
	})
}

// startConsul starts one server and a client agent for each node.
func (c *Cluster) startConsul(ctx context.Context) error {
	if c.ConsulServers > 1 {
		if err := errors.Join(c.startServers(ctx), c.startReplicaAgents(ctx)); err != nil {
			return err
		}
	} else if err := c.StartServer(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, a := range c.Agents {
		group.Go(func() error { return a.StartConsul(ctx) })
	}
	return group.Wait()
}

// StartConsul starts the node's Consul agent, also again after it was killed.
func (a *Agent) StartConsul(ctx context.Context) error {
	var err error
	a.Consul, err = a.cluster.startClient(ctx, a.Node, a.address, map[string]string{"pool": "web-" + a.Pool})
	return err
}

// startConsulAgent starts one agent on its own address.
func (c *Cluster) startConsulAgent(ctx context.Context, name, address string, extra map[string]any) (*proc.Process, error) {
	dir, err := c.path("consul", name)
	if err != nil {
		return nil, err
	}
	if c.ACLs {
		extra["acl"] = map[string]any{
			"enabled": true, "default_policy": "deny",
			"tokens": map[string]string{"initial_management": manager, "agent": manager},
		}
	}
	ports := devconsul.Ports{HTTP: c.ports.consulHTTP, Server: c.ports.consulServer, Serf: c.ports.consulSerf, GRPC: c.ports.consulGRPC}
	file, err := devconsul.Write(dir, name, address, ports, extra)
	if err != nil {
		return nil, err
	}
	// Two threads each: many agents share this machine.
	return c.start(ctx, address, "consul-"+name, []string{"GOMAXPROCS=2"}, c.paths[servers.Consul], "agent", "-config-file="+file)
}

// get asks a URL and fails unless the body is as wanted.
func (c *Cluster) get(ctx context.Context, url string, wanted func([]byte) bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	request.Header.Set("X-Consul-Token", manager) // nobody but Consul looks at it
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	defer func() { _ = response.Body.Close() }()
	body := make([]byte, 64<<10)
	n, err := response.Body.Read(body)
	if response.StatusCode != http.StatusOK || (err != nil && n == 0) {
		return fmt.Errorf("ask %s: %s", url, response.Status)
	}
	if !wanted(body[:n]) {
		return errors.New("ask " + url + ": not yet")
	}
	return nil
}
