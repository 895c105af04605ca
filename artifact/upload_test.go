package artifact_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"switchd/artifact"
)

func uploader(t testing.TB) *artifact.Uploader {
	t.Helper()
	return &artifact.Uploader{Client: client(t), Patience: 10 * time.Second}
}

// uploadOf is the name of an archive that is being uploaded.
func uploadOf(r release) string { return r.digest() + ".upload.part" }

// wantStored fails unless a store holds nothing but an archive.
func wantStored(t *testing.T, r release, dir string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, r.digest()))
	must(t, err)
	if !bytes.Equal(got, r.archive) {
		t.Error("the store holds other bytes")
	}
	if got := entries(t, dir); len(got) != 1 {
		t.Errorf("the store holds %q", got)
	}
}

func TestUploader_PutsWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	for name, test := range map[string]struct {
		there []byte // of an upload that broke off
		sent  int
	}{
		"nothing is there":       {nil, len(r.archive)},
		"a beginning is there":   {r.archive[:700_000], len(r.archive) - 700_000},
		"all but its name":       {r.archive, 1},
		"more than all is there": {append(bytes.Clone(r.archive), 1, 2, 3), len(r.archive)},
		// Its last byte is sent, it is found to be wrong, and all of it is sent.
		"something else is there": {noise(len(r.archive)), 1 + len(r.archive)},
		"a wrong beginning":       {noise(1000), len(r.archive) - 1000 + len(r.archive)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := newStore(t)
			if test.there != nil {
				write(t, filepath.Join(dir, uploadOf(r)), string(test.there), 0o600)
			}
			server := serve(t, s, artifact.Policy{Keys: r.keys})
			u := uploader(t)
			var sent int
			last := int64(-1)
			u.Progress = func(done, total int64) {
				if total != r.manifest.Size {
					t.Errorf("the total is %d", total)
				}
				last = done
			}
			counting := &countingReader{ReaderAt: bytes.NewReader(r.archive)}
			had, err := u.Upload(within(t), server.URL, r.manifest, counting)
			must(t, err)
			wantStored(t, r, dir)
			sent = int(counting.n.Load()) - 1 // One byte is read to see that there is an end.
			if had || sent != test.sent || last != r.manifest.Size {
				t.Errorf("had %t, %d bytes sent, want %d; progress ends with %d", had, sent, test.sent, last)
			}
			// Nothing is sent again.
			had, err = u.Upload(within(t), server.URL+"/", r.manifest, counting)
			must(t, err)
			if again := int(counting.n.Load()) - 2 - sent; !had || again != 0 {
				t.Errorf("had %t, %d bytes sent again", had, again)
			}
		})
	}
}

// countingReader counts the bytes that are read.
type countingReader struct {
	io.ReaderAt

	n atomic.Int64
}

func (c *countingReader) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, at)
	c.n.Add(int64(n))
	return n, err
}

func TestUploader_SaysWhyItFailed(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	s, dir := newStore(t)
	_, strangers := newKey(t)
	server := serve(t, s, artifact.Policy{Keys: strangers})
	odd := bad(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(artifact.OffsetHeader, "-1")
		w.WriteHeader(http.StatusAccepted)
	})
	for name, test := range map[string]struct {
		url     string
		archive []byte
		want    string
	}{
		"refused":     {server.URL, r.archive, "403 Forbidden: verify web 1.4.2"},
		"too short":   {server.URL, r.archive[1:], "not what the manifest describes"},
		"too long":    {server.URL, append(bytes.Clone(r.archive), 0), "not what the manifest describes"},
		"no server":   {"http://127.0.0.1:1", r.archive, "connection refused"},
		"no address":  {"ftp://example.net", r.archive, "no http or https URL"},
		"other place": {server.URL + "/other", r.archive, "404"},
		"odd offset":  {odd.URL, r.archive, `byte "-1"`},
	} {
		_, err := uploader(t).Upload(within(t), test.url, r.manifest, bytes.NewReader(test.archive))
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.url) {
			t.Errorf("%s: error is %v, want one with %q and the address", name, err, test.want)
		}
	}
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("store holds %q", got)
	}
}

