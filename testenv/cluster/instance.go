package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Instance is a process of the service on a node, as the kernel knows it, and
// the shim that it runs under.
type Instance struct {
	Pid, Shim int
	begun     string // when, in the kernel's words: with Pid, it is nobody else's
}

// Instances are the processes of the service by node, whoever started them.
// There should never be more than one on a node.
func (c *Cluster) Instances() (map[string][]Instance, error) {
	pids, err := c.Group.Pids()
	if err != nil {
		return nil, fmt.Errorf("find the services: %w", err)
	}
	found := make(map[string][]Instance)
	for _, pid := range pids {
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		if err != nil {
			continue // It has ended.
		}
		for _, a := range c.Agents {
			if !bytes.Contains(line, []byte("\x00--addr\x00"+join(a.address, c.ports.app)+"\x00")) {
				continue
			}
			if in, err := instance(pid); err == nil {
				found[a.Node] = append(found[a.Node], in)
			}
		}
	}
	return found, nil
}

// Instances are those on this node.
func (a *Agent) Instances() ([]Instance, error) {
	all, err := a.cluster.Instances()
	return all[a.Node], err
}

func instance(pid int) (Instance, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Instance{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	// Fields 3 (state), 4 (parent) and 22 (start) of proc_pid_stat(5), counted
	// from the end of the name, which may have anything in it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return Instance{}, os.ErrProcessDone
	}
	parent, err := strconv.Atoi(fields[1])
	return Instance{Pid: pid, Shim: parent, begun: fields[19]}, err
}

// Alive tells whether it still runs.
func (i Instance) Alive() bool {
	now, err := instance(i.Pid)
	return err == nil && now.begun == i.begun
}

// PowerOff ends all that runs on the node at once, as the end of the machine
// does. StartConsul and Start bring it back.
func (a *Agent) PowerOff() error {
	// The agent first: it would start the service again.
	errs := []error{a.Kill()}
	instances, err := a.Instances()
	errs = append(errs, err)
	for _, in := range instances {
		if err := unix.Kill(in.Shim, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("kill the shim of %s: %w", a.Node, err))
		}
	}
	return errors.Join(append(errs, a.Consul.Kill())...)
}
