package artifact

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Info is what Pack tells of an archive.
type Info struct {
	Size     int64  // bytes of the archive
	SHA256   string // of the archive, lower-case hex
	Unpacked int64  // bytes on disk, each entry rounded up to 4 KiB
	Entries  int    // files, directories and links
}

// Pack writes a release to dst as a tar.zst archive. The source is a
// directory, a single file, which is packed under its own name, or an archive
// (.tar, .tar.gz, .tgz, .tar.zst), which is packed anew.
//
// The same tree gives the same bytes: entries are sorted, owners and times
// are left out, and of the modes only the permissions count. It packs
// nothing that Unpack would refuse by its DefaultLimits.
func Pack(ctx context.Context, src string, dst io.Writer) (Info, error) {
	info, err := pack(ctx, src, dst)
	if err != nil {
		return Info{}, fmt.Errorf("pack %s: %w", src, full(err))
	}
	return info, nil
}

func pack(ctx context.Context, src string, dst io.Writer) (Info, error) {
	info, err := os.Stat(src)
	if err != nil {
		return Info{}, err
	}
	switch {
	case info.IsDir():
		return packTree(ctx, src, ".", dst)
	case !info.Mode().IsRegular():
		return Info{}, fmt.Errorf("is a %s; want a directory, a file or an archive", kind(info.Mode()))
	case compressionOf(src) != notAnArchive:
		return repack(ctx, src, dst)
	}
	return packTree(ctx, filepath.Dir(src), filepath.Base(src), dst)
}

// repack unpacks an archive first, by the same rules as ever, because only a
// whole tree can be sorted and checked.
func repack(ctx context.Context, src string, dst io.Writer) (info Info, err error) {
	tmp, err := os.MkdirTemp("", "switchd-pack-")
	if err != nil {
		return Info{}, fmt.Errorf("make a directory to repack in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	if err := extractFile(ctx, src, compressionOf(src), tmp, DefaultLimits()); err != nil {
		return Info{}, err
	}
	return packTree(ctx, tmp, ".", dst)
}

// packTree packs what is at start within the directory root.
func packTree(ctx context.Context, root, start string, dst io.Writer) (info Info, err error) {
	tree, err := os.OpenRoot(root)
	if err != nil {
		return Info{}, err
	}
	defer tree.Close() //nolint:errcheck // Opened for reading.

	hash := sha256.New()
	counter := &countingWriter{w: io.MultiWriter(dst, hash)}
	// One worker, so that the bytes don't depend on the machine. The level is
	// worth its time: an archive is packed once and sent to every node.
	compressor, err := zstd.NewWriter(counter,
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return Info{}, fmt.Errorf("compress: %w", err)
	}
	p := packer{ctx: ctx, tree: tree, tar: tar.NewWriter(compressor), budget: budget{limits: DefaultLimits()}}
	if err := fs.WalkDir(tree.FS(), start, p.visit); err != nil {
		return Info{}, err
	}
	if p.budget.entries == 0 {
		return Info{}, errors.New("there is nothing in it")
	}
	if err := errors.Join(p.tar.Close(), compressor.Close()); err != nil {
		return Info{}, fmt.Errorf("write the archive: %w", err)
	}
	p.budget.archive = counter.n
	if err := p.budget.ratio(); err != nil {
		return Info{}, err
	}
	return Info{
		Size:     counter.n,
		SHA256:   hex.EncodeToString(hash.Sum(nil)),
		Unpacked: p.budget.size,
		Entries:  p.budget.entries,
	}, nil
}

// packer writes one tree to one archive.
type packer struct {
	ctx    context.Context // It is one call's, as the packer is.
	tree   *os.Root
	tar    *tar.Writer
	budget budget
}

// visit packs one entry. WalkDir comes by in lexical order.
func (p *packer) visit(name string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if name == "." {
		return nil
	}
	if _, err := localName(name); err != nil {
		return err
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	header := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), ModTime: time.Unix(0, 0)}
	switch info.Mode().Type() {
	case 0:
		header.Typeflag, header.Size = tar.TypeReg, info.Size()
	case fs.ModeDir:
		header.Typeflag, header.Name = tar.TypeDir, name+"/"
	case fs.ModeSymlink:
		header.Typeflag, header.Mode = tar.TypeSymlink, 0o777
		if header.Linkname, err = p.tree.Readlink(name); err != nil {
			return err
		}
		if err := checkLink(p.tree, name, header.Linkname); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%s: is a %s; a release has files, directories and links only", name, kind(info.Mode()))
	}
	if err := p.budget.add(name, header.Size); err != nil {
		return err
	}
	if err := p.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("%s: write its header: %w", name, err)
	}
	if header.Typeflag != tar.TypeReg {
		return nil
	}
	return p.content(name, header.Size)
}

func (p *packer) content(name string, size int64) error {
	f, err := p.tree.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	n, err := io.Copy(p.tar, contextReader{p.ctx, f})
	if errors.Is(err, tar.ErrWriteTooLong) || err == nil && n != size {
		return fmt.Errorf("%s: it changed while it was packed; pack a tree that nothing writes to", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// checkLink returns an error if a link in a whole tree leads out of it, by
// itself or through others. A link that leads nowhere stays within.
func checkLink(tree *os.Root, name, target string) error {
	if err := localLink(name, target); err != nil {
		return err
	}
	if _, err := tree.Stat(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: its link to %.200q can't be followed within the release: %w", name, target, err)
	}
	return nil
}

// kind names a file's type for people.
func kind(mode fs.FileMode) string {
	switch mode.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symbolic link"
	case fs.ModeNamedPipe:
		return "named pipe"
	case fs.ModeSocket:
		return "socket"
	default:
		return "device"
	}
}

// countingWriter counts the bytes that pass.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
