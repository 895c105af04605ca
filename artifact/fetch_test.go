package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"switchd/artifact"
)

// good serves a release as it is.
func good(t testing.TB, r release) *httptest.Server {
	t.Helper()
	s, _ := newStore(t)
	must(t, s.Put(within(t), r.manifest, bytes.NewReader(r.archive)))
	return serve(t, s, artifact.Policy{})
}

// bad serves what a function makes of a release.
func bad(t testing.TB, serve http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(serve)
	t.Cleanup(server.Close)
	return server
}

// dying sends n bytes at a time of an archive, and then breaks off.
func dying(r release, n int64) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		cut := &cutWriter{ResponseWriter: w, left: n}
		http.ServeContent(cut, req, "", time.Time{}, bytes.NewReader(r.archive))
	}
}

type cutWriter struct {
	http.ResponseWriter

	left int64
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(p))
	return c.ResponseWriter.Write(p)
}

func sources(urls ...string) artifact.Source {
	return func(context.Context) ([]string, error) { return urls, nil }
}

func fetcher(t testing.TB, source artifact.Source) *artifact.HTTPFetcher {
	t.Helper()
	return artifact.NewHTTPFetcher(source, client(t), slog.New(slog.DiscardHandler))
}

func wantFetched(t *testing.T, r release, dst string) {
	t.Helper()
	got, err := os.ReadFile(dst)
	must(t, err)
	if !bytes.Equal(got, r.archive) {
		t.Error("fetched other bytes")
	}
	if got := entries(t, filepath.Dir(dst)); len(got) != 1 {
		t.Errorf("left behind: %q", got)
	}
}

func TestFetch_GetsTheArchiveInSpiteOfFaults(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	flipped := release{manifest: r.manifest, archive: bytes.Clone(r.archive)}
	flipped.archive[len(flipped.archive)-100] ^= 1
	longer := release{manifest: r.manifest, archive: append(bytes.Clone(r.archive), 0)}
	shorter := release{manifest: r.manifest, archive: r.archive[:len(r.archive)-1]}
	all := func(r release) http.HandlerFunc { return dying(r, 1<<40) }
	for name, fault := range map[string]http.HandlerFunc{
		"none":           all(r),
		"missing":        http.NotFound,
		"broken":         func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusInternalServerError) },
		"dies at once":   dying(r, 0),
		"dies in middle": dying(r, 300_000),
		"wrong bit":      all(flipped),
		"too long":       all(longer),
		"too short":      all(shorter),
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for err := error(nil); err == nil; {
				_, err = w.Write(make([]byte, 64<<10))
			}
		},
		"no ranges": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(r.archive) },
		"wrong range": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 7-8/9")
			w.WriteHeader(http.StatusPartialContent)
		},
		"not there at all": nil,
	} {
		// Either comes first: which one is the fetcher's choice.
		for _, order := range []string{"good first", "bad first"} {
			t.Run(name+"/"+order, func(t *testing.T) {
				t.Parallel()
				urls := []string{good(t, r).URL, "http://127.0.0.1:1"}
				if fault != nil {
					urls[1] = bad(t, fault).URL
				}
				f := fetcher(t, func(context.Context) ([]string, error) { return urls, nil })
				for range 2 { // Once from each.
					dst := filepath.Join(t.TempDir(), "archive")
					must(t, f.Fetch(within(t), r.manifest, dst, nil))
					wantFetched(t, r, dst)
				}
				if order == "bad first" {
					slices.Reverse(urls)
				}
			})
		}
	}
}

