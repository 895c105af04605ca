// Package durable replaces files so that a crash of the process or of the
// machine leaves the old file or the new one, and never a part of one: a
// temporary file, fsync(2), rename(2), fsync of the directory.
package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Replace writes a file, with mode 0600, in the place of the one that may be
// there. Two writers of one file must keep each other out: the temporary file
// is always path.tmp, so that those who are killed in the middle leave one at
// most.
func Replace(path string, data []byte) error {
	temp := path + ".tmp"
	err := write(temp, data)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = os.Remove(temp) // it may never have been there
		return err
	}
	return SyncDir(filepath.Dir(path))
}

func write(path string, data []byte) error {
	file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Sync(), file.Close())
}

// SyncDir makes the names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}
