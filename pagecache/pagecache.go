// Package pagecache keeps the kernel's page cache for what a service reads: a
// download of the next version leaves the cached pages of the running one
// alone, and the files that the next one will read can be brought into memory,
// and be locked there, before it starts. Linux only.
//
// No file's mapping is ever read or written by this package, only mlock(2),
// madvise(2) and mincore(2) look at it: a file that shrinks meanwhile is an
// error and not a SIGBUS.
package pagecache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNotRegular is the error of a directory, device or the like where a file
// is needed.
var ErrNotRegular = errors.New("not a regular file")

// open opens a regular file for reading, and nothing else: a FIFO would block,
// and a device has no page cache of this kind.
func open(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.Join(fmt.Errorf("%s: %w but a %s", path, ErrNotRegular, kind(info.Mode())), f.Close())
	}
	return f, info.Size(), nil
}

// kind names what is no file.
func kind(mode os.FileMode) string {
	switch {
	case mode.IsDir():
		return "directory"
	case mode&os.ModeDevice != 0:
		return "device"
	case mode&os.ModeNamedPipe != 0:
		return "FIFO"
	case mode&os.ModeSocket != 0:
		return "socket"
	}
	return "file of mode " + mode.String()
}

// control calls do with a file's descriptor, which stays open meanwhile.
func control(f *os.File, do func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	err = conn.Control(func(fd uintptr) { doErr = do(int(fd)) })
	return errors.Join(err, doErr)
}
