package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"switchd/pagecache"
)

// ErrNoRoom is the error of a disk that is, or would be, full.
var ErrNoRoom = errors.New("not enough room on the disk")

// tempPrefix starts the name of everything unfinished that no later run
// continues. No service, version or digest starts with a full stop.
const tempPrefix = ".tmp-"

// room returns an error if the file system of dir has not need bytes left
// for this user.
func room(dir string, need int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("look for room in %s: %w", dir, err)
	}
	free := fs.Bavail * uint64(fs.Bsize) // A block's size is positive.
	if need > 0 && uint64(need) > free {
		return fmt.Errorf("%w: %s has %s left, %s are needed; free some space there", ErrNoRoom, dir, mebibytes(free), mebibytes(uint64(need)))
	}
	return nil
}

// mebibytes prints a size for people, rounded up.
func mebibytes(n uint64) string {
	const mib = 1 << 20
	return fmt.Sprintf("%d MiB", n/mib+min(n%mib, 1))
}

// full adds ErrNoRoom to an error that means it.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return err
}

// readBounded reads a file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(text)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return text, nil
}

// digest returns the SHA-256 of a whole file, in lower-case hex. It leaves the
// page cache as it was.
func digest(ctx context.Context, f *os.File) (string, error) {
	r, err := pagecache.NewReader(f)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.CopyBuffer(h, contextReader{ctx, r}, make([]byte, 256<<10))
	if err := errors.Join(err, r.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// contextReader is a reader that ends with its context.
type contextReader struct {
	ctx context.Context // It is a call's, as the reader is.
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
