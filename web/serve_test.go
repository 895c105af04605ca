package web_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchd/web"
)

// wire is a listener within the process, whose connections keep to the clock
// of a synctest bubble.
type wire struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newWire() *wire { return &wire{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.closed:
		return nil, net.ErrClosed
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

func (w *wire) Addr() net.Addr { return &net.UnixAddr{Name: "wire", Net: "unix"} }

func (w *wire) dial() *caller {
	client, server := net.Pipe()
	w.conns <- server
	// What is buffered has been taken, so that little may be.
	return &caller{Conn: client, in: bufio.NewReaderSize(client, 16)}
}

// caller is a client that takes an answer as slowly as it likes.
type caller struct {
	net.Conn

	in *bufio.Reader
}

// ask sends a request and takes the head of its answer.
func (c *caller) ask(request string) (status string, header textproto.MIMEHeader, err error) {
	go func() { _, _ = io.WriteString(c, request) }() // the answer tells
	return c.head()
}

func (c *caller) head() (status string, header textproto.MIMEHeader, err error) {
	r := textproto.NewReader(c.in)
	if status, err = r.ReadLine(); err != nil {
		return "", nil, err
	}
	header, err = r.ReadMIMEHeader()
	return status, header, err
}

// serve serves a handler on a wire until the test ends.
func serve(t *testing.T, h http.Handler) *wire {
	t.Helper()
	w, ended := newWire(), make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() { ended <- web.Serve(ctx, w, h, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return w
}

// artifacts is a replica whose artifacts are served by h.
func artifacts(h http.HandlerFunc) http.Handler {
	cfg := config(newReader())
	cfg.Artifacts = h
	return web.New(cfg)
}

const getArtifact = "GET /v1/artifacts/1 HTTP/1.1\r\nHost: switchd\r\n\r\n"

func TestServe_EndsWithItsContextAndFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ended := newWire(), make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		h := artifacts(func(w http.ResponseWriter, _ *http.Request) {
			stop()
			time.Sleep(3 * time.Second)
			_, _ = io.WriteString(w, "whole")
		})
		go func() { ended <- web.Serve(ctx, w, h, slog.New(slog.DiscardHandler)) }()
		conn := w.dial()
		if _, _, err := conn.ask(getArtifact); err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(conn.in); err != nil || string(body) != "whole" {
			t.Errorf("got %q, %v", body, err)
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
}

func TestServe_CutsOffWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, ended := newWire(), make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		h := artifacts(func(_ http.ResponseWriter, r *http.Request) {
			stop()
			<-r.Context().Done()
		})
		var log bytes.Buffer
		go func() { ended <- web.Serve(ctx, w, h, slog.New(slog.NewTextHandler(&log, nil))) }()
		began := time.Now()
		if _, _, err := w.dial().ask(getArtifact); err == nil {
			t.Error("got an answer, want the connection to be cut")
		}
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
		if took := time.Since(began); took != web.GraceTime {
			t.Errorf("it took %v, want %v", took, web.GraceTime)
		}
		if !strings.Contains(log.String(), "requests cut off") {
			t.Errorf("nothing tells of it: %s", log.String())
		}
	})
}

func TestServe_TellsThatItsListenerIsGone(t *testing.T) {
	t.Parallel()
	w := newWire()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	err := web.Serve(t.Context(), w, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if err == nil || err.Error() != "serve HTTP on wire: use of closed network connection" {
		t.Errorf("got %v", err)
	}
}

func TestServe_EndsConnectionsThatSayNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn := serve(t, artifacts(nil)).dial()
		began := time.Now()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nX-Slow: "); err != nil {
			t.Fatal(err)
		}
		_, err := io.ReadAll(conn)
		if took := time.Since(began); err != nil || took > 6*time.Second {
			t.Errorf("ended after %v with %v, want the end within 6 s", took, err)
		}
	})
}

