package artifact

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"switchd/pagecache"
)

// compression is how an archive is compressed.
type compression int

const (
	notAnArchive compression = iota
	plain
	gzipped
	zstandard
)

// compressionOf tells by a file's name.
func compressionOf(file string) compression {
	name := strings.ToLower(filepath.Base(file))
	switch {
	case strings.HasSuffix(name, ".tar"):
		return plain
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		return gzipped
	case strings.HasSuffix(name, ".tar.zst"):
		return zstandard
	}
	return notAnArchive
}

// maxWindow bounds the memory in bytes for decompression; zstd's own tools
// need more only for --ultra and --long.
const maxWindow = 128 << 20

// extractFile extracts an archive into an empty directory.
func extractFile(ctx context.Context, archive string, compressed compression, dir string, limits Limits) error {
	f, err := os.Open(filepath.Clean(archive))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	info, err := f.Stat()
	if err != nil {
		return err
	}
	in, err := pagecache.NewReader(f)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // What was only read.
	var r io.Reader = contextReader{ctx, in}
	switch compressed {
	case plain, notAnArchive:
	case gzipped:
		unzip, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("decompress: %w", err)
		}
		r = unzip
	case zstandard:
		// One worker: it decompresses in this goroutine.
		unzip, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return fmt.Errorf("decompress: %w", err)
		}
		defer unzip.Close()
		r = unzip
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // Opened for reading.
	e := extractor{
		ctx:    ctx,
		root:   root,
		budget: budget{limits: limits, archive: info.Size()},
		dirs:   map[string]fs.FileMode{},
		links:  map[string]string{},
	}
	return errors.Join(e.extract(r), e.behind.Close())
}

// extractor extracts one archive. Everything goes through an os.Root, which no
// name and no link leads out of.
type extractor struct {
	ctx    context.Context // It is one call's, as the extractor is.
	root   *os.Root
	budget budget
	behind pagecache.Dropper
	dirs   map[string]fs.FileMode // modes are set last: one may forbid to write
	links  map[string]string
}

func (e *extractor) extract(r io.Reader) error {
	archive := tar.NewReader(r)
	for {
		if err := e.ctx.Err(); err != nil {
			return err
		}
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := e.entry(header, archive); err != nil {
			return err
		}
	}
	if e.budget.entries == 0 {
		return errors.New("there is nothing in it")
	}
	// Tar pads its end with zeros. To read on checks the compression's own sum.
	const padding = 1 << 20
	if n, err := io.CopyN(io.Discard, r, padding+1); err == nil || n > padding {
		return errors.New("there is more after the archive's end")
	} else if !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the archive's end: %w", err)
	}
	return e.finish()
}

// entry makes one entry of the archive.
func (e *extractor) entry(header *tar.Header, content io.Reader) error {
	name, err := localName(header.Name)
	if err != nil {
		return err
	}
	if name == "." && header.Typeflag == tar.TypeDir || header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	if err := e.parents(name); err != nil {
		return err
	}
	mode := fs.FileMode(header.Mode & 0o777) // Nine bits; set-user-ID and its like are dropped.
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return e.file(name, mode, header.Size, content)
	case tar.TypeDir:
		return e.dir(name, mode)
	case tar.TypeSymlink:
		return e.symlink(name, header.Linkname)
	case tar.TypeLink:
		return e.hardLink(name, header.Linkname)
	}
	return fmt.Errorf("%s: is of type %q; a release has files, directories and links only", name, header.Typeflag)
}

// parents makes the directories above an entry that have no entry before it.
func (e *extractor) parents(name string) error {
	parent := path.Dir(name)
	if _, known := e.dirs[parent]; known || parent == "." {
		return nil
	}
	info, err := e.root.Lstat(parent)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := e.parents(parent); err != nil {
			return err
		}
		return e.dir(parent, 0o755)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s: is below a %s", name, kind(info.Mode()))
	}
	return nil
}

func (e *extractor) dir(name string, mode fs.FileMode) error {
	if _, known := e.dirs[name]; !known {
		if err := e.budget.add(name, 0); err != nil {
			return err
		}
		if err := e.root.Mkdir(name, 0o700); err != nil {
			return twice(name, err)
		}
	}
	// Ours to enter, change and remove whatever the archive says.
	e.dirs[name] = mode | 0o700
	return nil
}

func (e *extractor) file(name string, mode fs.FileMode, size int64, content io.Reader) error {
	if err := e.budget.add(name, size); err != nil {
		return err
	}
	f, err := e.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return twice(name, err)
	}
	_, err = io.Copy(pagecache.NewWriter(f, 0, &e.behind), content)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (e *extractor) symlink(name, target string) error {
	if err := localLink(name, target); err != nil {
		return err
	}
	if err := e.budget.add(name, 0); err != nil {
		return err
	}
	if err := e.root.Symlink(target, name); err != nil {
		return twice(name, err)
	}
	e.links[name] = target
	return nil
}

// hardLink links to a file that the archive had before. It counts with the
// file's size, because packed anew it is a file of its own.
func (e *extractor) hardLink(name, target string) error {
	target, err := localName(target)
	if err != nil {
		return fmt.Errorf("%s: hard link: %w", name, err)
	}
	info, err := e.root.Lstat(target)
	if err != nil {
		return fmt.Errorf("%s: hard link: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: hard link to %s, which is a %s", name, target, kind(info.Mode()))
	}
	if err := e.budget.add(name, info.Size()); err != nil {
		return err
	}
	if err := e.root.Link(target, name); err != nil {
		return twice(name, err)
	}
	return nil
}

// finish checks the links in the whole tree and gives directories their modes.
func (e *extractor) finish() error {
	for name, target := range e.links {
		if err := checkLink(e.root, name, target); err != nil {
			return err
		}
	}
	for name, mode := range e.dirs {
		if err := e.root.Chmod(name, mode); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// twice explains why an entry can't be made.
func twice(name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: is in the archive twice: %w", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}