func TestUploader_GivesUpOnWrongBytesAndOnAStoreThatStaysAway(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	s, dir := newStore(t)
	write(t, filepath.Join(dir, uploadOf(r)), string(noise(1000)), 0o600)
	server := serve(t, s, artifact.Policy{Keys: r.keys})
	wrong := bytes.Clone(r.archive)
	wrong[5000] ^= 1
	if _, err := uploader(t).Upload(within(t), server.URL, r.manifest, bytes.NewReader(wrong)); err == nil || !strings.Contains(err.Error(), "422") {
		t.Errorf("wrong bytes: %v", err)
	}
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("store holds %q", got)
	}
	// It takes some bytes, and then it is gone for good.
	inner := artifact.NewHandler(s, artifact.Policy{Keys: r.keys}, slog.New(slog.DiscardHandler))
	var gone atomic.Bool
	dying := bad(t, func(w http.ResponseWriter, req *http.Request) {
		if gone.Load() {
			panic(http.ErrAbortHandler)
		}
		if req.ContentLength > 0 {
			gone.Store(true)
			req.Body = io.NopCloser(io.MultiReader(io.LimitReader(req.Body, 5000), iotestBroken{}))
		}
		inner.ServeHTTP(w, req)
	})
	u := uploader(t)
	u.Patience = time.Second
	began := time.Now()
	if _, err := u.Upload(within(t), dying.URL, r.manifest, bytes.NewReader(r.archive)); err == nil || !strings.Contains(err.Error(), dying.URL) {
		t.Errorf("a store that is gone: %v", err)
	}
	if took := time.Since(began); took < time.Second || took > 10*time.Second {
		t.Errorf("it was tried for %v", took)
	}
	if size := sizeOf(t, filepath.Join(dir, uploadOf(r))); size != 5000 {
		t.Errorf("%d bytes are kept, want 5000", size)
	}
}

func sizeOf(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	return info.Size()
}

// TestUploader_OutlivesStoresThatAreRestarted has every upload broken off
// after 300,000 bytes, by a store whose process ends and begins anew.
func TestUploader_OutlivesStoresThatAreRestarted(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 2<<20)
	_, dir := newStore(t)
	var handler atomic.Value
	begin := func() {
		s, err := artifact.NewStore(dir)
		must(t, err)
		handler.Store(artifact.NewHandler(s, artifact.Policy{Keys: r.keys}, slog.New(slog.DiscardHandler)))
	}
	begin()
	restarts := 0
	server := bad(t, func(w http.ResponseWriter, req *http.Request) {
		if req.ContentLength > 300_000 {
			req.Body = io.NopCloser(io.MultiReader(io.LimitReader(req.Body, 300_000), iotestBroken{}))
			handler.Load().(http.Handler).ServeHTTP(silent{w}, req)
			restarts++
			begin()
			panic(http.ErrAbortHandler)
		}
		handler.Load().(http.Handler).ServeHTTP(w, req)
	})
	counting := &countingReader{ReaderAt: bytes.NewReader(r.archive)}
	_, err := uploader(t).Upload(within(t), server.URL, r.manifest, counting)
	must(t, err)
	wantStored(t, r, dir)
	if restarts < 5 {
		t.Errorf("it was restarted %d times", restarts)
	}
}

// silent has a connection on which nothing is answered.
type silent struct{ conn http.ResponseWriter }

func (s silent) Unwrap() http.ResponseWriter { return s.conn }
func (silent) Header() http.Header           { return http.Header{} }
func (silent) Write(p []byte) (int, error)   { return len(p), nil }
func (silent) WriteHeader(int)               {}

// TestUploader_ManyAtOnceStoreOnce has several publishers of the same bytes.
func TestUploader_ManyAtOnceStoreOnce(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 4<<20)
	s, dir := newStore(t)
	var received atomic.Int64
	inner := artifact.NewHandler(s, artifact.Policy{Keys: r.keys}, slog.New(slog.DiscardHandler))
	server := bad(t, func(w http.ResponseWriter, req *http.Request) {
		req.Body = &bodyCounter{req.Body, &received}
		inner.ServeHTTP(w, req)
	})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := uploader(t).Upload(within(t), server.URL, r.manifest, bytes.NewReader(r.archive)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantStored(t, r, dir)
	if n := received.Load(); n != r.manifest.Size {
		t.Errorf("%d bytes were taken for %d", n, r.manifest.Size)
	}
}

type bodyCounter struct {
	io.ReadCloser

	n *atomic.Int64
}

func (b *bodyCounter) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// halfUpload sends a part of an archive and keeps the connection.
func halfUpload(t *testing.T, server *httptest.Server, r release, offset, end int) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(within(t), "tcp", server.Listener.Addr().String())
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	w := bufio.NewWriter(conn)
	_, err = fmt.Fprintf(w, "PUT /v1/artifacts/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s: %s\r\nContent-Range: bytes %d-%d/%d\r\n\r\n%s",
		r.digest(), len(r.archive)-offset, artifact.ManifestHeader, manifestHeader(t, r.manifest), offset, len(r.archive)-1, len(r.archive), r.archive[offset:end])
	must(t, err)
	must(t, w.Flush())
	return conn
}

