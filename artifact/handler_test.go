package artifact_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchd/artifact"
)

// client returns an HTTP client of the test's own.
func client(t testing.TB) *http.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone() // It is one.
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func serve(t testing.TB, s *artifact.Store, policy artifact.Policy) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(artifact.NewHandler(s, policy, slog.New(slog.DiscardHandler)))
	t.Cleanup(server.Close)
	return server
}

func manifestHeader(t testing.TB, m artifact.Manifest) string {
	t.Helper()
	text, err := json.Marshal(m)
	must(t, err)
	return base64.StdEncoding.EncodeToString(text)
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	length int64
	body   string
}

func do(t *testing.T, method, url, header string, body io.Reader, more ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t), method, url, body)
	must(t, err)
	if header != "" {
		req.Header.Set(artifact.ManifestHeader, header)
	}
	for i := 0; i < len(more); i += 2 {
		req.Header.Set(more[i], more[i+1])
	}
	resp, err := client(t).Do(req)
	must(t, err)
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	return answer{resp.StatusCode, resp.Header, resp.ContentLength, string(text)}
}

func TestHandler_ServesArchivesAndRanges(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	s, _ := newStore(t)
	must(t, s.Put(within(t), r.manifest, bytes.NewReader(r.archive)))
	url := serve(t, s, artifact.Policy{}).URL + "/v1/artifacts/"

	got := do(t, http.MethodGet, url+r.digest(), "", nil)
	if got.status != http.StatusOK || got.body != string(r.archive) || got.header.Get("Etag") != `"`+r.digest()+`"` {
		t.Errorf("GET: %d, %d bytes, %v", got.status, len(got.body), got.header)
	}
	got = do(t, http.MethodHead, url+r.digest(), "", nil)
	if got.status != http.StatusOK || got.body != "" || got.length != r.manifest.Size {
		t.Errorf("HEAD: %d, length %d", got.status, got.length)
	}
	got = do(t, http.MethodGet, url+r.digest(), "", nil, "Range", "bytes=1000-")
	if got.status != http.StatusPartialContent || got.body != string(r.archive[1000:]) {
		t.Errorf("GET of a range: %d, %d bytes", got.status, len(got.body))
	}
	for _, digest := range []string{strings.Repeat("0", 64), "x", "..%2f..%2fsecret", r.digest() + "x"} {
		if got := do(t, http.MethodGet, url+digest, "", nil); got.status != http.StatusNotFound {
			t.Errorf("GET of %s: %d", digest, got.status)
		}
	}
	if got := do(t, http.MethodDelete, url+r.digest(), "", nil); got.status != http.StatusMethodNotAllowed {
		t.Errorf("DELETE: %d", got.status)
	}
}

func TestHandler_TakesOnlyWhatATrustedKeySigned(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 100_000)
	stranger, _ := newKey(t)
	unsigned, foreign, huge, other := r.manifest, r.manifest, r.manifest, r.manifest
	unsigned.Signature = ""
	must(t, artifact.Sign(&foreign, stranger))
	signer, signers := newKey(t)
	keys := append(signers, r.keys...)
	huge.Size = 1 << 40
	must(t, artifact.Sign(&huge, signer))
	enormous := huge
	enormous.Size = 1 << 50
	must(t, artifact.Sign(&enormous, signer))
	other.SHA256 = strings.Repeat("0", 64)
	must(t, artifact.Sign(&other, signer))
	flipped := bytes.Clone(r.archive)
	flipped[1000] ^= 1

	for name, test := range map[string]struct {
		header string
		body   []byte
		chunks bool
		policy artifact.Policy
		status int
		want   string
	}{
		"trusted":          {header: manifestHeader(t, r.manifest), body: r.archive, status: http.StatusCreated},
		"in chunks":        {header: manifestHeader(t, r.manifest), body: r.archive, chunks: true, status: http.StatusCreated},
		"no manifest":      {body: r.archive, status: http.StatusBadRequest, want: artifact.ManifestHeader},
		"no base64":        {header: "{}", body: r.archive, status: http.StatusBadRequest, want: "base64"},
		"no JSON":          {header: "AAAA", body: r.archive, status: http.StatusBadRequest, want: "parse manifest"},
		"a long header":    {header: strings.Repeat("A", 30<<10), body: r.archive, status: http.StatusRequestHeaderFieldsTooLarge, want: "longer"},
		"unsigned":         {header: manifestHeader(t, unsigned), body: r.archive, status: http.StatusForbidden, want: "not signed"},
		"a strange key":    {header: manifestHeader(t, foreign), body: r.archive, status: http.StatusForbidden, want: "trusted are"},
		"unsigned allowed": {header: manifestHeader(t, unsigned), body: r.archive, policy: artifact.Policy{AllowUnsigned: true}, status: http.StatusCreated},
		"another digest":   {header: manifestHeader(t, other), body: r.archive, status: http.StatusBadRequest, want: "the path says"},
		"too large":        {header: manifestHeader(t, huge), body: r.archive, status: http.StatusRequestEntityTooLarge, want: "this store takes"},
		"too large for it": {header: manifestHeader(t, r.manifest), body: r.archive, policy: artifact.Policy{MaxSize: 1000}, status: http.StatusRequestEntityTooLarge, want: "takes 1000"},
		"another length":   {header: manifestHeader(t, r.manifest), body: r.archive[1:], status: http.StatusBadRequest, want: "the body has"},
		"too short":        {header: manifestHeader(t, r.manifest), body: r.archive[1:], chunks: true, status: http.StatusUnprocessableEntity, want: "ends after"},
		"too long":         {header: manifestHeader(t, r.manifest), body: append(bytes.Clone(r.archive), 0), chunks: true, status: http.StatusUnprocessableEntity, want: "longer"},
		"a wrong bit":      {header: manifestHeader(t, r.manifest), body: flipped, status: http.StatusUnprocessableEntity, want: "SHA-256"},
		"a full disk": {
			header: manifestHeader(t, enormous), body: r.archive, chunks: true,
			policy: artifact.Policy{MaxSize: 1 << 50}, status: http.StatusInsufficientStorage, want: "are needed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, dir := newStore(t)
			test.policy.Keys = keys
			var body io.Reader = bytes.NewReader(test.body)
			if test.chunks {
				body = struct{ io.Reader }{body}
			}
			url := serve(t, s, test.policy).URL + "/v1/artifacts/" + r.digest()
			got := do(t, http.MethodPut, url, test.header, body)
			if got.status != test.status || !strings.Contains(got.body, test.want) {
				t.Errorf("PUT: %d: %s, want %d with %q", got.status, got.body, test.status, test.want)
			}
			created := test.status == http.StatusCreated
			if got := entries(t, dir); s.Has(r.digest()) != created || !created && len(got) != 0 {
				t.Errorf("store holds %q", got)
			}
		})
	}
}

