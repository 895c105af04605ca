package hook

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxLog is the size in bytes above which RotateLog puts a log aside.
const maxLog = 10 << 20

// OpenLog opens a log for appending, without following a symbolic link.
func OpenLog(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("open log: the instance has no log file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	f, err := os.OpenFile(filepath.Clean(path), os.O_APPEND|os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}

// RotateLog renames a log of more than 10 MiB to <name>.1, which it replaces.
// Whatever has it open goes on writing to the renamed one, so it is for a time
// at which nothing of the instance runs.
func RotateLog(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("rotate log: %w", err)
	case info.Size() <= maxLog:
		return nil
	}
	if err := os.Rename(path, path+".1"); err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	return nil
}
