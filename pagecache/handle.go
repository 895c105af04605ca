package pagecache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/procfs"
)

// Handle identifies a pin process for all time, also after restarts of the
// agent and of the machine. It is text, so that a journal can keep it.
type Handle string

// identity is what a handle says: a process's number, when it was started in
// clock ticks since boot, and which boot that was.
type identity struct {
	pid   int
	start uint64
	boot  string
}

const handleScheme = "pin"

func (i identity) handle() Handle {
	return Handle(fmt.Sprintf("%s:%d:%d:%s", handleScheme, i.pid, i.start, i.boot))
}

func parseHandle(h Handle) (identity, error) {
	parts := strings.Split(string(h), ":")
	if len(parts) != 4 || parts[0] != handleScheme || parts[3] == "" {
		return identity{}, fmt.Errorf("handle %.80q is not one of a pin process: want %s:<pid>:<start>:<boot>", h, handleScheme)
	}
	pid, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil {
		return identity{}, fmt.Errorf("handle %.80q: parse its pid: %w", h, err)
	}
	// To kill(2), 0 and the negative numbers are groups of processes.
	if pid <= 1 {
		return identity{}, fmt.Errorf("handle %.80q: pid %d is not one of a pin process", h, pid)
	}
	start, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return identity{}, fmt.Errorf("handle %.80q: parse its start time: %w", h, err)
	}
	return identity{pid: int(pid), start: start, boot: parts[3]}, nil
}

// identify returns the identity of a process that has not been reaped.
func identify(pid int) (identity, error) {
	boot, err := bootID()
	if err != nil {
		return identity{}, err
	}
	s, err := processStat(pid)
	if err != nil {
		return identity{}, fmt.Errorf("identify pid %d: %w", pid, err)
	}
	return identity{pid: pid, start: s.Starttime, boot: boot}, nil
}

// alive tells whether exactly this process is there and has not ended.
func (i identity) alive() (bool, error) {
	boot, err := bootID()
	if err != nil || boot != i.boot {
		return false, err
	}
	s, err := processStat(i.pid)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
		return false, nil // ESRCH: it ended between open and read.
	case err != nil:
		return false, fmt.Errorf("look for pid %d: %w", i.pid, err)
	}
	return s.Starttime == i.start && !ended(s), nil
}

// ended tells whether a process has ended and only waits to be reaped. With
// threads left, a zombie is merely a main thread that ended before the others.
func ended(s procfs.ProcStat) bool {
	return s.State == "X" || s.State == "x" || s.State == "Z" && s.NumThreads <= 1
}

func processStat(pid int) (procfs.ProcStat, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}, err
	}
	return p.Stat()
}

// bootID names the running boot of the machine, see random(4).
func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return string(bytes.TrimSpace(text)), nil
}
