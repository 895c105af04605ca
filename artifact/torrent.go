package artifact

import (
	"bytes"
	"context"
	"crypto/sha1" //nolint:gosec // BitTorrent v1 pieces are SHA-1 (BEP 3); the archive's SHA-256 has the last word.
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"golang.org/x/sync/errgroup"
)

const (
	minPiece   = 16 << 10 // bytes, a block of BEP 3
	maxPiece   = 1 << 30  // bytes
	maxPieces  = 16 << 10 // so that the info dictionary stays below 330 KiB
	manyPieces = 1 << 10  // what an archive has at least if its pieces are longer than shortPiece
	shortPiece = 32 << 10 // bytes, of a small archive
	longPiece  = 1 << 20  // bytes, of a big one
)

// SwarmPartSuffix is added to the name of an archive that a swarm is fetching.
// Such a file has its whole length from the beginning; only some of it holds
// data.
const SwarmPartSuffix = ".swarm" + partSuffix

var infoHashPattern = regexp.MustCompile(`\A[0-9a-f]{40}\z`)

// Metainfo is what a BitTorrent swarm has to know of an archive.
type Metainfo struct {
	PieceLength int64  // bytes of all pieces but the last
	InfoHash    string // SHA-1 of Info, lower-case hex
	// Info is the bencoded info dictionary (BEP 3) of a private torrent
	// (BEP 27) with one file, which has the archive's SHA-256 for its name.
	Info []byte
}

// PieceLength returns the length in bytes of the pieces of an archive. Nobody
// can pass on a piece before it is whole, and the first holder sends one to
// each of many nodes at a time: a swarm lags by that, so there are at least a
// thousand. Each is announced to everybody, so there are not many thousands.
func PieceLength(size int64) int64 {
	length := int64(shortPiece)
	for length < longPiece && size >= 2*length*manyPieces {
		length *= 2
	}
	for length < maxPiece && size > length*maxPieces {
		length *= 2
	}
	return length
}

// NewMetainfo hashes the pieces of an archive on all cores. digest is the
// archive's SHA-256 in hex, as Info has it; it is not checked here.
func NewMetainfo(ctx context.Context, archive io.ReaderAt, digest string, size, pieceLength int64) (Metainfo, error) {
	if size <= 0 || pieceLength <= 0 {
		return Metainfo{}, fmt.Errorf("hash the pieces of %.80q: %d bytes in pieces of %d", digest, size, pieceLength)
	}
	pieces := make([]byte, (size+pieceLength-1)/pieceLength*sha1.Size)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := int64(0); i*pieceLength < size; i++ {
		group.Go(func() error {
			begin := i * pieceLength
			piece := io.NewSectionReader(archive, begin, min(pieceLength, size-begin))
			hash := sha1.New() //nolint:gosec // See the import.
			n, err := io.Copy(hash, contextReader{ctx, piece})
			if err == nil && n != piece.Size() {
				err = io.ErrUnexpectedEOF
			}
			if err != nil {
				return fmt.Errorf("hash piece %d of %.80q: %w", i, digest, err)
			}
			hash.Sum(pieces[:i*sha1.Size])
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Metainfo{}, err
	}
	// The keys are sorted, as BEP 3 wants them.
	var info bytes.Buffer
	fmt.Fprintf(&info, "d6:lengthi%de4:name%d:%s12:piece lengthi%de6:pieces%d:", size, len(digest), digest, pieceLength, len(pieces))
	info.Write(pieces)
	info.WriteString("7:privatei1ee")
	sum := sha1.Sum(info.Bytes()) //nolint:gosec // See the import.
	return Metainfo{PieceLength: pieceLength, InfoHash: hex.EncodeToString(sum[:]), Info: info.Bytes()}, nil
}

// AddMetainfo makes a manifest one that a swarm can fetch, from its archive.
// What it adds is signed with the rest, so it comes before Sign.
func (m *Manifest) AddMetainfo(ctx context.Context, archive io.ReaderAt) error {
	info, err := NewMetainfo(ctx, archive, m.SHA256, m.Size, PieceLength(m.Size))
	if err != nil {
		return err
	}
	m.PieceLength, m.InfoHash = info.PieceLength, info.InfoHash
	return nil
}

// validMetainfo checks what AddMetainfo adds; a manifest may lack it all.
func (m *Manifest) validMetainfo() error {
	switch {
	case m.InfoHash == "" && m.PieceLength == 0:
		return nil
	case m.InfoHash == "" || m.PieceLength == 0:
		return fmt.Errorf("piece_length %d and info_hash %.80q: want both or neither", m.PieceLength, m.InfoHash)
	case !infoHashPattern.MatchString(m.InfoHash):
		return fmt.Errorf("info_hash %.80q: want 40 lower-case hex digits", m.InfoHash)
	case m.PieceLength < minPiece || m.PieceLength > maxPiece || m.PieceLength&(m.PieceLength-1) != 0:
		return fmt.Errorf("piece_length %d: want a power of two from %d to %d", m.PieceLength, minPiece, maxPiece)
	case m.PieceLength < maxPiece && m.Size/m.PieceLength > maxPieces:
		return fmt.Errorf("piece_length %d: too short for %d bytes, want at most %d pieces", m.PieceLength, m.Size, maxPieces)
	}
	return nil
}

// Room returns ErrNoRoom if the file system of a directory has not need bytes
// left for this user.
func Room(dir string, need int64) error { return room(dir, need) }

// VerifyFile reads a whole file and returns ErrDigest if it isn't the archive
// that the manifest describes, fs.ErrNotExist if there is none.
func (m Manifest) VerifyFile(ctx context.Context, path string) error {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	sum, err := digest(ctx, f)
	if err != nil {
		return fmt.Errorf("verify %s: %w", path, err)
	}
	return m.match(info.Size(), sum)
}