func TestFetch_ContinuesWhereItBrokeOff(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	dir := t.TempDir()
	dst := filepath.Join(dir, "archive")
	must(t, os.WriteFile(dst+".part", r.archive[:1<<19], 0o600))
	var ranges []string
	var mu sync.Mutex
	serve := dying(r, 200_000)
	server := bad(t, func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		ranges = append(ranges, req.Header.Get("Range"))
		mu.Unlock()
		serve(w, req)
	})
	var first, last int64 = -1, 0
	must(t, fetcher(t, sources(server.URL)).Fetch(within(t), r.manifest, dst, func(done, total int64) {
		if first < 0 {
			first = done
		}
		if done < last || total != r.manifest.Size {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
	}))
	wantFetched(t, r, dst)
	if first != 1<<19 || last != r.manifest.Size {
		t.Errorf("progress went from %d to %d", first, last)
	}
	if len(ranges) < 3 || ranges[0] != "bytes=524288-" {
		t.Errorf("asked for %q", ranges)
	}
	// What is there is not fetched again.
	must(t, fetcher(t, sources()).Fetch(within(t), r.manifest, dst, nil))
}

func TestFetch_DistrustsWhatIsOnTheDisk(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	rotten := bytes.Clone(r.archive)
	rotten[10] ^= 1
	for name, files := range map[string]map[string][]byte{
		"rotten archive":       {"archive": rotten},
		"short archive":        {"archive": r.archive[:10]},
		"rotten part":          {"archive.part": rotten[:1<<19]},
		"rotten complete part": {"archive.part": rotten},
		"part too long":        {"archive.part": append(bytes.Clone(r.archive), 0)},
		"complete part":        {"archive.part": r.archive},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, content := range files {
				must(t, os.WriteFile(filepath.Join(dir, file), content, 0o600))
			}
			dst := filepath.Join(dir, "archive")
			must(t, fetcher(t, sources(good(t, r).URL)).Fetch(within(t), r.manifest, dst, nil))
			wantFetched(t, r, dst)
		})
	}
}

func TestFetch_FailsWithTheSourcesAndTheReasons(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	flipped := release{archive: bytes.Clone(r.archive)}
	flipped.archive[1000] ^= 1
	wrong := []string{bad(t, dying(flipped, 1<<40)).URL, bad(t, dying(flipped, 1<<40)).URL}
	missing := []string{bad(t, http.NotFound).URL, bad(t, dying(r, 0)).URL}
	shifted := bad(t, func(w http.ResponseWriter, req *http.Request) {
		req.Header.Set("Range", "bytes=7-")
		dying(release{archive: append(bytes.Clone(r.archive), noise(7)...)}, 1<<40)(w, req)
	}).URL
	noSource := errors.New("the catalog is silent")
	for name, test := range map[string]struct {
		source artifact.Source
		want   []string
		is     error
	}{
		"wrong everywhere": {sources(wrong...), []string{wrong[0], wrong[1], r.digest(), "web 1.4.2"}, artifact.ErrDigest},
		"wrong twice":      {sources(wrong[0]), []string{wrong[0], r.digest()}, artifact.ErrDigest},
		"nowhere":          {sources(missing...), []string{missing[0] + ": it answered 404", missing[1]}, nil},
		"another range":    {sources(shifted), []string{shifted + `: it sends the range "bytes 7-`}, nil},
		"no source":        {sources(), []string{"no source is known"}, nil},
		"no catalog":       {func(context.Context) ([]string, error) { return nil, noSource }, []string{"find its sources"}, noSource},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dst := filepath.Join(t.TempDir(), "archive")
			err := fetcher(t, test.source).Fetch(within(t), r.manifest, dst, nil)
			if err == nil || test.is != nil && !errors.Is(err, test.is) {
				t.Fatalf("error is %v, want %v", err, test.is)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
			if _, err := os.Stat(dst); !os.IsNotExist(err) {
				t.Errorf("there is an archive: %v", err)
			}
			// Nothing wrong is kept to be continued.
			if info, err := os.Stat(dst + ".part"); err == nil && info.Size() > 0 {
				t.Errorf("%d bytes are kept", info.Size())
			}
		})
	}
}

func TestFetch_AsksNoLiarTwice(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1000)
	flipped := release{archive: bytes.Clone(r.archive)}
	flipped.archive[500] ^= 1
	f := fetcher(t, sources(bad(t, http.NotFound).URL, bad(t, dying(flipped, 1<<40)).URL, good(t, r).URL))
	for range 6 { // Beginning with each of them.
		dst := filepath.Join(t.TempDir(), "archive")
		must(t, f.Fetch(within(t), r.manifest, dst, nil))
		wantFetched(t, r, dst)
	}
}

