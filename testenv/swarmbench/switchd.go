//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// switchd is switchd's own swarm, one process a node.
type switchd struct{ program string }

func newSwitchd(ctx context.Context, dir string) (switchd, error) {
	program := filepath.Join(dir, "swarmnode")
	if err := output(exec.CommandContext(ctx, "go", "build", "-o", program, "switchd/testenv/swarmnode")); err != nil {
		return switchd{}, fmt.Errorf("build its node: %w", err)
	}
	return switchd{program: program}, nil
}

func (switchd) name() string { return "switchd" }

func (switchd) settings() string { return "as agents run it: mutual TLS, members known from the start" }

const seedName = "seed"

func (c switchd) prepare(ctx context.Context, s *stage) error {
	nodes := []string{seedName + "=" + s.seed.AddrPort(peerPort).String()}
	for i, host := range s.nodes {
		nodes = append(nodes, nodeName(i)+"="+host.AddrPort(peerPort).String())
	}
	return output(exec.CommandContext(ctx, c.program, "init", "-file", s.payload.path, "-nodes", strings.Join(nodes, ","), "-out", s.dir))
}

func (switchd) key(s *stage, name string) string { return filepath.Join(s.dir, name+".json") }

func (c switchd) seed(s *stage) []string {
	return []string{
		c.program, "seed", "-listen", s.seed.AddrPort(peerPort).String(), "-dir", filepath.Join(s.dir, seedName),
		"-file", s.payload.path, "-members", filepath.Join(s.dir, "members.json"), "-key", c.key(s, seedName),
	}
}

func (c switchd) node(s *stage, i int) (args []string, file string) {
	dir := s.nodeDir(i)
	return []string{
		c.program, "fetch", "-listen", s.nodes[i].AddrPort(peerPort).String(), "-dir", dir,
		"-members", filepath.Join(s.dir, "members.json"), "-key", c.key(s, nodeName(i)),
		"-manifest", filepath.Join(s.dir, "manifest.json"),
	}, filepath.Join(dir, fmt.Sprintf("%x", s.payload.sum))
}
