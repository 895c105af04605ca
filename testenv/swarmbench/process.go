//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"switchd/testenv/netns"
)

// process is a program of a contender on a host.
type process struct {
	name string
	log  string
	pid  int
	// done is closed when the program said that it has the file, at doneAt.
	done   chan struct{}
	doneAt time.Time
	// ended is closed when it has ended, with err and cpu.
	ended chan struct{}
	err   error
	cpu   time.Duration
}

// termGrace is how long a program has to end after SIGTERM.
const termGrace = 5 * time.Second

// startProcess starts a program that gets SIGTERM when ctx ends. The calling
// thread must live on: the program dies with it.
func startProcess(ctx context.Context, host *netns.Host, name, dir string, args []string) (*process, error) {
	p := &process{
		name:  name,
		log:   filepath.Join(dir, name+".log"),
		done:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", name, err)
	}
	cmd := host.Command(ctx, args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &watcher{process: p, log: log}, log
	// A group of its own keeps a terminal's Ctrl-C from it: ctx ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = termGrace
	if err := cmd.Start(); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.pid = cmd.Process.Pid
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
		p.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		_ = log.Close()
	}()
	return p, nil
}

// await waits until the program has the file.
func (p *process) await(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-p.ended:
		return fmt.Errorf("%s ended before it had the file: %w\n%s", p.name, p.err, p.logTail())
	case <-ctx.Done():
		return fmt.Errorf("%s doesn't have the file: %w\n%s", p.name, context.Cause(ctx), p.logTail())
	}
}

// logTail returns the last lines of what the program said.
func (p *process) logTail() string {
	const lines = 5
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// peak returns the most memory that the living program had, in bytes
// (proc_pid_status(5)): rusage's would begin with what this process had when it
// started the program.
func (p *process) peak() (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w", p.name, err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read the memory of %s: %w", p.name, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("read the memory of %s: it has ended", p.name)
}

// watcher passes a program's output to its log, and looks for the line that
// begins with "done".
type watcher struct {
	process *process
	log     *os.File
	line    []byte // the beginning of the current line
	once    sync.Once
}

func (w *watcher) Write(text []byte) (int, error) {
	now := time.Now()
	for _, c := range text {
		if c == '\n' {
			if bytes.HasPrefix(w.line, []byte("done")) {
				w.once.Do(func() {
					w.process.doneAt = now
					close(w.process.done)
				})
			}
			w.line = w.line[:0]
		} else if len(w.line) < len("done") {
			w.line = append(w.line, c)
		}
	}
	return w.log.Write(text)
}
