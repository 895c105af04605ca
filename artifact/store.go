package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"switchd/durable"
	"switchd/pagecache"
)

// ErrDigest is the error of bytes that are not those of the manifest.
var ErrDigest = errors.New("not what the manifest describes")

// Store is a directory of archives, each named by its SHA-256. What is in it
// is whole. One process at a time may own it.
type Store struct {
	dir string

	mu        sync.Mutex      // of what looks at an archive and removes or keeps it
	uploading map[string]bool // by digest
}

// NewStore opens a store, makes its directory if need be, and removes what a
// dead process left unfinished.
func NewStore(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open artifact store: %w", err)
	}
	if err := sweep(dir); err != nil {
		return nil, fmt.Errorf("open artifact store: %w", err)
	}
	return &Store{dir: dir}, nil
}

// Path returns where the archive of a digest is, or would be.
func (s *Store) Path(digest string) string { return filepath.Join(s.dir, digest) }

// Has tells whether the archive of a digest is there.
func (s *Store) Has(digest string) bool {
	if !digestPattern.MatchString(digest) {
		return false
	}
	info, err := os.Stat(s.Path(digest))
	return err == nil && info.Mode().IsRegular()
}

// Remove removes the archive of a digest, if it is there.
func (s *Store) Remove(digest string) error {
	if err := os.Remove(s.Path(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove artifact: %w", err)
	}
	return nil
}

// Open opens the archive of a digest; its error is fs.ErrNotExist if it is not
// there.
func (s *Store) Open(digest string) (*os.File, error) {
	if !digestPattern.MatchString(digest) {
		return nil, fmt.Errorf("open artifact %.80q: %w", digest, fs.ErrNotExist)
	}
	f, err := os.Open(s.Path(digest))
	if err != nil {
		return nil, fmt.Errorf("open artifact: %w", err)
	}
	return f, nil
}

// Put stores an archive. It reads no more than the manifest's size and keeps
// nothing unless size and SHA-256 match (ErrDigest); what it keeps is on disk
// when it returns. What is there already is not read again. A disk without
// room is ErrNoRoom.
func (s *Store) Put(ctx context.Context, m Manifest, r io.Reader) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if s.Has(m.SHA256) {
		return nil
	}
	if err := s.put(ctx, m, r); err != nil {
		return fmt.Errorf("store %s: %w", m, full(err))
	}
	return nil
}

func (s *Store) put(ctx context.Context, m Manifest, r io.Reader) (err error) {
	if err := room(s.dir, m.Size); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.dir, tempPrefix) // Mode 0600.
	if err != nil {
		return fmt.Errorf("make a file to store in: %w", err)
	}
	defer func() {
		if rmErr := os.Remove(tmp.Name()); !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	hash := sha256.New()
	var behind pagecache.Dropper
	w := pagecache.NewWriter(tmp, 0, &behind)
	n, err := io.Copy(io.MultiWriter(w, hash), contextReader{ctx, io.LimitReader(r, m.Size+1)})
	err = errors.Join(err, behind.Close())
	if err == nil {
		err = m.match(n, hex.EncodeToString(hash.Sum(nil)))
	}
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), s.Path(m.SHA256)); err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	return durable.SyncDir(s.dir)
}

// match compares an archive with its manifest. At most one byte too many is
// read of it.
func (m Manifest) match(size int64, digest string) error {
	switch {
	case size > m.Size:
		return fmt.Errorf("%w: it is longer than %d bytes", ErrDigest, m.Size)
	case size < m.Size:
		return fmt.Errorf("%w: it ends after %d of %d bytes", ErrDigest, size, m.Size)
	case digest != m.SHA256:
		return fmt.Errorf("%w: its SHA-256 is %s, not %s", ErrDigest, digest, m.SHA256)
	}
	return nil
}

// keepPart is how long a part waits to be continued.
const keepPart = 7 * 24 * time.Hour

// sweep removes what dead runs left unfinished in a directory, and parts that
// nobody has continued.
func sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) || strings.HasSuffix(e.Name(), partSuffix) && olderThan(e, keepPart) {
			errs = append(errs, removeTree(filepath.Join(dir, e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

func olderThan(e fs.DirEntry, age time.Duration) bool {
	info, err := e.Info()
	return err == nil && time.Since(info.ModTime()) > age
}
