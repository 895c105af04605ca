package pagecache

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// pinVar marks the pin processes of an ID, in the environment that they are
// started with.
const pinVar = "SWITCHD_PIN"

// stopGrace is how long a pin process may take to end after SIGTERM.
const stopGrace = 5 * time.Second

// Pinner keeps files locked in memory, each set of them by a process of its
// own, which outlives this one. Several may lock the same file, which is in
// memory once: to hand over without a gap, start the new one before the old
// one is stopped. It is safe for concurrent use.
//
// A pin process is in the control group that this one is in. Whatever
// supervises the agent must leave it alone: a systemd unit needs
// KillMode=process.
type Pinner struct {
	command []string
	log     *slog.Logger
}

// NewPinner returns a pinner. The command must lead to PinMain, such as
// {"/usr/bin/agent", "pin"}.
func NewPinner(command []string, log *slog.Logger) *Pinner {
	return &Pinner{command: slices.Clone(command), log: log}
}

// Start locks files, by their absolute paths, and returns once all of them are
// locked. If that fails, or ctx ends before, no process is left and the error
// tells why. The id is for Find; it needs not be unique.
func (p *Pinner) Start(ctx context.Context, id string, files []string) (Handle, error) {
	h, err := p.start(ctx, id, files)
	if err != nil {
		return "", fmt.Errorf("lock the files of %s in memory: %w", id, err)
	}
	return h, nil
}

func (p *Pinner) start(ctx context.Context, id string, files []string) (Handle, error) {
	if id == "" || len(p.command) == 0 {
		return "", errors.New("a pin process needs an id and a command")
	}
	config, err := json.Marshal(pinConfig{Files: files})
	if err != nil {
		return "", fmt.Errorf("write which files to lock: %w", err)
	}
	answer, childEnd, err := os.Pipe()
	if err != nil {
		return "", fmt.Errorf("make a pipe: %w", err)
	}
	defer answer.Close() //nolint:errcheck // Opened for reading.

	// The end of ctx does not end what has been started.
	child := exec.CommandContext(context.WithoutCancel(ctx), p.command[0], p.command[1:]...)
	child.Dir = "/"
	child.Env = []string{pinVar + "=" + id}
	child.Stdin = bytes.NewReader(config)
	child.Stdout, child.Stderr = childEnd, childEnd
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(child.Start(), childEnd.Close()); err != nil {
		return "", err
	}
	who, err := identify(child.Process.Pid) // Its entry in /proc stays until it is reaped.
	if err == nil {
		err = awaitLocked(ctx, answer)
	}
	if err != nil {
		_ = child.Process.Kill() // Unless it has ended.
		_ = child.Wait()         // Its answer says more.
		return "", err
	}
	p.log.InfoContext(ctx, "files locked in memory", "pin", id, "files", len(files), "pid", who.pid)
	go p.reap(child, id)
	return who.handle(), nil
}

// reap waits for a child, so that none becomes a zombie.
func (p *Pinner) reap(child *exec.Cmd, id string) {
	err := child.Wait()
	p.log.Info("files no longer locked in memory", "pin", id, "pid", child.Process.Pid, "state", child.ProcessState.String(), "error", err)
}

// awaitLocked returns nil when the pin process answers that all is locked, or
// an error with its last words.
func awaitLocked(ctx context.Context, answer *os.File) error {
	wake := context.AfterFunc(ctx, func() {
		_ = answer.SetReadDeadline(time.Unix(1, 0)) // Fails only when it is closed: nobody waits.
	})
	defer wake()
	in := bufio.NewReader(io.LimitReader(answer, 4<<10))
	line, err := in.ReadString('\n')
	var locked int64
	if _, scanErr := fmt.Sscanf(line, lockedLine, &locked); err == nil && scanErr == nil {
		return nil
	}
	rest, restErr := io.ReadAll(in)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(restErr, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return fmt.Errorf("the pin process failed: %s", strings.TrimSpace(line+string(rest)))
}

// Find returns the pin processes that were started under an ID, whoever started
// them, so that none is lost when the agent dies between Start and the note of
// its handle. It can't see those of other users, unless it runs as root.
func (p *Pinner) Find(ctx context.Context, id string) ([]Handle, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var found []Handle
	for _, process := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// What ends while the list is read, or is hidden, is not ours.
		env, err := process.Environ()
		if err != nil || !slices.Contains(env, pinVar+"="+id) {
			continue
		}
		who, err := identify(process.PID)
		if err != nil {
			continue
		}
		found = append(found, who.handle())
	}
	return found, nil
}

// Alive tells whether the pin process that h names, and no other with its
// number, is there: then its files are locked.
func (p *Pinner) Alive(h Handle) (bool, error) {
	who, err := parseHandle(h)
	if err != nil {
		return false, err
	}
	return who.alive()
}

// Stop unlocks the files of h, and returns when its process is gone. To stop
// what is already gone is no error.
func (p *Pinner) Stop(ctx context.Context, h Handle) error {
	who, err := parseHandle(h)
	if err != nil {
		return err
	}
	grace, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	err = who.end(grace, unix.SIGTERM)
	if grace.Err() != nil && ctx.Err() == nil {
		err = who.end(ctx, unix.SIGKILL)
	}
	if err != nil {
		return fmt.Errorf("unlock what pid %d has locked in memory: %w", who.pid, err)
	}
	return nil
}

// end signals a process and waits until it is gone.
func (i identity) end(ctx context.Context, sig syscall.Signal) error {
	process, err := os.FindProcess(i.pid)
	if err != nil {
		return err
	}
	defer process.Release() //nolint:errcheck // Closes the pidfd; nothing is lost.
	// Opened before it is looked at, where the kernel has pidfds (Linux 5.3):
	// so the signal can't hit a later one of its number.
	alive, err := i.alive()
	if err != nil || !alive {
		return err
	}
	if err := process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s: %w", unix.SignalName(sig), err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if alive, err := i.alive(); err != nil || !alive {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
