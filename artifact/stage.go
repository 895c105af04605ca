package artifact

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// archivesDir holds a node's archives, within the root of its releases. No
// service can have this name.
const archivesDir = ".archives"

// reserve is the room in bytes that staging leaves to others.
const reserve = 16 << 20

// Stager brings releases onto a node: verified, fetched and unpacked, each
// once. It is safe for concurrent use; one process at a time may own its root.
type Stager struct {
	root     string
	keys     TrustedKeys
	fetcher  Fetcher
	archives *Store
	turns    sync.Map // of chan struct{}, by the beginning of the digest: one at a time stages it
}

// NewStager returns a stager of releases below root, and removes what a dead
// process left unfinished there.
func NewStager(root string, keys TrustedKeys, fetcher Fetcher) (*Stager, error) {
	archives, err := NewStore(Archives(root))
	if err != nil {
		return nil, err
	}
	services, err := os.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("open releases: %w", err)
	}
	for _, service := range services {
		if !service.IsDir() {
			continue
		}
		if err := sweep(filepath.Join(root, service.Name())); err != nil {
			return nil, fmt.Errorf("open releases: %w", err)
		}
	}
	return &Stager{root: root, keys: keys, fetcher: fetcher, archives: archives}, nil
}

// Archives returns the directory of the archives of a stager with this root.
func Archives(root string) string { return filepath.Join(root, archivesDir) }

// Archives returns the store of what has been fetched, for other nodes to
// fetch from.
func (s *Stager) Archives() *Store { return s.archives }

// Dir returns where a release is, or would be, unpacked. Its digest is in the
// name: a version that was published anew is another release.
func (s *Stager) Dir(m Manifest) string {
	return filepath.Join(s.root, m.Service, m.Version+"-"+short(m.SHA256))
}

// Stage returns the directory of a release, once it is there: signed by a
// trusted key (ErrUnsigned, ErrUntrusted), with room for it on the disk
// (ErrNoRoom), with the right SHA-256 (ErrDigest), unpacked to no more than
// its manifest says (ErrTooLarge). The directory is whole whenever it exists,
// and to stage again is cheap. progress is as in Fetcher.
func (s *Stager) Stage(ctx context.Context, m Manifest, progress func(done, total int64)) (string, error) {
	if err := s.keys.Verify(m); err != nil {
		return "", fmt.Errorf("stage: %w", err)
	}
	dir := s.Dir(m)
	if err := s.stage(ctx, m, dir, progress); err != nil {
		return "", fmt.Errorf("stage %s: %w", m, err)
	}
	return dir, nil
}

func (s *Stager) stage(ctx context.Context, m Manifest, dir string, progress func(done, total int64)) error {
	done, err := s.turn(ctx, short(m.SHA256))
	if err != nil {
		return err
	}
	defer done()
	switch info, err := os.Lstat(dir); {
	case err == nil && info.IsDir():
		now := time.Now()
		return os.Chtimes(dir, now, now) // Prune leaves it alone for a while.
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
		return err
	}
	archive := s.archives.Path(m.SHA256)
	if err := room(s.root, m.Size-fetched(archive)+m.Unpacked+reserve); err != nil {
		return err
	}
	if err := s.fetcher.Fetch(ctx, m, archive, progress); err != nil {
		return err
	}
	// Whatever the fetcher has promised.
	if there, err := verified(ctx, m, archive); err != nil {
		return err
	} else if !there {
		return fmt.Errorf("%w: the fetcher left another archive", ErrDigest)
	}
	limits := DefaultLimits()
	limits.Size, limits.Entries = m.Unpacked, int(m.Unpacked/block)
	return Unpack(ctx, archive, dir, limits)
}

// turn waits until nobody else stages an archive; done ends the turn.
func (s *Stager) turn(ctx context.Context, digest string) (done func(), err error) {
	lock, _ := s.turns.LoadOrStore(digest, make(chan struct{}, 1))
	turn := lock.(chan struct{}) // Nothing else is stored.
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for another who stages it: %w", ctx.Err())
	}
}

// fetched returns the bytes of an archive that are here already.
func fetched(archive string) int64 {
	for _, path := range []string{archive, archive + partSuffix} {
		if info, err := os.Stat(path); err == nil {
			return info.Size()
		}
	}
	var part unix.Stat_t // It may have holes.
	if err := unix.Stat(archive+SwarmPartSuffix, &part); err == nil {
		return min(part.Size, part.Blocks*512)
	}
	return 0
}
