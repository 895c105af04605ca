package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"
)

// Fetcher gets the archive of a manifest from wherever it is.
type Fetcher interface {
	// Fetch puts the archive at dst, where it appears whole and verified or
	// not at all. What an interrupted Fetch has left beside dst, a later one
	// continues. Two at once for the same dst are not allowed.
	// progress, if not nil, is called with the bytes done and the total.
	Fetch(ctx context.Context, m Manifest, dst string, progress func(done, total int64)) error
}

// Source names the base URLs of the stores that may have an artifact.
type Source func(ctx context.Context) ([]string, error)

// fetchStall is how long a source may send nothing until the next is tried.
const fetchStall = 10 * time.Second

// partSuffix is added to the name of a file that is being fetched.
const partSuffix = ".part"

// HTTPFetcher fetches from stores over HTTP. It is safe for concurrent use.
type HTTPFetcher struct {
	source Source
	client *http.Client
	log    *slog.Logger
	next   atomic.Uint32 // the source to start with
}

var _ Fetcher = (*HTTPFetcher)(nil)

// NewHTTPFetcher returns a fetcher that starts at another source each time. It
// bounds each transfer by its progress; a client with a Timeout would cut off
// large ones.
func NewHTTPFetcher(source Source, client *http.Client, log *slog.Logger) *HTTPFetcher {
	f := &HTTPFetcher{source: source, client: client, log: log}
	f.next.Store(rand.Uint32()) // It only spreads the load of many nodes.
	return f
}

// Fetch tries the sources in turn, each continuing where the one before it
// broke off or stalled, for as long as a round of them brings anything. If
// the whole has a wrong SHA-256 it is fetched once more, from other sources if
// there are any; ErrDigest then tells that it was wrong again.
func (f *HTTPFetcher) Fetch(ctx context.Context, m Manifest, dst string, progress func(done, total int64)) error {
	if err := f.fetch(ctx, m, dst, progress); err != nil {
		return fmt.Errorf("fetch %s: %w", m, full(err))
	}
	return nil
}

func (f *HTTPFetcher) fetch(ctx context.Context, m Manifest, dst string, progress func(done, total int64)) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if there, err := verified(ctx, m, dst); err != nil || there {
		return err
	}
	sources, err := f.source(ctx)
	if err != nil {
		return fmt.Errorf("find its sources: %w", err)
	}
	if len(sources) == 0 {
		return errors.New("no source is known for it")
	}
	part, err := openPart(m, dst+partSuffix, progress)
	if err != nil {
		return err
	}
	defer part.file.Close() //nolint:errcheck // Synced before it counts.
	if err := f.fill(ctx, part, sources); err != nil {
		return err
	}
	return part.finish(dst)
}

// fill gets the part complete and verified.
func (f *HTTPFetcher) fill(ctx context.Context, part *part, sources []string) error {
	if err := f.complete(ctx, part, sources); err != nil {
		return err
	}
	wrong := part.verify(ctx)
	if !errors.Is(wrong, ErrDigest) {
		return wrong
	}
	wrong = fmt.Errorf("from %v: %w", part.from, wrong)
	f.log.WarnContext(ctx, "fetched bytes are wrong and are thrown away", "service", part.manifest.Service,
		"version", part.manifest.Version, "error", wrong)
	others := slices.DeleteFunc(slices.Clone(sources), func(s string) bool { return slices.Contains(part.from, s) })
	if len(others) == 0 {
		others = sources // Perhaps it was the disk, or the way.
	}
	if err := part.truncate(); err != nil {
		return errors.Join(wrong, err)
	}
	if err := f.complete(ctx, part, others); err != nil {
		return errors.Join(wrong, err)
	}
	again := part.verify(ctx)
	if !errors.Is(again, ErrDigest) {
		return again
	}
	return errors.Join(wrong, fmt.Errorf("from %v: %w", part.from, again), part.truncate())
}

// complete goes round the sources until every byte is there, or until each of
// them has failed since the last byte came.
func (f *HTTPFetcher) complete(ctx context.Context, part *part, sources []string) error {
	var failures []error
	for turn := f.next.Add(1); part.done < part.manifest.Size; turn++ {
		if len(failures) == len(sources) {
			return errors.Join(failures...)
		}
		source := sources[turn%uint32(len(sources))] // They are few.
		before := part.done
		err := f.from(ctx, part, source)
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s: %w", source, err)
		if ctx.Err() != nil || errors.Is(full(err), ErrNoRoom) {
			return err
		}
		f.log.WarnContext(ctx, "source failed, the next is tried", "service", part.manifest.Service,
			"version", part.manifest.Version, "bytes", part.done, "error", err)
		if part.done > before {
			failures = nil
			continue
		}
		failures = append(failures, err)
	}
	return nil
}

// from continues the part from one source.
func (f *HTTPFetcher) from(ctx context.Context, part *part, source string) error {
	target, err := artifactURL(source, part.manifest.SHA256)
	if err != nil {
		return err
	}
	ctx, alive, stop := watch(ctx, fetchStall)
	defer stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept-Encoding", "identity")
	if part.done > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", part.done))
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	skip, err := part.accept(resp)
	if err != nil {
		return err
	}
	body := progressReader{resp.Body, alive}
	if _, err := io.CopyN(io.Discard, body, skip); err != nil {
		return cause(ctx, fmt.Errorf("skip the first %d bytes: %w", skip, err))
	}
	if !slices.Contains(part.from, source) {
		part.from = append(part.from, source)
	}
	return cause(ctx, part.copy(body))
}

// verified tells whether dst is what the manifest describes already. If it
// is something else it is removed.
func verified(ctx context.Context, m Manifest, dst string) (bool, error) {
	f, err := os.Open(filepath.Clean(dst))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	sum, err := digest(ctx, f)
	if err != nil {
		return false, fmt.Errorf("verify %s: %w", dst, err)
	}
	if m.match(info.Size(), sum) == nil {
		return true, nil
	}
	return false, os.Remove(dst)
}
