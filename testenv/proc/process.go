//go:build linux

package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Process is a process that a group started.
type Process struct {
	identity
	name    string
	logfile string
	cmd     *exec.Cmd
	group   *Group
	done    chan struct{}
	err     error // how it ended; read it after done
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// CPU is its time on the CPU, user and system; 0 if it is gone.
func (p *Process) CPU() time.Duration {
	of, err := procfs.NewProc(p.Pid())
	if err != nil {
		return 0
	}
	stat, err := of.Stat()
	if err != nil {
		return 0
	}
	return time.Duration(stat.CPUTime() * float64(time.Second))
}

// Done is closed when the process has ended and was waited for.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the process to end and returns how: nil for exit code 0, else
// an *exec.ExitError. When ctx ends first, it returns ctx's error.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", p.name, context.Cause(ctx))
	}
}

// Signal sends sig. To signal a process that has ended is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Kill sends SIGKILL and returns when the process has ended. Its descendants
// live on, in the group.
func (p *Process) Kill() error {
	// Stopped, it starts nothing more between the look and its death.
	if err := p.Signal(unix.SIGSTOP); err != nil {
		return err
	}
	_, lookErr := p.group.look()
	if err := p.Signal(unix.SIGKILL); err != nil {
		return err
	}
	<-p.done
	if lookErr != nil {
		return fmt.Errorf("kill %s: %w", p.name, lookErr)
	}
	return nil
}

// tailSize is how much of a log LogTail reads, in bytes.
const tailSize = 8 << 10

// LogTail returns the last lines of the process's log, at most 8 KiB.
func (p *Process) LogTail() (string, error) {
	file, err := os.Open(p.logfile)
	if err != nil {
		return "", fmt.Errorf("read the log of %s: %w", p.name, err)
	}
	defer file.Close() //nolint:errcheck // It was only read.
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("read the log of %s: %w", p.name, err)
	}
	from := max(0, info.Size()-tailSize)
	text, err := io.ReadAll(io.NewSectionReader(file, from, tailSize))
	if err != nil {
		return "", fmt.Errorf("read the log of %s: %w", p.name, err)
	}
	if from > 0 {
		if _, rest, ok := strings.Cut(string(text), "\n"); ok {
			return rest, nil
		}
	}
	return string(text), nil
}

func (p *Process) wait() {
	p.err = p.cmd.Wait()
	close(p.done)
}
