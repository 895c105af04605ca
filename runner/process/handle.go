package process

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"switchd/runner"
)

// identity names one process for all time: its number, when it was started in
// clock ticks since boot, and which boot that was.
type identity struct {
	pid   int
	start uint64
	boot  string
}

// instance is what a handle names: a shim with the socket that it listens on.
// Without a socket it is the service itself, started by an agent of the time
// before there were shims.
type instance struct {
	identity

	socket string
}

const (
	shimScheme  = "shim"
	plainScheme = "pid"
)

// handle writes the instance as shim:<pid>:<start>:<boot>:<socket>, or as
// pid:<pid>:<start>:<boot>.
func (i instance) handle() runner.Handle {
	if i.socket == "" {
		return runner.Handle(fmt.Sprintf("%s:%d:%d:%s", plainScheme, i.pid, i.start, i.boot))
	}
	return runner.Handle(fmt.Sprintf("%s:%d:%d:%s:%s", shimScheme, i.pid, i.start, i.boot, i.socket))
}

func parseHandle(h runner.Handle) (instance, error) {
	scheme, rest, _ := strings.Cut(string(h), ":")
	fields := map[string]int{plainScheme: 3, shimScheme: 4}[scheme]
	parts := strings.SplitN(rest, ":", 4)
	if fields == 0 || len(parts) != fields || parts[2] == "" {
		return instance{}, fmt.Errorf("handle %q is not one of a process: want shim:<pid>:<start>:<boot>:<socket>", h)
	}
	pid, err := strconv.ParseInt(parts[0], 10, 32)
	if err != nil {
		return instance{}, fmt.Errorf("handle %q: parse its pid: %w", h, err)
	}
	// 0 and the negative numbers are groups of processes to kill(2), and 1 is
	// nothing that was started here.
	if pid <= 1 {
		return instance{}, fmt.Errorf("handle %q: pid %d is not one of an instance", h, pid)
	}
	start, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return instance{}, fmt.Errorf("handle %q: parse its start time: %w", h, err)
	}
	i := instance{identity: identity{pid: int(pid), start: start, boot: parts[2]}}
	if scheme == shimScheme {
		if i.socket = parts[3]; !filepath.IsAbs(i.socket) || strings.ContainsRune(i.socket, 0) {
			return instance{}, fmt.Errorf("handle %q: its socket %q is no absolute path", h, i.socket)
		}
	}
	return i, nil
}

// identify returns who has this number now.
func identify(pid int) (identity, error) {
	boot, err := bootID()
	if err != nil {
		return identity{}, err
	}
	s, err := readStat(pid)
	if err != nil {
		return identity{}, err
	}
	return identity{pid: pid, start: s.start, boot: boot}, nil
}

// mark is how everything that a shim runs carries its shim in the environment.
func (i identity) mark() string {
	return fmt.Sprintf("%d:%d", i.pid, i.start)
}

// parseMark reads a mark that a process of this boot carries.
func parseMark(text, boot string) (identity, error) {
	pid, start, ok := strings.Cut(text, ":")
	if !ok {
		return identity{}, errors.New("no mark of a shim")
	}
	p, err := strconv.ParseInt(pid, 10, 32)
	if err != nil {
		return identity{}, fmt.Errorf("parse the mark of a shim: %w", err)
	}
	s, err := strconv.ParseUint(start, 10, 64)
	if err != nil {
		return identity{}, fmt.Errorf("parse the mark of a shim: %w", err)
	}
	return identity{pid: int(p), start: s, boot: boot}, nil
}

// alive tells whether exactly this process is there and has not ended.
func (i identity) alive() (bool, error) {
	boot, err := bootID()
	if err != nil {
		return false, err
	}
	if boot != i.boot {
		return false, nil
	}
	s, err := readStat(i.pid)
	switch {
	case gone(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return s.start == i.start && !s.ended(), nil
}
