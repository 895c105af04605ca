//go:build linux

package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	killGrace = 5 * time.Second
	killEvery = 10 * time.Millisecond
)

// killAll kills what runs in the namespace, and returns when it is gone, or an
// error that names what is not. Zombies are in no namespace.
func (ns *namespace) killAll() error {
	if ns.file == nil {
		return nil
	}
	for deadline := time.Now().Add(killGrace); ; time.Sleep(killEvery) {
		inside, err := ns.processes()
		if err != nil {
			return fmt.Errorf("find what runs in a network namespace: %w", err)
		}
		if len(inside) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("still running in a network namespace %s after SIGKILL: processes %v", killGrace, inside)
		}
		for _, p := range inside {
			if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return fmt.Errorf("kill process %d in a network namespace: %w", p.Pid, err)
			}
		}
	}
}

// processes returns the processes in the namespace but this one.
func (ns *namespace) processes() ([]*os.Process, error) {
	own, err := os.Readlink(ns.path())
	if err != nil {
		return nil, err
	}
	links, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var inside []*os.Process
	for _, link := range links {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(link))))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if !at(link, own) {
			continue
		}
		// The handle is a pidfd: when the process still is in the namespace
		// after the handle was opened, the handle can't mean a later process.
		if p, err := os.FindProcess(pid); err == nil && at(link, own) {
			inside = append(inside, p)
		}
	}
	return inside, nil
}

// at tells whether a link of /proc leads to target. One that can't be read is
// of a process that has ended, or of another user's.
func at(link, target string) bool {
	to, err := os.Readlink(link)
	return err == nil && to == target
}
