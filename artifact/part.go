package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"switchd/durable"
	"switchd/pagecache"
)

// part is an archive of which a beginning has been fetched.
type part struct {
	manifest Manifest
	file     *os.File
	done     int64    // bytes at the beginning of the file
	from     []string // the sources that sent bytes in this run
	progress func(done, total int64)
}

// openPart opens what an earlier run has left, or an empty file.
func openPart(m Manifest, path string, progress func(done, total int64)) (*part, error) {
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &part{manifest: m, file: file, progress: progress}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if p.done = info.Size(); p.done > m.Size {
		if err := p.truncate(); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	p.progress(p.done, m.Size)
	return p, nil
}

// truncate throws away what there is.
func (p *part) truncate() error {
	p.done, p.from = 0, nil
	return p.file.Truncate(0)
}

// accept tells whether a response has what is missing, and how many bytes of
// it are to be skipped: a source without ranges sends all.
func (p *part) accept(resp *http.Response) (skip int64, err error) {
	switch resp.StatusCode {
	case http.StatusOK:
		skip = p.done
	case http.StatusPartialContent:
		want := fmt.Sprintf("bytes %d-%d/%d", p.done, p.manifest.Size-1, p.manifest.Size)
		if got := resp.Header.Get("Content-Range"); got != want {
			return 0, fmt.Errorf("it sends the range %q, not %q", got, want)
		}
	default:
		return 0, refusal(resp)
	}
	if want := p.manifest.Size - p.done + skip; resp.ContentLength >= 0 && resp.ContentLength != want {
		return 0, fmt.Errorf("%w: it sends %d bytes, not %d", ErrDigest, resp.ContentLength, want)
	}
	return skip, nil
}

// copy appends what r has, which must not be more than what is missing. It
// leaves nothing in the page cache: that is for the services that run.
func (p *part) copy(r io.Reader) (err error) {
	var behind pagecache.Dropper
	defer func() { err = errors.Join(err, behind.Close()) }()
	w := pagecache.NewWriter(p.file, p.done, &behind)
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if int64(n) > p.manifest.Size-p.done {
			return fmt.Errorf("%w: it is longer than %d bytes", ErrDigest, p.manifest.Size)
		}
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
			p.done += int64(n)
			p.progress(p.done, p.manifest.Size)
		}
		switch {
		case errors.Is(err, io.EOF) && p.done < p.manifest.Size:
			return fmt.Errorf("it ends after %d of %d bytes", p.done, p.manifest.Size)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// verify reads the whole part again and compares it with its manifest.
func (p *part) verify(ctx context.Context) error {
	sum, err := digest(ctx, p.file)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return p.manifest.match(p.done, sum)
}

// finish makes the part durable and gives it its name.
func (p *part) finish(dst string) error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(p.file.Name(), dst); err != nil {
		return fmt.Errorf("put it in place: %w", err)
	}
	return durable.SyncDir(filepath.Dir(dst))
}
