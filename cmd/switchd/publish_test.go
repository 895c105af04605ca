package main

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/artifact"
	"switchd/consul"
	"switchd/ledger"
	"switchd/spec"
	"switchd/testenv/devconsul"
)

// stage is where a publisher is killed: by the request that it has come to.
type stage func(r *http.Request) bool

func asks(r *http.Request) bool  { return r.ContentLength == 0 }
func sends(r *http.Request) bool { return r.ContentLength > 0 }

// store is the artifact store of a replica that stops at a stage, with a part
// of the request read or with all of it done, until its client is gone.
type store struct {
	handler http.Handler

	mu      sync.Mutex
	at      stage
	after   bool // when it is done but not answered
	reached chan struct{}
}

// stop makes the next request of a stage hang; the channel is closed then.
func (s *store) stop(at stage, after bool) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.after, s.reached = at, after, make(chan struct{})
	return s.reached
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	at, after, reached := s.at, s.after, s.reached
	hangs := at != nil && at(r)
	if hangs {
		s.at = nil
	}
	s.mu.Unlock()
	switch {
	case !hangs:
		s.handler.ServeHTTP(w, r)
	case after:
		s.handler.ServeHTTP(unanswered{w}, r)
		close(reached)
		<-r.Context().Done()
	case r.ContentLength > 0:
		r.Body = &stopping{ReadCloser: r.Body, left: r.ContentLength / 2, reached: reached}
		s.handler.ServeHTTP(w, r)
	default:
		close(reached)
		<-r.Context().Done()
	}
}

// unanswered is a connection on which no answer is sent.
type unanswered struct{ conn http.ResponseWriter }

func (u unanswered) Unwrap() http.ResponseWriter { return u.conn }
func (u unanswered) Header() http.Header         { return http.Header{} }
func (u unanswered) Write(p []byte) (int, error) { return len(p), nil }
func (u unanswered) WriteHeader(int)             {}

// stopping is a body that is read to a point, and then until its client is
// gone.
type stopping struct {
	io.ReadCloser

	left    int64
	reached chan struct{}
}

func (s *stopping) Read(p []byte) (int, error) {
	if s.left == 0 {
		close(s.reached)
		_, err := io.Copy(io.Discard, s.ReadCloser)
		return 0, errors.Join(err, io.ErrUnexpectedEOF)
	}
	n, err := s.ReadCloser.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

// TestPublish_KilledAnywhereTheNextOneComesThrough kills publishers at each
// stage, with SIGKILL. What they have sent is not sent again, they leave
// nothing behind, and nothing is published that is not stored.
func TestPublish_KilledAnywhereTheNextOneComesThrough(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, nil)
	l := &ledger.Ledger{Consul: server.Client(), Keys: consul.Keys{Env: "prod"}}
	if err := l.Apply(t.Context(), "test", &spec.Desired{
		Environment: spec.Environment{Name: "prod"}, Services: []spec.Service{{Name: "web"}},
	}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	data, temp, key := filepath.Join(dir, "store"), filepath.Join(dir, "tmp"), filepath.Join(dir, "release.key")
	artifacts, err := artifact.NewStore(data)
	if err != nil {
		t.Fatal(err)
	}
	public, err := artifact.GenerateKey(key+".pub", key, "")
	if err != nil {
		t.Fatal(err)
	}
	stops := &store{handler: artifact.NewHandler(artifacts, artifact.Policy{Keys: artifact.TrustedKeys{public}}, slog.New(slog.DiscardHandler))}
	replicas := httptest.NewServer(stops)
	t.Cleanup(replicas.Close)
	registerReplica(t, server.Client().API(), replicas.Listener.Addr().String())
	app := filepath.Join(dir, "app")
	if err := errors.Join(os.Mkdir(temp, 0o700), os.Mkdir(app, 0o700), os.WriteFile(filepath.Join(app, "data"), pseudo(4<<20), 0o600)); err != nil {
		t.Fatal(err)
	}
	publish := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), "switchd", "publish", "web", "1.0.0", app, "--key", key)
		cmd.Env = append(os.Environ(), "CONSUL_HTTP_ADDR="+server.Addr(), "SWITCHD_ENV=prod", "TMPDIR="+temp, "GORACE=atexit_sleep_ms=10")
		return cmd
	}
	for _, test := range []struct {
		name  string
		at    stage
		after bool
		want  string // the only file of the store
	}{
		{"before it has sent anything", asks, false, ""},
		{"half sent", sends, false, ".upload.part"},
		{"half sent again", sends, false, ".upload.part"},
		{"stored, and not answered", sends, true, "whole"},
		{"found to be stored", asks, true, "whole"},
	} {
		reached := stops.stop(test.at, test.after)
		cmd := publish()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-reached:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: the publisher does not come there", test.name)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if cmd.Wait() == nil {
			t.Errorf("%s: the publisher came through, want it killed", test.name)
		}
		if _, err := l.Release(t.Context(), "web", "1.0.0"); !errors.Is(err, ledger.ErrUnknownRelease) {
			t.Errorf("%s: it is published: %v", test.name, err)
		}
		if got := only(t, data); test.want == "whole" && len(got) != 64 || test.want != "whole" && !strings.HasSuffix(got, test.want) {
			t.Errorf("%s: the store holds %q", test.name, got)
		}
		if got := only(t, temp); got != "" {
			t.Errorf("%s: the publisher left %q", test.name, got)
		}
	}
	out, err := publish().CombinedOutput()
	if err != nil || !strings.Contains(string(out), "was already on r1") {
		t.Errorf("at last: %v: %s", err, out)
	}
	if _, err := l.Release(t.Context(), "web", "1.0.0"); err != nil {
		t.Error(err)
	}
}

// registerReplica registers a replica that is a test server.
func registerReplica(t *testing.T, client *api.Client, addr string) {
	t.Helper()
	_, port, _ := strings.Cut(addr, ":")
	number := 0
	for _, digit := range port {
		number = number*10 + int(digit-'0')
	}
	if _, err := client.Catalog().Register(&api.CatalogRegistration{
		Node: "n1", Address: "127.0.0.1",
		Service: &api.AgentService{ID: "switchd-prod-r1", Service: "switchd", Address: "127.0.0.1", Port: number, Meta: map[string]string{"env": "prod", "replica": "r1"}},
	}, nil); err != nil {
		t.Fatal(err)
	}
}

// only is the name of the only file in a directory, "" if there is none.
func only(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// pseudo returns bytes that no compression makes smaller.
func pseudo(size int) []byte {
	b := make([]byte, size)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}
