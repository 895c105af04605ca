// Package hook runs the commands that the owner of a service gives to a
// runtime: bounded in time and output, and killed with all that they started
// in their process group when they take too long.
package hook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// DefaultTimeout bounds a hook that has no timeout of its own.
const DefaultTimeout = time.Minute

// MaxLine is how much of a last line is kept, in bytes.
const MaxLine = 1 << 10

// maxLogged is how much of one run's output is logged, in bytes.
const maxLogged = 256 << 10

// held is how long the output of a hook that has ended is waited for. Longer
// than a moment it is open only in something that the hook left behind.
const held = time.Second

// Hook is one command.
type Hook struct {
	Name    string   // for errors, such as "reload"
	Command []string // a relative Command[0] with a slash starts at Dir
	Dir     string   // where it runs
	Env     []string // all of its environment
	Timeout time.Duration
	// Log gets the first 256 KiB of the output, standard output and error in
	// their order; nil is nowhere. A process that the hook leaves behind can't
	// write there any more.
	Log io.Writer
	// Asked tells that the standard output is an answer, and not for the log.
	Asked bool
}

// Result is how a hook ended by itself.
type Result struct {
	Status int
	// Said is the last line that was not empty, its first MaxLine bytes; of a
	// hook that was asked, that of the standard error if there is one.
	Said string
	// Answer is the same of the standard output of a hook that was asked.
	Answer string
	// Held tells that it left a process behind which had its output open, and
	// can't write there any more.
	Held bool

	name string
}

// Err is nil if the hook ended with status 0, and tells otherwise with which
// and what it said last.
func (r Result) Err() error {
	if r.Status == 0 {
		return nil
	}
	return fmt.Errorf("hook %q failed with exit status %d%s", r.name, r.Status, saying(r.Said))
}

// Check tells whether the program is there and can be executed.
func (h Hook) Check() error {
	_, err := h.program()
	return err
}

// Run runs the hook until it ends. The error tells that it could not be
// started, was killed for its timeout, or was ended by a signal or by ctx; a
// status other than 0 is no error of Run. What the hook left running in the
// background is not waited for.
func (h Hook) Run(ctx context.Context) (Result, error) {
	result := Result{name: h.Name}
	path, err := h.program()
	if err != nil {
		return result, err
	}
	timeout := h.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	output := &capture{log: h.Log, left: maxLogged}
	answer := output // One pipe keeps the order.
	if h.Asked {
		answer = &capture{}
	}
	command, err := h.start(bounded, path, answer, output)
	if err != nil {
		return result, fmt.Errorf("hook %q: run %s: %w", h.Name, path, err)
	}
	err = command.Wait()
	result.Said = output.lastLine()
	if h.Asked {
		result.Answer = answer.lastLine()
		result.Said = cmp.Or(result.Said, result.Answer)
	}
	switch exit, failed := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil && err != nil:
		return result, fmt.Errorf("hook %q was killed, as its caller gave up%s: %w", h.Name, saying(result.Said), ctx.Err())
	case bounded.Err() != nil && err != nil:
		return result, fmt.Errorf("hook %q (%s) was killed after its timeout of %v%s; find out what it waits for, or raise hook_timeout: %w",
			h.Name, strings.Join(h.Command, " "), timeout, saying(result.Said), context.DeadlineExceeded)
	case errors.Is(err, exec.ErrWaitDelay):
		result.Held = true
		return result, nil
	case failed && exit.Exited():
		result.Status = exit.ExitCode()
		return result, nil
	case failed:
		return result, fmt.Errorf("hook %q was ended by something else: %w%s", h.Name, err, saying(result.Said))
	case err != nil:
		return result, fmt.Errorf("hook %q: %w%s", h.Name, err, saying(result.Said))
	}
	return result, nil
}

// start starts the command in a process group of its own. ETXTBSY passes: it
// means that a fork elsewhere in this program still holds the executable, just
// unpacked, open for writing (go.dev/issue/22315).
func (h Hook) start(ctx context.Context, path string, stdout, stderr io.Writer) (*exec.Cmd, error) {
	const tries = 50
	for try := 1; ; try++ {
		command := exec.CommandContext(ctx, path)
		command.Args = h.Command
		command.Dir, command.Env = h.Dir, h.Env
		command.Stdout, command.Stderr = stdout, stderr
		command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
		command.WaitDelay = held
		err := command.Start()
		if !errors.Is(err, syscall.ETXTBSY) || try == tries {
			return command, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(min(time.Duration(try), 20) * time.Millisecond):
		}
	}
}

// saying appends what a hook said last to an error.
func saying(line string) string {
	if line == "" {
		return " and said nothing"
	}
	return fmt.Sprintf("; it said last: %q", line)
}
