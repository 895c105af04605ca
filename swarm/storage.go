package swarm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/anacrolix/torrent/metainfo"
	"github.com/anacrolix/torrent/storage"
	"golang.org/x/sys/unix"

	"switchd/artifact"
	"switchd/durable"
)

// archive is one artifact's file as the BitTorrent library sees it. Which
// pieces are there is not written down anywhere: after a restart those that
// hold data are hashed, so nothing can claim what the disk doesn't have.
type archive struct {
	manifest artifact.Manifest
	drop     func(f *os.File, off, n int64)
	fail     func(error) // told when the file can't become what it must be

	mu     sync.RWMutex // guards file against being exchanged in use
	file   *os.File
	pieces []storage.Completion
	state  sync.Mutex // guards pieces
	whole  bool       // every piece was hashed before
}

// openWhole opens an archive that was verified, for reading only.
func openWhole(m artifact.Manifest, file *os.File, drop func(*os.File, int64, int64)) *archive {
	return &archive{manifest: m, file: file, drop: drop, whole: true, fail: func(error) {}}
}

// openPart opens an archive that is to be fetched, or what there is of it. It
// takes all of its room at once, so that a disk that is too small is found
// before anything is sent.
func openPart(m artifact.Manifest, path string, drop func(*os.File, int64, int64), fail func(error)) (*archive, error) {
	var there unix.Stat_t // Stays zero if there is nothing.
	if err := unix.Stat(path, &there); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	// To reserve what isn't there would fill the disk first.
	if err := artifact.Room(filepath.Dir(path), m.Size-there.Blocks*512); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := reserve(file, m.Size); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &archive{manifest: m, file: file, drop: drop, fail: fail}, nil
}

// reserve gives a file its length and its blocks, or leaves it as it was. What
// it holds stays.
func reserve(file *os.File, size int64) error {
	before, err := file.Stat()
	if err != nil {
		return err
	}
	if err := file.Truncate(size); err != nil {
		return noRoom(err)
	}
	err = unix.Fallocate(int(file.Fd()), 0, 0, size)
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // If the latter, a lack of room shows when it is written to.
	}
	err = fmt.Errorf("reserve %d bytes for %s: %w", size, file.Name(), noRoom(err))
	if before.Size() < size {
		err = errors.Join(err, file.Truncate(before.Size())) // Some blocks were taken.
	}
	if before.Size() == 0 {
		err = errors.Join(err, os.Remove(file.Name()))
	}
	return err
}

// noRoom adds artifact.ErrNoRoom to an error that means it.
func noRoom(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("%w: %w", artifact.ErrNoRoom, err)
	}
	return err
}

// OpenTorrent is called when the info dictionary is known and has the right
// hash, which doesn't mean that it describes this archive.
func (a *archive) OpenTorrent(_ context.Context, info *metainfo.Info, _ metainfo.Hash) (storage.TorrentImpl, error) {
	if err := a.describes(info); err != nil {
		a.fail(err)
		return storage.TorrentImpl{}, err
	}
	a.pieces = make([]storage.Completion, info.NumPieces())
	for i := range a.pieces {
		a.pieces[i] = storage.Completion{Ok: true, Complete: a.whole}
	}
	if !a.whole {
		if err := a.findData(info.PieceLength); err != nil {
			a.fail(err)
			return storage.TorrentImpl{}, err
		}
	}
	return storage.TorrentImpl{
		Piece: func(p metainfo.Piece) storage.PieceImpl { return piece{a, p} },
		Close: a.close,
	}, nil
}

func (a *archive) describes(info *metainfo.Info) error {
	if info.Name != a.manifest.SHA256 || info.Length != a.manifest.Size || info.PieceLength != a.manifest.PieceLength ||
		len(info.Files) > 0 || info.HasV2() || info.Private == nil || !*info.Private {
		return fmt.Errorf("%w: the torrent %s is of another archive", artifact.ErrDigest, a.manifest.InfoHash)
	}
	return nil
}

// findData makes the pieces in which the file has data unknown, so that they
// are hashed. What was reserved only counts as a hole.
func (a *archive) findData(pieceLength int64) error {
	fd := int(a.file.Fd())
	for off := int64(0); off < a.manifest.Size; {
		begin, err := unix.Seek(fd, off, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		var end int64
		if err == nil {
			end, err = unix.Seek(fd, begin, unix.SEEK_HOLE)
		}
		if errors.Is(err, unix.EINVAL) { // A file system that can't tell.
			begin, end, err = 0, a.manifest.Size, nil
		}
		if err != nil {
			return fmt.Errorf("look for data in %s: %w", a.file.Name(), err)
		}
		for p := begin / pieceLength; p*pieceLength < min(end, a.manifest.Size); p++ {
			a.pieces[p].Ok = false
		}
		off = end
	}
	return nil
}

// verify compares the whole file with the manifest.
func (a *archive) verify(ctx context.Context) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.manifest.VerifyFile(ctx, a.file.Name())
}

// finish makes the file durable, gives it its name, and from then on only
// reads it.
func (a *archive) finish(dst string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.file.Sync(); err != nil {
		return noRoom(err)
	}
	if err := os.Rename(a.file.Name(), dst); err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	if err := durable.SyncDir(filepath.Dir(dst)); err != nil {
		return err
	}
	read, err := os.Open(filepath.Clean(dst))
	if err != nil {
		return err
	}
	old := a.file
	a.file = read
	return old.Close()
}

func (a *archive) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.file.Close()
}

// piece is a piece of an archive.
type piece struct {
	archive *archive
	info    metainfo.Piece
}

// ReadAt reads within the piece.
func (p piece) ReadAt(b []byte, off int64) (int, error) {
	a := p.archive
	a.mu.RLock()
	defer a.mu.RUnlock()
	return io.NewSectionReader(a.file, p.info.Offset(), p.info.Length()).ReadAt(b, off)
}

// WriteAt writes within the piece.
func (p piece) WriteAt(b []byte, off int64) (int, error) {
	a := p.archive
	a.mu.RLock()
	defer a.mu.RUnlock()
	n, err := a.file.WriteAt(b, p.info.Offset()+off)
	return n, noRoom(err)
}

// MarkComplete is called when the piece has been hashed.
func (p piece) MarkComplete() error {
	p.mark(true)
	if a := p.archive; a.drop != nil {
		a.mu.RLock()
		defer a.mu.RUnlock()
		a.drop(a.file, p.info.Offset(), p.info.Length())
	}
	return nil
}

// MarkNotComplete is called when the piece has another hash.
func (p piece) MarkNotComplete() error {
	p.mark(false)
	return nil
}

func (p piece) mark(complete bool) {
	p.archive.state.Lock()
	defer p.archive.state.Unlock()
	p.archive.pieces[p.info.Index()] = storage.Completion{Ok: true, Complete: complete}
}

// Completion tells whether the piece is there, if that is known.
func (p piece) Completion() storage.Completion {
	p.archive.state.Lock()
	defer p.archive.state.Unlock()
	return p.archive.pieces[p.info.Index()]
}

// nowhere is the storage of torrents that bring none; there are none.
type nowhere struct{}

// OpenTorrent returns an error.
func (nowhere) OpenTorrent(context.Context, *metainfo.Info, metainfo.Hash) (storage.TorrentImpl, error) {
	return storage.TorrentImpl{}, errors.New("a torrent without an archive")
}