func TestFetch_SpreadsOverTheSources(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1000)
	var hits [3]atomic.Int32
	var urls []string
	for i := range hits {
		urls = append(urls, bad(t, func(w http.ResponseWriter, req *http.Request) {
			hits[i].Add(1)
			dying(r, 1<<40)(w, req)
		}).URL)
	}
	f := fetcher(t, sources(urls...))
	for range 6 {
		must(t, f.Fetch(within(t), r.manifest, filepath.Join(t.TempDir(), "archive"), nil))
	}
	for i := range hits {
		if n := hits[i].Load(); n != 2 {
			t.Errorf("source %d was asked %d times, want 2", i, n)
		}
	}
}

func TestFetch_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1000)
	asked := make(chan struct{})
	server := bad(t, func(_ http.ResponseWriter, req *http.Request) {
		close(asked)
		<-req.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	err := fetcher(t, sources(server.URL)).Fetch(ctx, r.manifest, filepath.Join(t.TempDir(), "archive"), nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}

// In the bubble time is virtual: ten seconds of silence take none. Its
// network is made of pipes, as the real one would not be part of it.
func TestFetch_LeavesASourceThatStalls(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	dst := filepath.Join(t.TempDir(), "archive")
	synctest.Test(t, func(t *testing.T) {
		stalling := func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Length", "100000000")
			if req.Header.Get("Range") == "" {
				http.ServeContent(&hangingWriter{ResponseWriter: w, left: 50_000, until: req.Context()}, req, "", time.Time{}, bytes.NewReader(r.archive))
				return
			}
			<-req.Context().Done()
		}
		network := pipeNetwork{"stalling": stalling, "healthy": dying(r, 1<<40)}
		transport := &http.Transport{DialContext: network.dial, DisableKeepAlives: true}
		f := artifact.NewHTTPFetcher(sources("http://stalling", "http://healthy"), &http.Client{Transport: transport}, slog.New(slog.DiscardHandler))
		var waited time.Duration
		for range 2 { // Once from each.
			begin := time.Now()
			must(t, f.Fetch(t.Context(), r.manifest, dst, nil))
			waited = max(waited, time.Since(begin))
			must(t, os.Remove(dst))
		}
		if waited != 10*time.Second {
			t.Errorf("the stalling source was left after %v, want 10s", waited)
		}
		only := artifact.NewHTTPFetcher(sources("http://stalling"), &http.Client{Transport: transport}, slog.New(slog.DiscardHandler))
		if err := only.Fetch(t.Context(), r.manifest, dst, nil); err == nil || !strings.Contains(err.Error(), "stalled: not a byte for 10s") {
			t.Errorf("error is %v", err)
		}
		transport.CloseIdleConnections()
		synctest.Wait()
	})
}

// hangingWriter sends some bytes and then no more.
type hangingWriter struct {
	http.ResponseWriter

	left  int
	until context.Context // It is the request's, as the writer is.
}

func (h *hangingWriter) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.left -= n
	if _, err := h.ResponseWriter.Write(p[:n]); err != nil {
		return 0, err
	}
	if n < len(p) {
		_ = http.NewResponseController(h.ResponseWriter).Flush()
		<-h.until.Done()
		return n, h.until.Err()
	}
	return n, nil
}

// pipeNetwork dials hosts that are handlers.
type pipeNetwork map[string]http.HandlerFunc

func (n pipeNetwork) dial(_ context.Context, _, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	listener := &oneConn{conn: make(chan net.Conn, 1), addr: ours.LocalAddr()}
	listener.conn <- theirs
	server := &http.Server{Handler: n[host], ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	return ours, nil
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	conn chan net.Conn
	addr net.Addr
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	default:
		return nil, net.ErrClosed
	}
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return l.addr }
