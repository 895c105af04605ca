package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"switchd/artifact"
)

// Taker brings archives from another environment's stores into this one's. It is
// safe for concurrent use, but for two calls with the same archive.
type Taker struct {
	// Store is this replica's.
	Store *artifact.Store
	// Others names the base URLs of the environment's other replicas, which get
	// the archive too.
	Others artifact.Source
	Log    *slog.Logger
}

// Take has an archive in this replica's store, and in those of the others that
// can be reached. It is fetched from the sources unless it is here, and is what
// its manifest says or not taken. Its size and the time that it may need are
// bounded as those of an upload are.
func (t *Taker) Take(ctx context.Context, m artifact.Manifest, sources artifact.Source) error {
	if m.Size > artifact.DefaultMaxSize {
		return fmt.Errorf("take over %s: its archive has %d bytes, more than the %d allowed", m, m.Size, artifact.DefaultMaxSize)
	}
	client := &http.Client{
		Transport: &http.Transport{Proxy: nil, ExpectContinueTimeout: 10 * time.Second},
		// A store answers by itself. Where it would lead to is not its business.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithDeadline(ctx, artifact.Allowance(m.Size))
	defer cancel()
	if !t.Store.Has(m.SHA256) {
		if err := artifact.NewHTTPFetcher(sources, client, t.Log).Fetch(ctx, m, t.Store.Path(m.SHA256), nil); err != nil {
			return err
		}
	}
	return t.share(ctx, m, client)
}

// share brings the archive to the other replicas. One that can't be reached goes
// without it, as after a publish.
func (t *Taker) share(ctx context.Context, m artifact.Manifest, client *http.Client) error {
	others, err := t.Others(ctx)
	if err != nil {
		return fmt.Errorf("take over %s: find the other replicas: %w", m, err)
	}
	if len(others) == 0 {
		return nil
	}
	archive, err := t.Store.Open(m.SHA256)
	if err != nil {
		return err
	}
	defer func(f *os.File) { _ = f.Close() }(archive) // opened for reading
	uploader := artifact.Uploader{Client: client}
	for _, other := range others {
		if _, err := uploader.Upload(ctx, other, m, archive); err != nil {
			t.Log.WarnContext(ctx, "a replica goes without an archive", "service", m.Service, "version", m.Version, "error", err)
		}
	}
	return ctx.Err()
}
