// Package devconsul runs real Consul agents for tests: a single server for an
// adapter's test, and the configuration of every agent of a cluster.
package devconsul

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

// Ports are an agent's. GRPC is that of xDS, 0 for none.
type Ports struct{ HTTP, Server, Serf, GRPC int }

// Write writes an agent's configuration into its folder and returns the file.
// What differs from Consul's defaults is the speed: short session TTLs are
// allowed and Raft's timers are the fast ones, so that tests of lost leases
// don't take minutes.
func Write(dir, name, address string, ports Ports, extra map[string]any) (string, error) {
	config := map[string]any{
		"node_name":             name,
		"data_dir":              filepath.Join(dir, "data"),
		"bind_addr":             address,
		"advertise_addr":        address,
		"client_addr":           address,
		"datacenter":            "dc1",
		"log_level":             "warn",
		"disable_update_check":  true,
		"check_update_interval": "0s",
		"session_ttl_min":       "1s",
		"performance":           map[string]any{"raft_multiplier": 1},
		"limits":                map[string]any{"http_max_conns_per_client": 2000},
		"ports": map[string]int{
			"http": ports.HTTP, "server": ports.Server, "serf_lan": ports.Serf,
			"serf_wan": -1, "dns": -1, "grpc": cmp.Or(ports.GRPC, -1), "grpc_tls": -1, "https": -1,
		},
	}
	maps.Copy(config, extra)
	text, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("configure Consul: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("configure Consul: %w", err)
	}
	file := filepath.Join(dir, "config.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return "", fmt.Errorf("configure Consul: %w", err)
	}
	return file, nil
}

// Server is what a lone server is configured with, or the first of several.
func Server() map[string]any {
	return map[string]any{"server": true, "bootstrap_expect": 1, "ui_config": map[string]any{"enabled": true}}
}
