package pagecache

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// stride is how many bytes a Reader has the kernel read at once, one stride
// ahead of what is wanted.
const stride = 1 << 20

// Reader reads a file from its beginning to its end, or to its Close, and
// leaves in the page cache only what was there before. It is for one goroutine.
type Reader struct {
	file      *os.File
	off       int64
	now, next piece
	closed    bool
}

// piece is a stride of a file that has been asked for.
type piece struct {
	off, n int64
	before residency // what was cached already
}

func (p piece) end() int64 { return p.off + p.n }

// NewReader returns a reader of all of f, which must not be written meanwhile.
// It turns off the kernel's own read-ahead for f and doesn't own it.
func NewReader(f *os.File) (*Reader, error) {
	r := &Reader{file: f}
	if err := r.start(); err != nil {
		return nil, fmt.Errorf("read %s past the page cache: %w", f.Name(), err)
	}
	return r, nil
}

func (r *Reader) start() error {
	// What the kernel reads ahead by itself would look as if it had been there
	// before.
	err := control(r.file, func(fd int) error { return unix.Fadvise(fd, 0, 0, unix.FADV_RANDOM) })
	if err == nil {
		r.next, err = r.ask(0)
	}
	return err
}

// ask notes what is cached of the stride at off, and has the rest read.
func (r *Reader) ask(off int64) (piece, error) {
	before, err := resident(r.file, off, stride)
	if err != nil {
		return piece{}, err
	}
	err = control(r.file, func(fd int) error { return unix.Fadvise(fd, off, stride, unix.FADV_WILLNEED) })
	return piece{off, stride, before}, err
}

// Read is that of an io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if r.closed {
		return 0, fmt.Errorf("read %s past the page cache: %w", r.file.Name(), os.ErrClosed)
	}
	if r.off == r.now.end() {
		if err := r.advance(); err != nil {
			return 0, fmt.Errorf("read %s past the page cache: %w", r.file.Name(), err)
		}
	}
	n, err := r.file.ReadAt(p[:min(int64(len(p)), r.now.end()-r.off)], r.off)
	r.off += int64(n)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil // The next call has it.
	}
	return n, err
}

// advance lets go of the stride that has been read and goes to the next.
func (r *Reader) advance() error {
	if err := r.forget(r.now); err != nil {
		return err
	}
	after, err := r.ask(r.next.end())
	if err != nil {
		return err
	}
	r.now, r.next = r.next, after
	return nil
}

// Close takes what the reader brought into the page cache, and has not let go
// of yet, out of it. The file stays open.
func (r *Reader) Close() error {
	// What is still on its way from the disk can't be taken out.
	if _, err := io.Copy(io.Discard, io.NewSectionReader(r.file, r.off, r.next.end()-r.off)); err != nil {
		return fmt.Errorf("read %s past the page cache: %w", r.file.Name(), err)
	}
	err := errors.Join(r.forget(r.now), r.forget(r.next))
	r.now, r.next, r.closed = piece{}, piece{}, true
	return err
}

func (r *Reader) forget(p piece) error {
	return p.before.missing(func(off, n int64) error { return forget(r.file, p.off+off, n) })
}
