package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// Process runs instances as plain processes of this machine (Linux), each the
// leader of a session of its own.
//
// Its processes are no one's children once the agent has ended. Whatever
// supervises the agent must leave them alone too: a systemd unit needs
// KillMode=process.
type Process struct {
	log *slog.Logger
}

var _ Runtime = (*Process)(nil)

// NewProcess returns a runtime that logs starts and ends to log.
func NewProcess(log *slog.Logger) *Process {
	return &Process{log: log}
}

// Start runs the instance's command in its directory, in a new session, with
// its output appended to its log file. The errors of a command that can't run
// name the file and the version.
//
// The process is reaped by a goroutine that ends with it.
func (p *Process) Start(ctx context.Context, inst Instance) (Handle, error) {
	h, err := p.start(ctx, inst)
	if err != nil {
		return "", fmt.Errorf("start %s %s: %w", inst.ID, inst.Version, err)
	}
	return h, nil
}

func (p *Process) start(ctx context.Context, inst Instance) (Handle, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if inst.ID == "" {
		return "", errors.New("the instance has no ID")
	}
	boot, err := bootID()
	if err != nil {
		return "", err
	}
	path, err := executable(inst)
	if err != nil {
		return "", err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return "", fmt.Errorf("open stdin: %w", err)
	}
	defer null.Close() //nolint:errcheck // Opened for reading.
	output, err := openLog(inst.LogFile)
	if err != nil {
		return "", err
	}
	defer output.Close() //nolint:errcheck // Nothing was written through it.

	child, err := spawn(ctx, path, inst.Command, &os.ProcAttr{
		Dir:   inst.Dir,
		Env:   environment(inst),
		Files: []*os.File{null, output, output},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return "", explain(path, err)
	}
	// Until it is reaped its entry in /proc stays, even if it has ended.
	s, statErr := readStat(child.Pid)
	go p.reap(child, inst)
	if statErr != nil {
		return "", errors.Join(fmt.Errorf("identify pid %d: %w", child.Pid, statErr), child.Kill())
	}
	p.log.InfoContext(ctx, "instance started", "instance", inst.ID, "version", inst.Version, "pid", child.Pid)
	return identity{pid: s.pid, start: s.start, boot: boot}.handle(), nil
}

// spawn starts a process. ETXTBSY passes: it means that a fork elsewhere in
// this program still holds the executable, just unpacked, open for writing
// (go.dev/issue/22315).
func spawn(ctx context.Context, path string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	const tries = 50
	for try := 1; ; try++ {
		child, err := os.StartProcess(path, argv, attr)
		if !errors.Is(err, syscall.ETXTBSY) || try == tries {
			return child, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(min(time.Duration(try), 20) * time.Millisecond):
		}
	}
}

// reap waits for a child, so that none becomes a zombie.
func (p *Process) reap(child *os.Process, inst Instance) {
	state, err := child.Wait()
	if err != nil {
		p.log.Error("instance can't be waited for", "instance", inst.ID, "version", inst.Version, "pid", child.Pid, "error", err)
		return
	}
	p.log.Info("instance ended", "instance", inst.ID, "version", inst.Version, "pid", child.Pid, "state", state.String())
}

// Running tells whether the process that h names, and no other with its
// number, is alive.
func (p *Process) Running(_ context.Context, h Handle) (bool, error) {
	id, err := parseHandle(h)
	if err != nil {
		return false, err
	}
	return id.alive()
}

// Wait returns nil when the process that h names has ended, or ctx's error.
func (p *Process) Wait(ctx context.Context, h Handle) error {
	id, err := parseHandle(h)
	if err != nil {
		return err
	}
	alive, err := id.alive()
	if err != nil || !alive {
		return err
	}
	return await(ctx, id.pid, id.start)
}

// Find returns the session leaders that carry the instance's ID in the
// environment they were started with. It can't see the processes of other
// users, unless it runs as root, nor those that wrote over their environment.
func (p *Process) Find(ctx context.Context, id string) ([]Handle, error) {
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	all, err := processes()
	if err != nil {
		return nil, err
	}
	var found []Handle
	for _, s := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if s.session == s.pid && !s.ended() && carries(s.pid, id) {
			found = append(found, identity{pid: s.pid, start: s.start, boot: boot}.handle())
		}
	}
	return found, nil
}
