package process

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// become makes this process, which a shim has forked, the service. It returns
// only if that fails.
//
// A shim can't set the limits between fork and exec, where no Go code runs,
// and on itself they might be its end. So it executes its own program once
// more, which does this.
func become(p command, parent int) error {
	// The signal at the parent's death belongs to the thread that executes.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := enter(p); err != nil {
		return err
	}
	// What is caught gets its default again at the execution. What is ignored,
	// perhaps since the agent was started so, would stay ignored.
	signal.Notify(make(chan os.Signal, 1))
	// The change of the user has cleared it, see PR_SET_PDEATHSIG(2const).
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("tie the service to its shim: %w", err)
	}
	if os.Getppid() != parent {
		return errors.New("its shim has ended")
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("open stdin: %w", err)
	}
	if err := unix.Dup3(int(null.Fd()), 0, 0); err != nil {
		return fmt.Errorf("open stdin: %w", err)
	}
	return explain(p.Path, execute(p))
}

// execute is execve(2). ETXTBSY passes: it means that somebody still holds
// the program, just unpacked, open for writing (go.dev/issue/22315).
func execute(p command) error {
	const tries = 50
	for try := 1; ; try++ {
		err := syscall.Exec(p.Path, p.Args, p.Env)
		if !errors.Is(err, syscall.ETXTBSY) || try == tries {
			return err
		}
		time.Sleep(min(time.Duration(try), 20) * time.Millisecond)
	}
}

// enter takes on the limits, the account and the directory of a program: in
// this order, since only root may raise limits.
func enter(p command) error {
	if err := setLimits(p.Limits); err != nil {
		return err
	}
	if p.Account.Set {
		if err := syscall.Setgroups(p.Account.Groups); err != nil {
			return fmt.Errorf("take on its groups: %w", err)
		}
		if err := syscall.Setgid(p.Account.GID); err != nil {
			return fmt.Errorf("take on its group: %w", err)
		}
		if err := syscall.Setuid(p.Account.UID); err != nil {
			return fmt.Errorf("take on its user: %w", err)
		}
	}
	if err := os.Chdir(p.Dir); err != nil {
		return fmt.Errorf("enter the release: %w%s", err, p.denied(err))
	}
	return nil
}

// try finds out whether this process could become the service.
func try(p command) error {
	if err := enter(p); err != nil {
		return err
	}
	if err := unix.Access(p.Path, unix.X_OK); err != nil {
		return fmt.Errorf("%w%s", explain(p.Path, err), p.denied(err))
	}
	return nil
}

// denied adds whom the file system has denied what root may do.
func (p command) denied(err error) string {
	if !p.Account.Set || !errors.Is(err, os.ErrPermission) {
		return ""
	}
	return fmt.Sprintf("; user %d must be able to read and enter all directories on this way", p.Account.UID)
}
