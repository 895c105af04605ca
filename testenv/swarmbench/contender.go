//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"

	"switchd/testenv/netns"
)

// contender is a way to distribute a file. Its programs listen on peerPort and
// run until SIGTERM. A node's program prints a line that begins with "done"
// when it has the whole file.
type contender interface {
	name() string
	// settings tells what it was tuned with.
	settings() string
	// prepare makes what the programs of one trial need. What it starts ends
	// with ctx.
	prepare(ctx context.Context, s *stage) error
	// seed returns the arguments of the seed's program.
	seed(s *stage) []string
	// node returns the arguments of a node's program, and where it puts the
	// file.
	node(s *stage, i int) (args []string, file string)
}

// peerPort is where every peer listens.
const peerPort = 6881

// stage is the network and the folder of one trial.
type stage struct {
	dir     string
	payload payload
	rate    bitRate
	seed    *netns.Host
	tracker *netns.Host
	nodes   []*netns.Host
}

// newStage gives each role a host.
func newStage(dir string, p payload, rate bitRate, hosts []*netns.Host) *stage {
	return &stage{dir: dir, payload: p, rate: rate, seed: hosts[0], tracker: hosts[1], nodes: hosts[2:]}
}

// extraHosts are those of newStage that aren't nodes.
const extraHosts = 2

// nodeDir returns the folder of a node's own files.
func (s *stage) nodeDir(i int) string { return filepath.Join(s.dir, nodeName(i)) }

func nodeName(i int) string { return "node" + strconv.Itoa(i) }

// contenders returns those that are to take part, ready to run.
func (c *benchCmd) contenders(ctx context.Context, dir string) ([]contender, error) {
	var all []contender
	for _, name := range c.Contenders {
		var (
			next contender
			err  error
		)
		switch name {
		case "switchd":
			next, err = newSwitchd(ctx, dir)
		case "aria2":
			next, err = newAria2(dir)
		case "libtorrent":
			next, err = newLibtorrent(ctx, dir, c.Python)
		case "http":
			next, err = newStar()
		default:
			err = fmt.Errorf("there is no such contender")
		}
		if err != nil {
			return nil, fmt.Errorf("contender %s: %w", name, err)
		}
		all = append(all, next)
	}
	return all, nil
}

// output runs a program for its side effect; its output is in the error.
func output(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