// await waits for an upload's file to have a size.
func await(t *testing.T, path string, size int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // Disks can be busy.
	defer cancel()
	for {
		if info, err := os.Stat(path); err == nil && info.Size() == size {
			return
		}
		select { // Nothing tells of the files of a store.
		case <-ctx.Done():
			t.Fatalf("%s has not come to %d bytes", path, size)
		case <-time.After(time.Millisecond):
		}
	}
}

func ask(t *testing.T, url string, r release) answer {
	t.Helper()
	return do(t, http.MethodPut, url, manifestHeader(t, r.manifest), http.NoBody, "Content-Range", fmt.Sprintf("bytes */%d", r.manifest.Size))
}

func TestHandler_KeepsWhatBrokeOffAndLetsOneGoOn(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 3<<20)
	s, dir := newStore(t)
	server := serve(t, s, artifact.Policy{Keys: r.keys})
	url := server.URL + "/v1/artifacts/" + r.digest()
	path := filepath.Join(dir, uploadOf(r))

	conn := halfUpload(t, server, r, 0, 1<<20)
	await(t, path, 1<<20)
	if got := ask(t, url, r); got.status != http.StatusAccepted || got.header.Get("Retry-After") == "" || got.header.Get(artifact.OffsetHeader) != strconv.Itoa(1<<20) {
		t.Errorf("asked while it goes on: %d, %v", got.status, got.header)
	}
	second := do(t, http.MethodPut, url, manifestHeader(t, r.manifest), bytes.NewReader(r.archive))
	if second.status != http.StatusConflict || !strings.Contains(second.body, "another upload") {
		t.Errorf("a second one at once: %d: %s", second.status, second.body)
	}
	must(t, conn.Close())
	var got answer
	for got = ask(t, url, r); got.header.Get("Retry-After") != ""; got = ask(t, url, r) {
		time.Sleep(time.Millisecond) // Only asking tells.
	}
	if got.header.Get(artifact.OffsetHeader) != strconv.Itoa(1<<20) || s.Has(r.digest()) {
		t.Fatalf("asked after it broke off: %d, %v", got.status, got.header)
	}
	// Behind what is there nothing can go on.
	beyond := do(t, http.MethodPut, url, manifestHeader(t, r.manifest), bytes.NewReader(r.archive[2<<20:]),
		"Content-Range", fmt.Sprintf("bytes %d-%d/%d", 2<<20, len(r.archive)-1, len(r.archive)))
	if beyond.status != http.StatusConflict || beyond.header.Get(artifact.OffsetHeader) != strconv.Itoa(1<<20) {
		t.Errorf("beyond: %d, %v", beyond.status, beyond.header)
	}
	rest := do(t, http.MethodPut, url, manifestHeader(t, r.manifest), bytes.NewReader(r.archive[1<<20:]),
		"Content-Range", fmt.Sprintf("bytes %d-%d/%d", 1<<20, len(r.archive)-1, len(r.archive)))
	if rest.status != http.StatusCreated {
		t.Errorf("the rest: %d: %s", rest.status, rest.body)
	}
	wantStored(t, r, dir)
	if got := ask(t, url, r); got.status != http.StatusOK {
		t.Errorf("asked at the end: %d", got.status)
	}
}

func TestHandler_CutsOffWhoStallsAndKeepsWhatCame(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 3<<20)
	s, dir := newStore(t)
	server := serve(t, s, artifact.Policy{Keys: r.keys, Stall: 100 * time.Millisecond})
	conn := halfUpload(t, server, r, 0, 1<<20)
	must(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("it is answered %s", resp.Status)
	}
	if size := sizeOf(t, filepath.Join(dir, uploadOf(r))); size != 1<<20 {
		t.Errorf("%d bytes are kept", size)
	}
	_, err = uploader(t).Upload(within(t), server.URL, r.manifest, bytes.NewReader(r.archive))
	must(t, err)
	wantStored(t, r, dir)
}

