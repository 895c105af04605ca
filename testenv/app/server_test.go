package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchd/testenv/proc"
)

// asApp makes the test binary the app itself.
const asApp = "APP_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asApp) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// get returns the status, header and body of an answer.
func get(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

func TestHandler_TellsItsVersion(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newHandler(Config{Version: "1.2.3", Node: "n1"}, time.Now()))
	defer server.Close()
	if code, header, body := get(t, server.URL); code != 200 || body != "version 1.2.3 on n1\n" || header.Get("X-App-Version") != "1.2.3" {
		t.Errorf("/: got %d %q, version %q", code, body, header.Get("X-App-Version"))
	}
	if code, _, body := get(t, server.URL+"/version"); code != 200 || body != `{"node":"n1","version":"1.2.3"}`+"\n" {
		t.Errorf("/version: got %d %q", code, body)
	}
	if code, _, body := get(t, server.URL+"/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: got %d %q", code, body)
	}
}

func TestHandler_CountsOnlyRealRequests(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(newHandler(Config{ErrorRate: 0.25, Unhealthy: true}, time.Now()))
	defer server.Close()
	for range 20 {
		get(t, server.URL)
		get(t, server.URL+"/version")
		if code, _, _ := get(t, server.URL+"/healthz"); code != http.StatusServiceUnavailable {
			t.Fatalf("/healthz: got %d, want 503", code)
		}
	}
	_, _, metrics := get(t, server.URL+"/metrics")
	for _, want := range []string{
		`http_requests_total{code="200",method="get"} 15`,
		`http_requests_total{code="500",method="get"} 5`,
		`http_request_duration_seconds_count 20`,
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}

// start runs the app as a process and returns it with its URL.
func start(t *testing.T, flags ...string) (*proc.Process, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	args := append([]string{self, "--addr", addr, "--version", "1.0.0"}, flags...)
	p, err := proc.ForTest(t).Start(t.Context(), "app", filepath.Join(t.TempDir(), "log"), args, []string{asApp + "=1"})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the app listens", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
		return err == nil && conn.Close() == nil
	})
	return p, "http://" + addr
}

// until waits for something to come true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // Its port was all that was wanted.
	return listener.Addr().String()
}

func TestApp_AnswersWhatIsInFlightOnSIGTERM(t *testing.T) {
	t.Parallel()
	p, url := start(t, "--latency", "500ms")
	type answer struct {
		code int
		body string
	}
	answers := make(chan answer)
	go func() {
		code, _, body := get(t, url)
		answers <- answer{code, body}
	}()
	until(t, "the request is in flight", func() bool {
		_, _, metrics := get(t, url+"/metrics")
		return strings.Contains(metrics, "http_requests_in_flight 1\n")
	})
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := <-answers; got.code != 200 || !strings.HasPrefix(got.body, "version 1.0.0 on ") {
		t.Errorf("got %d %q", got.code, got.body)
	}
	if err := wait(t, p); err != nil {
		t.Errorf("the app ended with %v, want exit code 0", err)
	}
}

func wait(t *testing.T, p *proc.Process) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return p.Wait(ctx)
}

func TestApp_IgnoresSIGTERMOnRequest(t *testing.T) {
	t.Parallel()
	p, url := start(t, "--ignore-sigterm")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := get(t, url); code != 200 {
		t.Errorf("after SIGTERM: got %d, want 200", code)
	}
	if err := p.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, p); err != nil {
		t.Errorf("after an interrupt the app ended with %v, want exit code 0", err)
	}
}

func TestApp_ExitsAfterATimeOnRequest(t *testing.T) {
	t.Parallel()
	p, _ := start(t, "--exit-after", "300ms")
	var exit *exec.ExitError
	if err := wait(t, p); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit status 1", err)
	}
	if tail, err := p.LogTail(); err != nil || !strings.Contains(tail, "--exit-after") {
		t.Errorf("the log says %q (%v)", tail, err)
	}
}
