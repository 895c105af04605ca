package pagecache

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// window is how many bytes a Dropper lets gather, and as many again are on
// their way to the disk: so much of the page cache is in use at most.
const window = 8 << 20

// maxSpans bounds the files that are open in a window.
const maxSpans = 256

// Dropper takes what has been written, or has been read once, out of the page
// cache. It waits for the disk with one window of bytes while the next one
// fills, and so bounds the dirty pages too. It is safe for concurrent use.
//
// Its way is sync_file_range(2) and posix_fadvise(2), on every kernel.
// RWF_DONTCACHE (Linux 6.14) does the like in the kernel, but starts a flush in
// every single write, which costs more than it saves when the writes are
// small, and it can't be asked for by those who write for us.
type Dropper struct {
	mu       sync.Mutex
	filling  []span
	bytes    int64
	flushing []span
	closed   bool
}

// Add marks n bytes at off of a file to be dropped, as soon as they are on the
// disk. The file may be closed at once. Where a window is full, Add waits for
// the one before. The error of a write that fails on its way to the disk is
// that of a later Add or of Close, and names its file; Sync of a file whose
// ranges are here may not see it again.
func (d *Dropper) Add(f *os.File, off, n int64) error {
	if n <= 0 {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return fmt.Errorf("drop %s from the page cache: %w", f.Name(), os.ErrClosed)
	}
	if last := len(d.filling) - 1; last >= 0 && d.filling[last].endsAt(f, off) {
		d.filling[last].n += n
	} else {
		s, err := newSpan(f, off, n)
		if err != nil {
			return fmt.Errorf("drop %s from the page cache: %w", f.Name(), err)
		}
		d.filling = append(d.filling, s)
	}
	if d.bytes += n; d.bytes < window && len(d.filling) < maxSpans {
		return nil
	}
	return d.turn()
}

// Close drops what is left and waits for that.
func (d *Dropper) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return errors.Join(d.turn(), d.turn())
}

// turn starts to flush the window that is full, and finishes the one before.
func (d *Dropper) turn() error {
	var errs []error
	for _, s := range d.filling {
		errs = append(errs, s.flush())
	}
	for _, s := range d.flushing {
		errs = append(errs, s.drop())
	}
	clear(d.flushing)
	d.filling, d.flushing, d.bytes = d.flushing[:0], d.filling, 0
	return errors.Join(errs...)
}
