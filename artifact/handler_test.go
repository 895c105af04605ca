package artifact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
