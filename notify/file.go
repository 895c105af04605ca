package notify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// File is a file of addresses that may be changed at any time.
type File struct {
	path string
	log  *slog.Logger

	mu    sync.Mutex
	now   *Addresses
	stamp stamp
	looks error // what was wrong with it at the last look
}

// stamp tells one state of a file from another.
type stamp struct {
	size     int64
	modified time.Time
	mode     fs.FileMode
}

// Open reads a file of addresses, as Load does.
func Open(path string, log *slog.Logger) (*File, error) {
	f := &File{path: path, log: log}
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// Addresses are what the file has. It is read again when it has changed. While it
// can't be read, they are what it had, and that is logged once.
func (f *File) Addresses(ctx context.Context) *Addresses {
	f.mu.Lock()
	defer f.mu.Unlock()
	if stamp, err := f.look(); err == nil && stamp == f.stamp && f.looks == nil {
		return f.now
	}
	err := f.read()
	switch {
	case err == nil:
		f.log.InfoContext(ctx, "addresses to notify read", "file", f.path, "names", len(f.now.byName))
	case f.looks == nil || f.looks.Error() != err.Error():
		f.log.ErrorContext(ctx, "addresses to notify stay what they were", "error", err)
	}
	f.looks = err
	return f.now
}

func (f *File) read() error {
	before, err := f.look()
	if err != nil {
		return err
	}
	now, err := Load(f.path)
	if err != nil {
		return err
	}
	if after, err := f.look(); err != nil || after != before {
		return errors.Join(fmt.Errorf("read the addresses to notify in %s: it is just being written", f.path), err)
	}
	f.now, f.stamp = now, before
	return nil
}

func (f *File) look() (stamp, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return stamp{}, fmt.Errorf("stat the addresses to notify: %w", err)
	}
	return stamp{info.Size(), info.ModTime(), info.Mode()}, nil
}
