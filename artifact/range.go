package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ReadRange fills p with the archive's bytes from off on, from one of the
// sources. They are not verified. A source that fails or stalls is left for
// the next; the error tells of all of them.
func (f *HTTPFetcher) ReadRange(ctx context.Context, m Manifest, p []byte, off int64) error {
	if err := f.readRange(ctx, m, p, off); err != nil {
		return fmt.Errorf("fetch %d bytes at %d of %s: %w", len(p), off, m, err)
	}
	return nil
}

func (f *HTTPFetcher) readRange(ctx context.Context, m Manifest, p []byte, off int64) error {
	if off < 0 || len(p) == 0 || off > m.Size-int64(len(p)) {
		return fmt.Errorf("it has %d bytes only", m.Size)
	}
	sources, err := f.source(ctx)
	if err != nil {
		return fmt.Errorf("find its sources: %w", err)
	}
	if len(sources) == 0 {
		return errors.New("no source is known for it")
	}
	var failures []error
	first := f.next.Add(1)
	for i := range uint32(len(sources)) { // They are few.
		source := sources[(first+i)%uint32(len(sources))]
		err := f.rangeFrom(ctx, source, m, p, off)
		if err == nil {
			return nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", source, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failures...)
}

func (f *HTTPFetcher) rangeFrom(ctx context.Context, source string, m Manifest, p []byte, off int64) error {
	target, err := artifactURL(source, m.SHA256)
	if err != nil {
		return err
	}
	ctx, alive, stop := watch(ctx, fetchStall)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	last := off + int64(len(p)) - 1
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, last))
	resp, err := f.client.Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return errors.New("it sends all instead of a range")
	}
	if resp.StatusCode != http.StatusPartialContent {
		return refusal(resp)
	}
	want := fmt.Sprintf("bytes %d-%d/%d", off, last, m.Size)
	if got := resp.Header.Get("Content-Range"); got != want {
		return fmt.Errorf("it sends the range %q, not %q", got, want)
	}
	_, err = io.ReadFull(progressReader{resp.Body, alive}, p)
	return cause(ctx, err)
}
