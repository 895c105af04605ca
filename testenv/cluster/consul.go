package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"switchd/testenv/proc"
	"switchd/testenv/servers"
)

// startConsul starts one server and a client agent for each node.
func (c *Cluster) startConsul(ctx context.Context) error {
	var err error
	if c.Server, err = c.startConsulAgent(ctx, "consul", c.net.server(), map[string]any{
		"server": true, "bootstrap_expect": 1, "ui_config": map[string]any{"enabled": true},
	}); err != nil {
		return err
	}
	if err := await(ctx, "the Consul server", c.Server, func(ctx context.Context) error {
		return get(ctx, "http://"+c.ConsulAddr()+"/v1/status/leader", func(body []byte) bool { return len(body) > 2 })
	}); err != nil {
		return err
	}
	type host struct{ name, address, pool string }
	var hosts []host
	for _, pool := range []string{"blue", "green"} {
		for i := range c.Nodes {
			hosts = append(hosts, host{nodeName(pool, i), c.net.node(pool, i), pool})
		}
	}
	c.Clients = make([]*proc.Process, len(hosts))
	group, ctx := errgroup.WithContext(ctx)
	for i, h := range hosts {
		group.Go(func() error {
			p, err := c.startConsulAgent(ctx, h.name, h.address, map[string]any{
				"server": false, "retry_join": []string{join(c.net.server(), c.ports.consulSerf)}, "retry_interval": "1s",
				"node_meta": map[string]string{"pool": "web-" + h.pool},
			})
			if err != nil {
				return err
			}
			c.Clients[i] = p
			return await(ctx, "the Consul agent of "+h.name, p, func(ctx context.Context) error {
				// The agent is of use once its node is in the catalog.
				return get(ctx, "http://"+join(h.address, c.ports.consulHTTP)+"/v1/catalog/node/"+h.name, func(body []byte) bool { return len(body) > 4 })
			})
		})
	}
	return group.Wait()
}

// startConsulAgent starts one agent on its own address. What differs from
// Consul's defaults is its speed: a short TTL is allowed, so that tests of
// lost leases don't take minutes.
func (c *Cluster) startConsulAgent(ctx context.Context, name, address string, config map[string]any) (*proc.Process, error) {
	dir, err := c.path("consul", name)
	if err != nil {
		return nil, err
	}
	config["node_name"] = name
	config["data_dir"] = filepath.Join(dir, "data")
	config["bind_addr"] = address
	config["advertise_addr"] = address
	config["client_addr"] = address
	config["datacenter"] = "dc1"
	config["log_level"] = "warn"
	config["disable_update_check"] = true
	config["check_update_interval"] = "0s"
	config["session_ttl_min"] = "1s"
	config["performance"] = map[string]any{"raft_multiplier": 1}
	config["limits"] = map[string]any{"http_max_conns_per_client": 2000}
	config["ports"] = map[string]int{
		"http": c.ports.consulHTTP, "server": c.ports.consulServer, "serf_lan": c.ports.consulSerf,
		"serf_wan": -1, "dns": -1, "grpc": -1, "grpc_tls": -1, "https": -1,
	}
	text, err := json.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("configure Consul: %w", err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, fmt.Errorf("configure Consul: %w", err)
	}
	// Two threads each: many agents share this machine.
	return c.start(ctx, "consul-"+name, []string{"GOMAXPROCS=2"}, c.paths[servers.Consul], "agent", "-config-file="+file)
}

// get asks a URL and fails unless the body is as wanted.
func get(ctx context.Context, url string, wanted func([]byte) bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
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
