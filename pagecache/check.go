package pagecache

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Mode is how files of a release are preloaded.
type Mode string

// The modes of a preload.
const (
	Cache Mode = "cache" // read into the page cache
	Lock  Mode = "lock"  // and locked there
)

// Errors of Check.
var (
	// ErrMemlock is the error of a process that may not lock so much.
	ErrMemlock = errors.New("not allowed to lock so much memory")
	// ErrNoMemory is the error of a machine, or control group, that is too
	// small.
	ErrNoMemory = errors.New("not enough memory")
)

// reserve is the memory in bytes that a preload leaves to others.
const reserve = 64 << 20

// Check returns an error if this machine can't preload so many bytes now:
// ErrMemlock or ErrNoMemory, with the number that is the limit and what to do
// about it.
//
// What is locked is not available memory any more, so that a former version
// which stays locked needs no counting. What is merely cached counts as
// available: with Cache, add the bytes of the version that is to stay.
func Check(bytes int64, mode Mode) error {
	if err := check(bytes, mode); err != nil {
		return fmt.Errorf("preload %s (%s): %w", mebibytes(bytes), mode, err)
	}
	return nil
}

func check(bytes int64, mode Mode) error {
	if bytes < 0 {
		return fmt.Errorf("%d bytes make no sense", bytes)
	}
	if mode != Cache && mode != Lock {
		return fmt.Errorf("mode %q is unknown: use %q or %q", mode, Cache, Lock)
	}
	if err := defaultHost().room(bytes); err != nil || mode == Cache {
		return err
	}
	return mayLock(bytes)
}

// mayLock tries whether a process with this one's rights may lock so many
// bytes. It locks addresses that have no memory behind them, which the kernel
// counts all the same: RLIMIT_MEMLOCK, CAP_IPC_LOCK and user namespaces have
// their say, and nothing is used up.
func mayLock(bytes int64) error {
	if bytes == 0 {
		return nil
	}
	addresses, err := unix.Mmap(-1, 0, int(bytes), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("try whether it may be locked: map: %w", err)
	}
	defer unix.Munmap(addresses) //nolint:errcheck // It is mapped.
	err = mlockOnFault(addresses)
	switch {
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: %s", ErrMemlock, memlockAdvice())
	case err != nil:
		return fmt.Errorf("try whether it may be locked: %w", err)
	}
	return nil
}

// memlockAdvice names the limit and the way out.
func memlockAdvice() string {
	var limit unix.Rlimit
	text := "RLIMIT_MEMLOCK"
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err == nil {
		text = fmt.Sprintf("RLIMIT_MEMLOCK is %d bytes", limit.Cur)
	}
	return text + " and CAP_IPC_LOCK is missing; add LimitMEMLOCK=infinity, or AmbientCapabilities=CAP_IPC_LOCK, to the [Service] section of the agent's systemd unit"
}

// mebibytes prints a size for people, rounded up.
func mebibytes(n int64) string {
	const mib = 1 << 20
	return fmt.Sprintf("%d MiB", n/mib+min(n%mib, 1))
}
