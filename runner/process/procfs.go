package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"switchd/runner/environ"
)

// stat is what proc_pid_stat(5) tells of a process.
type stat struct {
	pid     int
	state   byte
	parent  int
	session int
	threads int
	start   uint64 // clock ticks since boot
}

// ended tells whether the process has ended and only waits to be reaped. With
// threads left, a zombie is merely a main thread that ended before the others.
func (s stat) ended() bool {
	return s.state == 'X' || s.state == 'x' || s.state == 'Z' && s.threads <= 1
}

// parseStat parses /proc/<pid>/stat. The command's name in it may hold
// anything, spaces and parentheses and line feeds too: fields are counted from
// the last closing parenthesis.
func parseStat(text []byte) (stat, error) {
	open, last := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 1 || last < open {
		return stat{}, fmt.Errorf("process status %.80q has no name in parentheses", text)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text[:open])))
	if err != nil {
		return stat{}, fmt.Errorf("process status: parse the pid: %w", err)
	}
	// The manual counts fields from 1; the state is the third.
	const first, parent, session, threads, start = 3, 4, 6, 20, 22
	fields := strings.Fields(string(text[last+1:]))
	if len(fields) <= start-first || len(fields[0]) != 1 {
		return stat{}, fmt.Errorf("process status of pid %d has %d fields after its name", pid, len(fields))
	}
	s := stat{pid: pid, state: fields[0][0]}
	if lower := s.state | 0x20; lower < 'a' || lower > 'z' {
		return stat{}, fmt.Errorf("process status of pid %d: its state %q is no letter", pid, s.state)
	}
	if s.parent, err = strconv.Atoi(fields[parent-first]); err != nil {
		return stat{}, fmt.Errorf("process status of pid %d: parse the parent: %w", pid, err)
	}
	if s.session, err = strconv.Atoi(fields[session-first]); err != nil {
		return stat{}, fmt.Errorf("process status of pid %d: parse the session: %w", pid, err)
	}
	if s.threads, err = strconv.Atoi(fields[threads-first]); err != nil {
		return stat{}, fmt.Errorf("process status of pid %d: parse the number of threads: %w", pid, err)
	}
	if s.start, err = strconv.ParseUint(fields[start-first], 10, 64); err != nil {
		return stat{}, fmt.Errorf("process status of pid %d: parse the start time: %w", pid, err)
	}
	return s, nil
}

// readStat reads the status of a process; gone tells whether its error means
// that there is no such process.
func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, fmt.Errorf("read process status: %w", err)
	}
	return parseStat(text)
}

// gone tells whether err means that the process is not there: not found at
// open, or ended between open and read.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
}

// processes returns the status of every process that can be read.
func processes() ([]stat, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close() //nolint:errcheck // Opened for reading.
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []stat
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		// What ends while the list is read, or is hidden, is not ours.
		if s, err := readStat(pid); err == nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// marks are what a process was started with, so that it is known again.
type marks struct {
	instance string // environ.Instance
	shim     string // shimVar: whose service it is, or a part of
	socket   string // socketVar: it is a shim, which listens there
}

// readMarks returns the marks in the environment that a process was started
// with; none where it can't be read.
func readMarks(pid int) marks {
	f, err := os.Open(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return marks{}
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	// The kernel bounds it by a quarter of the stack's limit.
	env, err := io.ReadAll(io.LimitReader(f, 8<<20))
	if err != nil {
		return marks{}
	}
	var m marks
	for v := range bytes.SplitSeq(env, []byte{0}) {
		name, value, _ := bytes.Cut(v, []byte{'='})
		switch string(name) {
		case environ.Instance:
			m.instance = string(value)
		case shimVar:
			m.shim = string(value)
		case socketVar:
			m.socket = string(value)
		}
	}
	return m
}

// bootID names the running boot of the machine, see random(4).
func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return string(bytes.TrimSpace(text)), nil
}
