package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// wireVersion is the version of what agent and shim say to each other. They
// may be of different releases: what one doesn't know, it ignores, and what
// has a meaning keeps it.
const wireVersion = 1

// maxWire bounds each message.
const maxWire = 4 << 20

// What a shim process is started for.
const (
	doSupervise = "supervise" // be a shim
	doExecute   = "execute"   // become the service
	doCheck     = "check"     // find out whether it could
)

// task is what a shim process reads from its stdin: not from its arguments,
// which everybody on the machine can see.
type task struct {
	Version    int           `json:"version"`
	Do         string        `json:"do"`
	Program    command       `json:"program"`
	LogFile    string        `json:"log_file,omitempty"`
	Socket     string        `json:"socket,omitempty"`
	StopSignal int           `json:"stop_signal,omitempty"`
	StopGrace  time.Duration `json:"stop_grace,omitempty"`
	Parent     int           `json:"parent,omitempty"` // of what becomes the service
}

// command is what is to be executed.
type command struct {
	Path    string            `json:"path"`
	Args    []string          `json:"args"`
	Env     []string          `json:"env"`
	Dir     string            `json:"dir"`
	Limits  map[string]uint64 `json:"limits,omitempty"`
	Account account           `json:"account"`
}

// report is the answer to a task, on reportFD.
type report struct {
	Version int    `json:"version"`
	Error   string `json:"error,omitempty"`
}

// reportFD is where a shim process finds the pipe for its report.
const reportFD = 3

// order is what an agent asks of a shim over its socket. An empty one asks
// how it is.
type order struct {
	Version int        `json:"version"`
	Stop    *stopOrder `json:"stop,omitempty"`
}

type stopOrder struct {
	Signal int           `json:"signal"`
	Grace  time.Duration `json:"grace"`
}

// answer is how a shim is.
type answer struct {
	Version  int    `json:"version"`
	PID      int    `json:"pid"`
	Restarts int    `json:"restarts"`
	Why      string `json:"why,omitempty"`
}

// give writes a task into a file in memory that can be a child's stdin: it
// needs nobody to feed it, and no room on a disk.
func give(t task) (*os.File, error) {
	t.Version = wireVersion
	fd, err := unix.MemfdCreate("task", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "task")
	if err := json.NewEncoder(f).Encode(t); err != nil {
		return nil, errors.Join(fmt.Errorf("write task: %w", err), f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(fmt.Errorf("write task: %w", err), f.Close())
	}
	return f, nil
}

// take reads one message.
func take[T any](r io.Reader) (T, error) {
	var message T
	err := json.NewDecoder(io.LimitReader(r, maxWire)).Decode(&message)
	return message, err
}
