package artifact

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The ways in which an upload can be out of step with the store. The client
// is to ask again where the upload is.
var (
	// ErrOffset is the error of an upload that goes on beyond what is there.
	ErrOffset = errors.New("not where the upload broke off")
	// ErrBusy is the error of a second upload of an archive, or of one too
	// many.
	ErrBusy = errors.New("another upload is under way")
)

// uploadSuffix is added to the digest of an archive that is being uploaded. It
// ends as every part does, so that the store's sweep knows it.
const uploadSuffix = ".upload" + partSuffix

const (
	// maxUploads is how many unfinished uploads a store keeps. One more drops
	// the one that has waited longest.
	maxUploads = 32
	// keepUpload is how long an unfinished upload waits to be continued: the
	// room that it needs is reserved meanwhile.
	keepUpload = 24 * time.Hour
)

// Incoming tells where an upload of an archive is to go on, and whether one is
// under way. At least one byte is always missing, so that whoever sends it
// learns what came of the whole.
func (s *Store) Incoming(m Manifest) (offset int64, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.come(m), m.Size-1), s.uploading[m.SHA256]
}

// come returns how many bytes of an archive an unfinished upload has brought.
// More than there are are none of it.
func (s *Store) come(m Manifest) int64 {
	info, err := os.Stat(s.upload(m.SHA256))
	if err != nil || info.Size() > m.Size {
		return 0
	}
	return info.Size()
}

// Receive stores an archive of which r has what is missing from an offset on;
// 0 begins anew. What comes before a break is kept for the next call, which may
// go on anywhere in it (ErrOffset beyond). One call at a time may bring an
// archive (ErrBusy).
//
// The archive is in the store when its size and its SHA-256 are the
// manifest's, read again from the disk, and when it is durable. If they are
// not (ErrDigest), or if the disk runs full (ErrNoRoom), all of it is thrown
// away. The room is reserved first, so that uploads can't starve one another.
func (s *Store) Receive(ctx context.Context, m Manifest, offset int64, r io.Reader) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	end, err := s.begin(m.SHA256)
	if err != nil {
		return fmt.Errorf("store %s: %w", m, err)
	}
	defer end()
	if s.Has(m.SHA256) {
		return nil
	}
	if err := s.receive(ctx, m, offset, r); err != nil {
		return fmt.Errorf("store %s: %w", m, err)
	}
	return nil
}

func (s *Store) receive(ctx context.Context, m Manifest, offset int64, r io.Reader) error {
	path := s.upload(m.SHA256)
	if have := s.come(m); offset < 0 || offset > have || offset >= m.Size {
		return fmt.Errorf("%w: it is to go on at byte %d, %d are there", ErrOffset, offset, have)
	}
	if err := room(s.dir, m.Size-allocated(path)); err != nil {
		return err
	}
	p, err := openPart(m, path, func(int64, int64) {})
	if err != nil {
		return full(err)
	}
	defer p.file.Close() //nolint:errcheck // Synced before it counts.
	if err = p.resume(offset); err == nil {
		err = p.receive(ctx, r)
	}
	if err == nil {
		return p.finish(s.Path(m.SHA256))
	}
	if err = full(err); errors.Is(err, ErrDigest) || errors.Is(err, ErrNoRoom) {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// resume goes back to an offset and reserves the room for all that follows,
// where the file system can.
func (p *part) resume(offset int64) error {
	if p.done != offset {
		if err := p.file.Truncate(offset); err != nil {
			return err
		}
		p.done = offset
	}
	err := unix.Fallocate(int(p.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, p.manifest.Size)
	if errors.Is(full(err), ErrNoRoom) {
		return fmt.Errorf("reserve the room: %w", err)
	}
	return nil // Without a reservation, the writes will tell.
}

// receive reads the rest of the part, and verifies the whole.
func (p *part) receive(ctx context.Context, r io.Reader) error {
	if err := p.copy(wholeReader{contextReader{ctx, r}, p}); err != nil {
		return err
	}
	return p.verify(ctx)
}

// wholeReader makes an end that comes too early a mismatch: what breaks off
// has another error than io.EOF.
type wholeReader struct {
	r    io.Reader
	part *part
}

func (w wholeReader) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if done := w.part.done + int64(n); errors.Is(err, io.EOF) && done < w.part.manifest.Size {
		return n, fmt.Errorf("%w: it ends after %d of %d bytes", ErrDigest, done, w.part.manifest.Size)
	}
	return n, err
}

// begin makes the caller the only one who uploads an archive, until end.
func (s *Store) begin(digest string) (end func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploading[digest] {
		return nil, fmt.Errorf("%w; wait for its end", ErrBusy)
	}
	if err := s.crowd(digest); err != nil {
		return nil, err
	}
	if s.uploading == nil {
		s.uploading = make(map[string]bool)
	}
	s.uploading[digest] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.uploading, digest)
	}, nil
}

// crowd drops the upload that has waited longest if there would be too many
// with a new one.
func (s *Store) crowd(digest string) error {
	uploads, err := s.uploads()
	if err != nil {
		return err
	}
	here := slices.ContainsFunc(uploads, func(u fs.FileInfo) bool { return u.Name() == digest+uploadSuffix })
	if here || max(len(uploads), len(s.uploading)) < maxUploads {
		return nil
	}
	for _, u := range uploads {
		if !s.uploading[strings.TrimSuffix(u.Name(), uploadSuffix)] {
			return os.Remove(filepath.Join(s.dir, u.Name()))
		}
	}
	return fmt.Errorf("%w: %d at once are enough; try again later", ErrBusy, maxUploads)
}

// uploads lists the unfinished uploads, the one that has waited longest first.
func (s *Store) uploads() ([]fs.FileInfo, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var uploads []fs.FileInfo
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), uploadSuffix) {
			continue
		}
		if info, err := e.Info(); err == nil { // It may have been finished meanwhile.
			uploads = append(uploads, info)
		}
	}
	slices.SortFunc(uploads, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), cmp.Compare(a.Name(), b.Name()))
	})
	return uploads, nil
}

func (s *Store) upload(digest string) string { return s.Path(digest) + uploadSuffix }

// allocated returns the bytes that a file takes on the disk, 0 without it.
func allocated(path string) int64 {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil {
		return 0
	}
	return stat.Blocks * 512 // The unit of st_blocks, whatever the file system's is.
}
