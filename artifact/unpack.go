package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"switchd/durable"
)

// Unpack unpacks a tar.zst archive to a new directory, readable by this user
// only. The directory appears when it is whole, and only then, also after a
// crash; what is there already is whole and is left alone.
//
// It refuses whatever leads out of the tree, devices, and what goes beyond
// the limits (ErrTooLarge). On an error nothing is left behind.
func Unpack(ctx context.Context, archive, dir string, limits Limits) error {
	if err := unpack(ctx, archive, dir, limits); err != nil {
		return fmt.Errorf("unpack %s: %w", archive, full(err))
	}
	return nil
}

func unpack(ctx context.Context, archive, dir string, limits Limits) (err error) {
	switch info, err := os.Lstat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is in the way: it is a %s", dir, kind(info.Mode()))
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	tmp, err := os.MkdirTemp(parent, tempPrefix)
	if err != nil {
		return fmt.Errorf("make a directory to unpack in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := extractFile(ctx, archive, zstandard, tmp, limits); err != nil {
		return err
	}
	if err := syncFS(tmp); err != nil {
		return err
	}
	err = os.Rename(tmp, dir)
	if errors.Is(err, syscall.EEXIST) || errors.Is(err, syscall.ENOTEMPTY) {
		return nil // Someone else was faster.
	}
	if err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	return durable.SyncDir(parent)
}

// syncFS makes everything in the directory's file system durable: one call
// for a whole tree, where a sync of each file would take a turn of the disk
// each. Without it a power cut could leave a directory in place whose files
// are empty.
func syncFS(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	defer d.Close() //nolint:errcheck // Opened for reading.
	if err := unix.Syncfs(int(d.Fd())); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}
