package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pin opens a process by a pidfd where the kernel has them (Linux 5.3), so
// that it can't be mistaken for a later one of its number. The start time is
// checked after the opening: from then on it is the right one, or gone, which
// is os.ErrProcessDone.
func pin(pid int, start uint64) (*os.Process, error) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("open pid %d: %w", pid, err)
	}
	s, err := readStat(pid)
	if err == nil && s.start == start && !s.ended() {
		return p, nil
	}
	if err == nil || gone(err) {
		err = os.ErrProcessDone
	}
	return nil, errors.Join(err, p.Release())
}

// send signals a process, or nothing if it has ended.
func send(pid int, start uint64, sig syscall.Signal) error {
	p, err := pin(pid, start)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Release() //nolint:errcheck // Closes the pidfd; nothing is lost.
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to pid %d: %w", unix.SignalName(sig), pid, err)
	}
	return nil
}

// await returns nil when a process has ended, or ctx's error.
func await(ctx context.Context, pid int, start uint64) error {
	p, err := pin(pid, start)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer p.Release() //nolint:errcheck // Closes the pidfd; nothing is lost.

	fd, dupErr := -1, error(nil)
	err = p.WithHandle(func(handle uintptr) {
		fd, dupErr = unix.FcntlInt(handle, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(err, dupErr); errors.Is(err, os.ErrNoHandle) {
		return awaitByPolling(ctx, pid, start)
	} else if err != nil {
		return fmt.Errorf("wait for pid %d: %w", pid, err)
	}
	// Non-blocking, so that the wait is one of Go's poller and costs no thread.
	if err := unix.SetNonblock(fd, true); err != nil {
		return errors.Join(fmt.Errorf("wait for pid %d: %w", pid, err), unix.Close(fd))
	}
	return awaitReadable(ctx, os.NewFile(uintptr(fd), "pidfd"))
}

// awaitReadable waits until a pidfd is readable: its process has ended.
func awaitReadable(ctx context.Context, f *os.File) error {
	defer f.Close() //nolint:errcheck // A pidfd; nothing is lost.
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("wait by pidfd: %w", err)
	}
	wake := context.AfterFunc(ctx, func() {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // Fails only when the file is closed: nobody waits.
	})
	defer wake()
	var pollErr error
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			pollErr = err
			return true
		}
		return n > 0
	})
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("wait by pidfd: %w", err)
	case pollErr != nil:
		return fmt.Errorf("poll pidfd: %w", pollErr)
	}
	return nil
}

// awaitByPolling is await for kernels without pidfds.
func awaitByPolling(ctx context.Context, pid int, start uint64) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s, err := readStat(pid)
		if gone(err) || err == nil && (s.start != start || s.ended()) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