func TestHandler_RefusesHostileRanges(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	s, dir := newStore(t)
	write(t, filepath.Join(dir, uploadOf(r)), string(r.archive[:1000]), 0o600)
	url := serve(t, s, artifact.Policy{Keys: r.keys}).URL + "/v1/artifacts/" + r.digest()
	size := r.manifest.Size
	for _, hostile := range []string{
		"", " ", "bytes", "bytes *", "bytes */*", "items */5", "bytes 0-0/*", "bytes -1-5/6", "bytes */-1",
		fmt.Sprintf("bytes 0-%d/%d", size, size+1), fmt.Sprintf("bytes 0-%d/%d", size-2, size), fmt.Sprintf("bytes %d-%d/%d", size, size-1, size),
		fmt.Sprintf("bytes 0-%d/%d, 5-6/7", size-1, size), fmt.Sprintf("bytes 18446744073709551616-%d/%d", size-1, size),
		fmt.Sprintf("bytes 9223372036854775807-%d/%d", size-1, size), fmt.Sprintf("bytes */%d\t", size+1), "bytes " + strings.Repeat("9", 5000) + "-1/2",
	} {
		got := do(t, http.MethodPut, url, manifestHeader(t, r.manifest), bytes.NewReader(r.archive), "Content-Range", hostile)
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, "Content-Range") || len(got.body) > 1000 {
			t.Errorf("%.60q: %d: %s", hostile, got.status, got.body)
		}
	}
	for text, body := range map[string]string{
		fmt.Sprintf("bytes */%d", size):            "something",
		fmt.Sprintf("bytes 1-%d/%d", size-1, size): string(r.archive),
	} {
		if got := do(t, http.MethodPut, url, manifestHeader(t, r.manifest), strings.NewReader(body), "Content-Range", text); got.status != http.StatusBadRequest {
			t.Errorf("%s with %d bytes: %d: %s", text, len(body), got.status, got.body)
		}
	}
	// What was there is there.
	if size := sizeOf(t, filepath.Join(dir, uploadOf(r))); size != 1000 || len(entries(t, dir)) != 1 {
		t.Errorf("the store holds %q, with %d bytes", entries(t, dir), size)
	}
}

func TestStore_ReceiveKeepsNothingOnAFullDisk(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	s, dir := newStore(t)
	must(t, os.Symlink("/dev/full", filepath.Join(dir, uploadOf(r)))) // Every write to it finds the disk full.
	err := s.Receive(within(t), r.manifest, 0, bytes.NewReader(r.archive))
	if !errors.Is(err, artifact.ErrNoRoom) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v, want ErrNoRoom", err)
	}
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("the store holds %q", got)
	}
	// One that can't fit is refused, and leaves what is there.
	huge := r.manifest
	huge.Size = 1 << 50
	write(t, filepath.Join(dir, uploadOf(r)), "half", 0o600)
	if err := s.Receive(within(t), huge, 4, endless{}); !errors.Is(err, artifact.ErrNoRoom) {
		t.Errorf("error is %v, want ErrNoRoom", err)
	}
	if size := sizeOf(t, filepath.Join(dir, uploadOf(r))); size != 4 {
		t.Errorf("%d bytes are left of 4", size)
	}
}

func TestStore_BoundsUnfinishedUploads(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1000)
	s, dir := newStore(t)
	const most = 32
	for i := range most {
		path := filepath.Join(dir, fmt.Sprintf("%064x.upload.part", i))
		write(t, path, "half", 0o600)
		at := time.Now().Add(time.Duration(i-most) * time.Minute)
		must(t, os.Chtimes(path, at, at))
	}
	if err := s.Receive(within(t), r.manifest, 0, io.MultiReader(bytes.NewReader(r.archive[:100]), iotestBroken{})); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	got := strings.Join(entries(t, dir), " ")
	if len(strings.Fields(got)) != most || strings.Contains(got, fmt.Sprintf("%064x", 0)) || !strings.Contains(got, uploadOf(r)) {
		t.Errorf("the store holds %s", got)
	}
	// It goes on although there are as many as may be.
	must(t, s.Receive(within(t), r.manifest, 100, bytes.NewReader(r.archive[100:])))
	if !s.Has(r.digest()) {
		t.Error("it did not arrive")
	}
	// Those that are under way are not dropped for another.
	readers := make([]*io.PipeWriter, 0, most)
	var group sync.WaitGroup
	for i := range most {
		m := r.manifest
		m.SHA256 = fmt.Sprintf("%064x", 1000+i)
		pr, pw := io.Pipe()
		readers = append(readers, pw)
		group.Go(func() {
			if err := s.Receive(t.Context(), m, 0, pr); !errors.Is(err, errBroken) {
				t.Error(err)
			}
		})
		_, err := pw.Write([]byte("x"))
		must(t, err)
	}
	one := r.manifest
	one.SHA256 = fmt.Sprintf("%064x", 5000)
	if err := s.Receive(within(t), one, 0, bytes.NewReader(nil)); !errors.Is(err, artifact.ErrBusy) {
		t.Errorf("one too many: %v, want ErrBusy", err)
	}
	for _, pw := range readers {
		must(t, pw.CloseWithError(errBroken))
	}
	group.Wait()
}

