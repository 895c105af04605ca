// Package logfile opens and rotates the log of an instance, which the agent
// shares with a service that it doesn't trust.
package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// MaxSize is the size in bytes above which a log is put aside.
const MaxSize = 10 << 20

// Open opens a log for appending, and makes it with mode 0600 and its
// directory with 0700. It follows no symbolic link and never waits.
func Open(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("open log: the instance has no log file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	// A FIFO in its place would be waited for without O_NONBLOCK.
	f, err := os.OpenFile(filepath.Clean(path), os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	switch {
	case errors.Is(err, syscall.ELOOP):
		return nil, fmt.Errorf("open log: %w; it is a symbolic link, and a service must not lead its agent elsewhere: remove it", err)
	case errors.Is(err, syscall.ENXIO):
		return nil, fmt.Errorf("open log: %w; it is a FIFO, which keeps nothing: remove it", err)
	case err != nil:
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}

// Rotate renames a log of more than MaxSize to <name>.1, which it replaces.
// Whatever has it open goes on writing to the renamed one, so it is for a time
// at which nothing of the instance runs.
func Rotate(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("rotate log: %w", err)
	case info.Size() <= MaxSize:
		return nil
	}
	if err := os.Rename(path, path+".1"); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	return nil
}
