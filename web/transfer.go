package web

import (
	"errors"
	"io"
	"net/http"
	"time"
)

const (
	// stall is how long a client may take none of what it is sent.
	stall = 30 * time.Second
	// chunk is how much is sent under one deadline, in bytes.
	chunk = 1 << 20
)

// transfer lets a handler send for as long as its client takes it: instead of
// one deadline for the whole, each write has its own. A deadline that the
// handler sets holds too.
func transfer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &transferWriter{ResponseWriter: w, conn: http.NewResponseController(w)}
		// An earlier request on this connection may have left its deadline,
		// and what the handler leaves buffered needs one. A failure means
		// that the connection is gone.
		_ = t.extend()
		next.ServeHTTP(t, r)
		_ = t.extend()
	})
}

// transferWriter moves the write deadline on with every write.
type transferWriter struct {
	http.ResponseWriter

	conn *http.ResponseController
	last time.Time // the handler's own deadline; zero: none
}

// SetWriteDeadline is what http.ResponseController calls.
func (t *transferWriter) SetWriteDeadline(deadline time.Time) error {
	t.last = deadline
	return t.extend()
}

// Unwrap gives http.ResponseController all that isn't here.
func (t *transferWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

func (t *transferWriter) extend() error {
	deadline := time.Now().Add(stall)
	if !t.last.IsZero() && t.last.Before(deadline) {
		deadline = t.last
	}
	return t.conn.SetWriteDeadline(deadline)
}

// Write implements io.Writer.
func (t *transferWriter) Write(p []byte) (int, error) {
	written := 0
	for {
		part := p[written:min(written+chunk, len(p))]
		if err := t.extend(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return written, err
		}
		n, err := t.ResponseWriter.Write(part)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

// ReadFrom implements io.ReaderFrom, so that a file is still sent by the
// kernel. It takes a limited reader apart, as net/http would not look through
// two of them.
func (t *transferWriter) ReadFrom(src io.Reader) (int64, error) {
	limit := &io.LimitedReader{R: src, N: 1<<63 - 1}
	if l, ok := src.(*io.LimitedReader); ok {
		limit = l
	}
	var sent int64
	for {
		if err := t.extend(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return sent, err
		}
		part := &io.LimitedReader{R: limit.R, N: min(limit.N, chunk)}
		size := part.N
		n, err := io.Copy(t.ResponseWriter, part)
		sent += n
		limit.N -= size - part.N
		if err != nil || n < size || limit.N == 0 {
			return sent, err
		}
	}
}
