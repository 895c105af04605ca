package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lock takes the lock file at path and waits while another process, or another
// goroutine of this one, holds it. The kernel releases it when its holder dies.
func lock(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	// flock can't be interrupted by a context, so it is tried again and again.
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil //nolint:errcheck // Nothing was written; closing releases the lock.
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			file.Close() //nolint:errcheck // The first error tells more.
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			file.Close() //nolint:errcheck // The first error tells more.
			return nil, fmt.Errorf("wait for the lock %s: %w", path, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
