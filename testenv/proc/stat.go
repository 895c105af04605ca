//go:build linux

package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The states of proc_pid_stat(5) that matter here.
const (
	zombie  = 'Z'
	stopped = 'T'
)

// identity tells a process from a later one with the same id.
type identity struct {
	pid   int
	start uint64 // clock ticks since boot
}

// process is what /proc/PID/stat says of a process.
type process struct {
	identity
	name   string
	state  byte
	parent int
}

// String names the process for an error.
func (p process) String() string { return fmt.Sprintf("%d (%s, %c)", p.pid, p.name, p.state) }

// processes returns all processes that can be seen.
func processes() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close() //nolint:errcheck // It was only read.
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []process
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p, err := readProcess(pid)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH) {
			continue // It ended since.
		}
		if err != nil {
			return nil, fmt.Errorf("list processes: %w", err)
		}
		all = append(all, p)
	}
	return all, nil
}

func readProcess(pid int) (process, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	return parseStat(string(text))
}

// parseStat parses a line of /proc/PID/stat, proc_pid_stat(5). The name in its
// second field may hold spaces and parentheses, so it ends at the last one.
func parseStat(line string) (process, error) {
	open, end := strings.Index(line, " ("), strings.LastIndex(line, ") ")
	if open < 0 || end < open {
		return process{}, fmt.Errorf("parse stat %.80q: no name in it", line)
	}
	pid, err := strconv.Atoi(line[:open])
	if err != nil {
		return process{}, fmt.Errorf("parse stat %.80q: process id: %w", line, err)
	}
	// Fields count from 1 in the manual; these begin with the third.
	fields := strings.Fields(line[end+2:])
	if len(fields) < 20 || len(fields[0]) != 1 {
		return process{}, fmt.Errorf("parse stat %.80q: it is cut off", line)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return process{}, fmt.Errorf("parse stat %.80q: parent: %w", line, err)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return process{}, fmt.Errorf("parse stat %.80q: start time: %w", line, err)
	}
	return process{
		identity: identity{pid: pid, start: start},
		name:     line[open+2 : end],
		state:    fields[0][0],
		parent:   parent,
	}, nil
}