func TestPages_EndForAClientThatTakesNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn := serve(t, web.New(config(newReader()))).dial()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: switchd\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		if text, err := io.ReadAll(conn); err != nil || strings.Contains(string(text), "</html>") {
			t.Errorf("got all of the page after 20 s, or %v", err)
		}
	})
}

const endlessSize = 64 << 20

// endless sends much, in parts, and tells how that ended.
func endless(w http.ResponseWriter, failed chan<- error) {
	w.Header().Set("Content-Length", strconv.Itoa(endlessSize))
	part := make([]byte, 64<<10)
	for range endlessSize / len(part) {
		if _, err := w.Write(part); err != nil {
			failed <- err
			return
		}
	}
	failed <- nil
}

func TestArtifacts_MayTakeLongAsLongAsTheyMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		conn := serve(t, artifacts(func(w http.ResponseWriter, _ *http.Request) { endless(w, failed) })).dial()
		if _, _, err := conn.ask(getArtifact); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		for range endlessSize >> 20 {
			if _, err := io.CopyN(io.Discard, conn.in, 1<<20); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
		}
		if err := <-failed; err != nil || time.Since(began) < 20*time.Minute {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
	})
}

func TestArtifacts_EndWhenTheirClientTakesNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		conn := serve(t, artifacts(func(w http.ResponseWriter, _ *http.Request) { endless(w, failed) })).dial()
		began := time.Now()
		if _, _, err := conn.ask(getArtifact); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != 30*time.Second {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
	})
}

func TestArtifacts_KeepTheirHandlersOwnDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		conn := serve(t, artifacts(func(w http.ResponseWriter, _ *http.Request) {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Errorf("set the deadline: %v", err)
			}
			endless(w, failed)
		})).dial()
		began := time.Now()
		_, _, err := conn.ask(getArtifact)
		if err != nil {
			t.Fatal(err)
		}
		for err == nil {
			time.Sleep(20 * time.Second)
			_, err = io.CopyN(io.Discard, conn.in, 1<<20)
		}
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) > 80*time.Second {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
	})
}

func TestArtifacts_AreAcknowledgedAfterALongUpload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn := serve(t, artifacts(func(w http.ResponseWriter, r *http.Request) {
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != 10 {
				t.Errorf("got %d bytes, %v", n, err)
			}
			w.WriteHeader(http.StatusCreated)
		})).dial()
		// A page asked for before must not leave its deadline behind.
		_, header, err := conn.ask("GET /healthz HTTP/1.1\r\nHost: switchd\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		size, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, conn.in, size); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = io.WriteString(conn, "PUT /v1/artifacts/1 HTTP/1.1\r\nHost: switchd\r\nContent-Length: 10\r\n\r\n")
			for range 10 {
				time.Sleep(10 * time.Second)
				_, _ = io.WriteString(conn, "x")
			}
		}()
		if status, _, err := conn.head(); err != nil || status != "HTTP/1.1 201 Created" {
			t.Errorf("got %q, %v", status, err)
		}
	})
}

func TestArtifacts_AreSentWholeAndInRanges(t *testing.T) {
	t.Parallel()
	content := make([]byte, 5<<20+12345)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	file := filepath.Join(t.TempDir(), "artifact")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	h := artifacts(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "immutable")
		http.ServeFile(w, r, file)
	})
	go func() { ended <- web.Serve(ctx, listener, h, slog.New(slog.DiscardHandler)) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, part := range []struct{ from, to int }{{0, len(content)}, {3, 3<<20 + 5}, {len(content) - 1, len(content)}} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/v1/artifacts/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", part.from, part.to-1))
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusPartialContent || !bytes.Equal(body, content[part.from:part.to]) {
			t.Errorf("%v: got %d with %d bytes, want 206 with %d", part, answer.StatusCode, len(body), part.to-part.from)
		}
		if got := answer.Header.Get("Cache-Control"); got != "immutable" {
			t.Errorf("Cache-Control is %q, want the handler's own", got)
		}
	}
}
