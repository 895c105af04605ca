package pagecache

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// span is a range of a file, which it holds open.
type span struct {
	of     *os.File // whose range it is; only to be compared
	own    *os.File // a duplicate
	off, n int64
}

func newSpan(f *os.File, off, n int64) (span, error) {
	own := -1
	err := control(f, func(fd int) (err error) {
		own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return span{}, err
	}
	return span{f, os.NewFile(uintptr(own), f.Name()), off, n}, nil
}

// endsAt tells whether off is where the span ends, in the same file.
func (s span) endsAt(f *os.File, off int64) bool {
	return s.of == f && s.off+s.n == off
}

// flush starts to write the span to the disk.
func (s span) flush() error {
	return s.sync(unix.SYNC_FILE_RANGE_WRITE)
}

// drop waits until the span is on the disk, takes it out of the page cache,
// and lets go of the file. Only clean pages that no process has mapped go.
func (s span) drop() error {
	err := s.sync(unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER)
	if err == nil {
		err = forget(s.own, s.off, s.n)
	}
	return errors.Join(err, s.own.Close())
}

func (s span) sync(flags int) error {
	err := control(s.own, func(fd int) error { return unix.SyncFileRange(fd, s.off, s.n, flags) })
	if err != nil {
		return fmt.Errorf("write %s to the disk: %w", s.own.Name(), err)
	}
	return nil
}

// forget takes clean pages of a file out of the cache. The kernel rounds a
// range to the pages that are within it; the first one's beginning has been
// forgotten before, unless it was kept for the rest that is forgotten now.
func forget(f *os.File, off, n int64) error {
	within := off % int64(os.Getpagesize())
	err := control(f, func(fd int) error {
		return unix.Fadvise(fd, off-within, n+within, unix.FADV_DONTNEED)
	})
	if err != nil {
		return fmt.Errorf("drop %s from the page cache: %w", f.Name(), err)
	}
	return nil
}
