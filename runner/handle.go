package runner

import (
	"fmt"
	"strconv"
	"strings"
)

// identity names one process for all time: its number, when it was started in
// clock ticks since boot, and which boot that was.
type identity struct {
	pid   int
	start uint64
	boot  string
}

const handleScheme = "pid"

// handle writes the identity as pid:<pid>:<start>:<boot>.
func (i identity) handle() Handle {
	return Handle(fmt.Sprintf("%s:%d:%d:%s", handleScheme, i.pid, i.start, i.boot))
}

func parseHandle(h Handle) (identity, error) {
	parts := strings.Split(string(h), ":")
	if len(parts) != 4 || parts[0] != handleScheme || parts[3] == "" {
		return identity{}, fmt.Errorf("handle %q is not one of a process: want pid:<pid>:<start>:<boot>", h)
	}
	pid, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil {
		return identity{}, fmt.Errorf("handle %q: parse its pid: %w", h, err)
	}
	// 0 and the negative numbers are groups of processes to kill(2), and 1 is
	// nothing that was started here.
	if pid <= 1 {
		return identity{}, fmt.Errorf("handle %q: pid %d is not one of an instance", h, pid)
	}
	start, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return identity{}, fmt.Errorf("handle %q: parse its start time: %w", h, err)
	}
	return identity{pid: int(pid), start: start, boot: parts[3]}, nil
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