func TestHandler_InterruptedUploadLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 3<<20)
	s, dir := newStore(t)
	returned := make(chan struct{})
	inner := artifact.NewHandler(s, artifact.Policy{Keys: r.keys}, slog.New(slog.DiscardHandler))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		inner.ServeHTTP(w, req)
		close(returned)
	}))
	t.Cleanup(server.Close)
	conn, err := new(net.Dialer).DialContext(within(t), "tcp", server.Listener.Addr().String())
	must(t, err)
	w := bufio.NewWriter(conn)
	_, err = fmt.Fprintf(w, "PUT /v1/artifacts/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s: %s\r\n\r\n%s",
		r.digest(), r.manifest.Size, artifact.ManifestHeader, manifestHeader(t, r.manifest), r.archive[:1<<20])
	must(t, err)
	must(t, w.Flush())
	must(t, conn.Close())
	select {
	case <-returned:
	case <-time.After(20 * time.Second):
		t.Fatal("the upload is still waited for")
	}
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("store holds %q", got)
	}
}

func TestUpload_PutsWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	s, _ := newStore(t)
	server := serve(t, s, artifact.Policy{Keys: r.keys})
	path := filepath.Join(t.TempDir(), "archive")
	must(t, os.WriteFile(path, r.archive, 0o600))
	must(t, artifact.Upload(within(t), client(t), server.URL, r.manifest, path))
	if !s.Has(r.digest()) {
		t.Fatal("the archive did not arrive")
	}
	// Once it is there the file is not even opened.
	must(t, os.Remove(path))
	must(t, artifact.Upload(within(t), client(t), server.URL+"/", r.manifest, path))
}

func TestUpload_SaysWhyItFailed(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 1<<20)
	s, dir := newStore(t)
	path := filepath.Join(t.TempDir(), "archive")
	must(t, os.WriteFile(path, r.archive, 0o600))
	_, strangers := newKey(t)
	server := serve(t, s, artifact.Policy{Keys: strangers})
	short := filepath.Join(t.TempDir(), "short")
	must(t, os.WriteFile(short, r.archive[1:], 0o600))
	for name, test := range map[string]struct{ url, path, want string }{
		"refused":     {server.URL, path, "403 Forbidden: verify web 1.4.2"},
		"other file":  {server.URL, short, "not what the manifest describes"},
		"no file":     {server.URL, path + "x", "no such file"},
		"no server":   {"http://127.0.0.1:1", path, "connection refused"},
		"no address":  {"ftp://example.net", path, "no http or https URL"},
		"other place": {server.URL + "/other", path, "404"},
	} {
		err := artifact.Upload(within(t), client(t), test.url, r.manifest, test.path)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), test.url) {
			t.Errorf("%s: error is %v, want one with %q and the address", name, err, test.want)
		}
	}
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("store holds %q", got)
	}
}
