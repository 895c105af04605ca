//go:build linux

// Package proc starts the processes of a test or a demo and ends them for
// sure, with everything that they started: also what was daemonized, and what
// outlived a parent that was killed.
//
// The programs of a group carry a mark in their environment, which survives
// re-parenting, and their descendants are followed by parent. What has lost its
// parent comes to this process (PR_SET_CHILD_SUBREAPER, prctl(2)), which reaps
// it as init would.
package proc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lookEvery is how often a group looks for new descendants between the
	// deaths of children, which make it look at once.
	lookEvery = 250 * time.Millisecond
	// termGrace is how long Close waits between SIGTERM and SIGKILL.
	termGrace = 3 * time.Second
	// killGrace is how long Close waits for what was sent SIGKILL.
	killGrace = 10 * time.Second
	// closeEvery is how often Close looks whether all have gone.
	closeEvery = 20 * time.Millisecond
)

// Group is a set of processes that end together. It is safe for concurrent
// use, and a process may have several groups at once.
type Group struct {
	id      string
	threads chan func() // run by the thread that starts processes
	stop    chan struct{}
	ended   sync.WaitGroup

	mu      sync.Mutex // also held while a process starts: see look
	closed  bool
	started []*Process
	members members
}

// NewGroup returns an empty group and makes this process adopt orphans, which
// can't be undone as other groups may need it. Close it.
func NewGroup() (*Group, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("adopt orphans: %w", err)
	}
	g := &Group{
		id:      rand.Text(),
		threads: make(chan func()),
		stop:    make(chan struct{}),
	}
	g.members = newMembers(g.id)
	g.ended.Go(g.startOnOneThread)
	g.ended.Go(g.watch)
	return g, nil
}

// Mark returns the environment variable that the group's programs carry. Give
// it to programs that are started with a cleaned environment, so that the
// group knows them from their first moment.
func (g *Group) Mark() (name, value string) {
	// An outer group of this process itself stays in the mark.
	if outer := os.Getenv(markName); outer != "" {
		return markName, outer + ":" + g.id
	}
	return markName, g.id
}

// Start starts argv with its output appended to logfile, which is created with
// mode 0600. The variables of env (NAME=value) are added to this process's
// own. The program outlives ctx; it runs until it ends or the group is closed,
// and it gets SIGKILL when this process dies.
func (g *Group) Start(ctx context.Context, name, logfile string, argv, env []string) (*Process, error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("start %s: no program given", name)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	log, err := os.OpenFile(filepath.Clean(logfile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // The child writes to its own copy.

	cmd := exec.CommandContext(context.WithoutCancel(ctx), argv[0], argv[1:]...)
	markName, mark := g.Mark()
	cmd.Env = append(slices.Concat(os.Environ(), env), markName+"="+mark)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own keeps a terminal's Ctrl-C from it: Close ends it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, fmt.Errorf("start %s: the group is closed", name)
	}
	failed := make(chan error)
	g.threads <- func() { failed <- cmd.Start() }
	if err := <-failed; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	// Nobody has waited for the child yet, so its entry is there even if it
	// has ended.
	stat, err := readProcess(cmd.Process.Pid)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), cmd.Process.Kill(), cmd.Wait())
	}
	p := &Process{identity: stat.identity, name: name, logfile: logfile, cmd: cmd, group: g, done: make(chan struct{})}
	g.started = append(g.started, p)
	g.ended.Go(p.wait)
	return p, nil
}

// startOnOneThread runs what is sent to threads on one thread that lives as
// long as the group, because a thread's death, too, sends Pdeathsig to what it
// started.
func (g *Group) startOnOneThread() {
	runtime.LockOSThread() // Never unlocked: the thread ends with the goroutine.
	for start := range g.threads {
		start()
	}
}

// watch learns of new descendants and reaps orphans until the group is closed.
func (g *Group) watch() {
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, unix.SIGCHLD)
	defer signal.Stop(deaths)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-g.stop:
			return
		case <-deaths:
		case <-ticker.C:
		}
		// What can't be read now is read at the next tick; Close reports it.
		_, _ = g.look()
	}
}

// look brings the members up to date, reaps dead orphans and returns what is
// left, with zombies that others have yet to wait for.
func (g *Group) look() ([]process, error) {
	// The lock makes sure that no child is between its start and its place in
	// started: it would be taken for an orphan, and reaped before os/exec
	// could wait for it.
	g.mu.Lock()
	defer g.mu.Unlock()
	found, err := g.members.update()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, g.reap), nil
}

// reap waits for m if it is a dead orphan, and tells whether it was.
func (g *Group) reap(m process) bool {
	if m.state != zombie || m.parent != os.Getpid() {
		return false
	}
	if slices.ContainsFunc(g.started, func(p *Process) bool { return p.identity == m.identity }) {
		return false // os/exec waits for it.
	}
	pid, err := unix.Wait4(m.pid, nil, unix.WNOHANG, nil)
	return err == nil && pid == m.pid
}

// Pids returns the process ids of all that live, in no order.
func (g *Group) Pids() ([]int, error) {
	members, err := g.look()
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, m := range members {
		if m.state != zombie {
			pids = append(pids, m.pid)
		}
	}
	return pids, nil
}

// Close ends all processes of the group and all that they started: SIGTERM, a
// grace of 3 s, SIGKILL. It returns when they are gone, or an error that names
// those that are not. A second Close does nothing.
func (g *Group) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	g.mu.Unlock()

	left, err := g.end(unix.SIGTERM, termGrace)
	if err == nil && len(left) > 0 {
		left, err = g.end(unix.SIGKILL, killGrace)
	}
	close(g.stop)
	close(g.threads)
	if err != nil {
		return fmt.Errorf("close the group: %w", err)
	}
	if len(left) > 0 {
		return fmt.Errorf("close the group: still running %s after SIGKILL: %v", killGrace, left)
	}
	g.ended.Wait()
	return nil
}

// end sends sig once to each member, also to those that turn up meanwhile, and
// returns those that are left after grace.
func (g *Group) end(sig unix.Signal, grace time.Duration) ([]process, error) {
	sent := map[identity]bool{}
	deadline := time.Now().Add(grace)
	for {
		left, err := g.look()
		if err != nil || len(left) == 0 || time.Now().After(deadline) {
			return left, err
		}
		for _, m := range left {
			if sent[m.identity] {
				continue
			}
			sent[m.identity] = true
			use := sig
			if m.state == stopped {
				use = unix.SIGKILL // It couldn't act on anything else.
			}
			if err := m.signal(use); err != nil {
				return nil, err
			}
		}
		time.Sleep(closeEvery)
	}
}

// LogTails writes the end of every process's log to w, for a test that failed.
func (g *Group) LogTails(w io.Writer) error {
	g.mu.Lock()
	started := slices.Clone(g.started)
	g.mu.Unlock()
	var errs []error
	for _, p := range started {
		text, err := p.LogTail()
		if err == nil {
			_, err = fmt.Fprintf(w, "--- the end of %s's log (%s)\n%s\n", p.name, p.logfile, text)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
