package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"switchd/testenv/servers"
)

// prometheusConfig scrapes what Consul knows: the services by their pool,
// version and node, and switchd's replicas.
const prometheusConfig = `
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
scrape_configs:
  - job_name: services
    consul_sd_configs:
      - server: %[1]s
        token: "%[2]s"
        datacenter: dc1
        refresh_interval: 1s
    relabel_configs:
      - source_labels: [__meta_consul_service_metadata_pool]
        regex: blue|green
        action: keep
      - source_labels: [__meta_consul_service]
        target_label: service
      - source_labels: [__meta_consul_service_metadata_pool]
        target_label: pool
      - source_labels: [__meta_consul_service_metadata_version]
        target_label: version
      - source_labels: [__meta_consul_node]
        target_label: node
  - job_name: switchd
    scrape_interval: 5s
    consul_sd_configs:
      - server: %[1]s
        token: "%[2]s"
        datacenter: dc1
        services: [switchd]
        refresh_interval: 5s
    relabel_configs:
      - source_labels: [__meta_consul_service_metadata_replica]
        target_label: replica
`

// StartPrometheus starts Prometheus, also again after it was killed.
func (c *Cluster) StartPrometheus(ctx context.Context) error {
	dir, err := c.path("prometheus")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, fmt.Appendf(nil, prometheusConfig, c.ConsulAddr(), c.Token("viewer")), 0o600); err != nil {
		return fmt.Errorf("configure Prometheus: %w", err)
	}
	c.Metrics, err = c.start(ctx, c.net.server(), "prometheus", nil, c.paths[servers.Prometheus],
		"--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+join(c.net.server(), c.ports.prometheus), "--log.level=warn")
	if err != nil {
		return err
	}
	return await(ctx, "Prometheus", c.Metrics, func(ctx context.Context) error {
		return c.get(ctx, c.PrometheusURL()+"/-/ready", func([]byte) bool { return true })
	})
}