// publisherVar makes the test binary a publisher that uploads what its stdin
// says and prints the bytes sent at each step.
const publisherVar = "ARTIFACT_TEST_PUBLISHER"

type publisherInput struct {
	URL, Path string
	Manifest  artifact.Manifest
}

func actAsPublisher() {
	var in publisherInput
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	f, err := os.Open(in.Path)
	if err != nil {
		panic(err)
	}
	u := artifact.Uploader{Client: http.DefaultClient, Progress: func(done, _ int64) { fmt.Println(done) }}
	if _, err := u.Upload(ctx, in.URL, in.Manifest, f); err != nil {
		panic(err)
	}
	fmt.Println("done")
}

func TestUploader_KilledTheNextOneGoesOn(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 8<<20)
	archive := filepath.Join(t.TempDir(), "archive")
	must(t, os.WriteFile(archive, r.archive, 0o600))
	s, dir := newStore(t)
	var received atomic.Int64
	var hold atomic.Int64 // where a body stops to be read
	inner := artifact.NewHandler(s, artifact.Policy{Keys: r.keys}, slog.New(slog.DiscardHandler))
	server := bad(t, func(w http.ResponseWriter, req *http.Request) {
		req.Body = &holding{ReadCloser: req.Body, n: &received, until: hold.Load(), ctx: req.Context()}
		inner.ServeHTTP(w, req)
	})
	publish := func(kill bool) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		p := exec.CommandContext(ctx, os.Args[0])
		p.Env = append(os.Environ(), publisherVar+"=1")
		input, err := json.Marshal(publisherInput{URL: server.URL, Path: archive, Manifest: r.manifest})
		must(t, err)
		p.Stdin, p.Stderr = bytes.NewReader(input), os.Stderr
		must(t, p.Start())
		if kill {
			await(t, filepath.Join(dir, uploadOf(r)), hold.Load())
			must(t, p.Process.Kill())
			if p.Wait() == nil {
				t.Error("the publisher came through, want it killed")
			}
			return
		}
		must(t, p.Wait())
	}
	for n := range int64(3) {
		hold.Store((n + 1) << 20)
		publish(true)
	}
	hold.Store(1 << 40)
	publish(false)
	wantStored(t, r, dir)
	if n := received.Load(); n != r.manifest.Size {
		t.Errorf("%d bytes were taken for %d", n, r.manifest.Size)
	}
}

// holding reads a body until so many bytes were read of all of them, and then
// waits for its client to go away.
type holding struct {
	io.ReadCloser

	n     *atomic.Int64
	until int64
	ctx   context.Context
}

func (h *holding) Read(p []byte) (int, error) {
	left := h.until - h.n.Load()
	if left <= 0 {
		n, err := h.ReadCloser.Read(p)
		if n > 0 {
			// It is taken for lost on the way.
			return 0, h.gone()
		}
		return 0, err
	}
	n, err := h.ReadCloser.Read(p[:min(int64(len(p)), left)])
	h.n.Add(int64(n))
	return n, err
}

func (h *holding) gone() error {
	for {
		_, err := h.ReadCloser.Read(make([]byte, 64<<10))
		if errors.Is(err, io.EOF) {
			<-h.ctx.Done() // all was sent before the client could be killed
			return h.ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

var leadingZeros = regexp.MustCompile(`\b0+([0-9])`)

func FuzzContentRange(f *testing.F) {
	for _, seed := range []string{"bytes */10", "bytes 0-9/10", "bytes 3-9/10", "bytes 9-9/10", "bytes 0-10/10", "bytes 0-9/*", "", "bytes 999999999999999999-9/10", "Bytes */10"} {
		f.Add(seed, int64(10))
	}
	f.Fuzz(func(t *testing.T, text string, size int64) {
		size = max(size, 1)
		offset, asks, err := artifact.ContentRange(http.Header{"Content-Range": {text}}, size)
		if err != nil {
			return
		}
		want := fmt.Sprintf("bytes %d-%d/%d", offset, size-1, size)
		if asks {
			want = fmt.Sprintf("bytes */%d", size)
		}
		// Leading zeros are digits as well.
		if got := leadingZeros.ReplaceAllString(text, "$1"); got != want || offset < 0 || offset >= size {
			t.Fatalf("%q of %d bytes is read as %q", text, size, want)
		}
	})
}
