package swarm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/anacrolix/torrent"
	"github.com/anacrolix/torrent/metainfo"

	"switchd/artifact"
)

// share is one artifact in which this node takes part, fetching or offering.
type share struct {
	manifest artifact.Manifest
	archive  *archive
	torrent  *torrent.Torrent
	whole    atomic.Bool  // it is in the store
	failed   chan error   // why it can't go on, one error
	wanting  atomic.Int64 // nodes that want it, as last seen
	others   atomic.Int64 // nodes to connect to, as last seen
	meter    meter
}

// fail ends a fetch. Only the first reason counts.
func (sh *share) fail(err error) {
	select {
	case sh.failed <- err:
	default:
	}
}

// Seed offers an archive that is in the store already, after it has hashed
// all of it (artifact.ErrDigest if it isn't what the manifest describes). To
// offer it again is nothing. A manifest without an info hash is for HTTP only
// and is not offered.
func (s *Swarm) Seed(ctx context.Context, m artifact.Manifest) error {
	ctx, done, err := s.begin(ctx)
	if err == nil {
		defer done()
		err = s.seed(ctx, m, s.path(m))
	}
	if err != nil {
		return fmt.Errorf("seed %s: %w", m, err)
	}
	return nil
}

func (s *Swarm) seed(ctx context.Context, m artifact.Manifest, path string) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if m.InfoHash == "" || s.share(m.SHA256) != nil {
		return nil
	}
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	info, err := describe(ctx, file, m)
	if err != nil {
		file.Close() //nolint:errcheck // Opened for reading.
		return err
	}
	sh := &share{manifest: m, archive: openWhole(m, file, s.dropper()), failed: make(chan error, 1)}
	sh.whole.Store(true)
	if err := s.join(sh, info.Info); err != nil {
		file.Close() //nolint:errcheck // Opened for reading.
		return err
	}
	return nil
}

// describe hashes the pieces of an archive and compares them with its
// manifest.
func describe(ctx context.Context, file *os.File, m artifact.Manifest) (artifact.Metainfo, error) {
	stat, err := file.Stat()
	if err != nil {
		return artifact.Metainfo{}, err
	}
	if stat.Size() != m.Size {
		return artifact.Metainfo{}, fmt.Errorf("%w: %s has %d bytes, not %d", artifact.ErrDigest, file.Name(), stat.Size(), m.Size)
	}
	info, err := artifact.NewMetainfo(ctx, file, m.SHA256, m.Size, m.PieceLength)
	if err != nil {
		return artifact.Metainfo{}, err
	}
	if info.InfoHash != m.InfoHash {
		return artifact.Metainfo{}, fmt.Errorf("%w: the info hash of %s is %s, not %s", artifact.ErrDigest, file.Name(), info.InfoHash, m.InfoHash)
	}
	return info, nil
}

// join adds a share, with its info dictionary if that is known.
func (s *Swarm) join(sh *share, info []byte) error {
	// The library may call back while it adds, so s.mu must be free.
	s.joining.Lock()
	defer s.joining.Unlock()
	if s.share(sh.manifest.SHA256) != nil {
		return fmt.Errorf("the swarm is busy with %s already", sh.manifest.SHA256)
	}
	t, added := s.client.AddTorrentOpt(torrent.AddTorrentOpts{
		InfoHash:  metainfo.NewHashFromHex(sh.manifest.InfoHash),
		Storage:   sh.archive,
		InfoBytes: info,
		ChunkSize: blockSize,
	})
	if !added {
		return fmt.Errorf("another archive has the info hash %s", sh.manifest.InfoHash)
	}
	t.SetOnWriteChunkError(sh.fail)
	sh.torrent = t
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shares[sh.manifest.SHA256] = sh
	return nil
}

// leave ends a share and closes its file.
func (s *Swarm) leave(sh *share) {
	sh.torrent.Drop()
	sh.archive.close() //nolint:errcheck // The library has closed it if it knew the info dictionary.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shares[sh.manifest.SHA256] == sh {
		delete(s.shares, sh.manifest.SHA256)
	}
}

func (s *Swarm) share(digest string) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shares[digest]
}

// Unseed stops offering an archive, or fetching it, so that its file can be
// removed.
func (s *Swarm) Unseed(digest string) {
	sh := s.share(digest)
	if sh == nil {
		return
	}
	sh.fail(fmt.Errorf("%s is not wanted any more", sh.manifest))
	if sh.whole.Load() {
		s.leave(sh)
	} // Else its fetch does that, and ends.
}
