// Package intercept stands between a program and its Consul agent. It sees
// each request and each answer, keeps what was said for a checker, and can cut
// a program off, or have it killed, right before or right after an effect: the
// program itself has no fault points.
package intercept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of what is passed on.
const (
	maxBody = 16 << 20
	// writeTimeout is how long a write that was passed on is waited for, also
	// when the program that sent it has died.
	writeTimeout = 30 * time.Second
)

// Proxy passes requests on to one Consul agent.
type Proxy struct {
	// To is the HTTP address of the agent.
	To string
	// Dial connects to it; nil: from this process' own network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Before is asked about each request; false: it is not passed on, and its
	// connection ends. Nil: all are passed on.
	Before func(*Call) bool
	// After is asked about each request that is over; false: its answer is not
	// passed on, and its connection ends. Nil: all are passed on.
	After func(*Call) bool
}

// Running is a proxy that listens.
type Running struct {
	proxy     *Proxy
	server    *http.Server
	transport *http.Transport
	work      sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// Serve has the proxy take requests on a listener until Close.
func (p *Proxy) Serve(listener net.Listener) *Running {
	r := &Running{proxy: p, transport: &http.Transport{DialContext: p.Dial, MaxIdleConnsPerHost: 32, IdleConnTimeout: time.Minute}}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: writeTimeout}
	r.work.Go(func() { _ = r.server.Serve(listener) }) // it ends with Close
	return r
}

// Close ends the proxy and all connections through it. When it returns, every
// call is over.
func (r *Running) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	err := r.server.Close()
	r.work.Wait()
	r.transport.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("end the proxy: %w", err)
	}
	return nil
}

// begin tells whether a call may begin. It ends with a call of done.
func (r *Running) begin() (done func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, false
	}
	r.work.Add(1)
	return r.work.Done, true
}

// ServeHTTP passes one request on, and its answer back.
func (r *Running) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	done, ok := r.begin()
	if !ok {
		panic(http.ErrAbortHandler)
	}
	defer done()
	body, err := io.ReadAll(io.LimitReader(request.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the program has gone
	}
	p := r.proxy
	call := &Call{Method: request.Method, Path: request.URL.Path, Query: request.URL.Query(), Body: body, Sent: time.Now()}
	if p.Before != nil && !p.Before(call) {
		panic(http.ErrAbortHandler)
	}
	ctx := request.Context()
	if call.Writes() {
		// What is on its way arrives, also when the program has died.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
		defer cancel()
	}
	header := p.ask(ctx, call, request, r.transport)
	if p.After != nil && !p.After(call) || call.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), header)
	w.WriteHeader(call.Status)
	_, _ = w.Write(call.Answer) // the program may have gone
}

// ask asks Consul and notes what came of it in the call.
func (p *Proxy) ask(ctx context.Context, call *Call, request *http.Request, transport http.RoundTripper) http.Header {
	defer func() { call.Returned = time.Now() }()
	out := request.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.To, ""
	out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(call.Body)), int64(len(call.Body))
	out.Header.Del("Accept-Encoding") // the transport's own would hide the answer's length
	response, err := transport.RoundTrip(out)
	if err != nil {
		failed, ok := errors.AsType[*net.OpError](err)
		call.Unsent = ok && failed.Op == "dial"
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return nil
	}
	call.Status, call.Answer = response.StatusCode, answer
	response.Header.Del("Content-Length")
	response.Header.Del("Content-Encoding")
	return response.Header
}
