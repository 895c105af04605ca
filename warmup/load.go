package warmup

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"switchd/spec"
)

// Bounds of the load on one node.
const (
	requestTimeout = 10 * time.Second
	minWorkers     = 8
	maxWorkers     = 256     // requests, and so connections, at the same time
	maxBody        = 1 << 20 // bytes read of an answer
)

// load is the stream of requests to one node. Cancelling its context breaks off
// what is under way and lets nothing more out.
type load struct {
	attacker  *vegeta.Attacker
	transport *http.Transport
	results   <-chan *vegeta.Result
}

// startLoad begins the ramp. The results must be received until they end, and
// then the load be stopped.
func startLoad(ctx context.Context, cfg spec.Warmup, vars spec.Vars, target Target) *load {
	if vars.Node == "" {
		vars.Node = target.Name
	}
	url := strings.TrimSuffix(target.URL, "/") + vars.Expand(cfg.Path)
	workers := min(max(cfg.Rate, minWorkers), maxWorkers)
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: requestTimeout}).DialContext,
		MaxConnsPerHost:        workers,
		MaxIdleConnsPerHost:    workers,
		MaxResponseHeaderBytes: 256 << 10,
	}
	attacker := vegeta.NewAttacker(
		vegeta.Client(&http.Client{
			Transport:     tether{ctx: ctx, next: transport},
			Timeout:       requestTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}),
		vegeta.Workers(minWorkers),
		vegeta.MaxWorkers(uint64(workers)),
		vegeta.MaxBody(0),
	)
	header := http.Header{"User-Agent": {"switchd-warmup"}}
	if target.Host != "" {
		header.Set("Host", target.Host)
	}
	targeter := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: url, Header: header})
	return &load{
		attacker:  attacker,
		transport: transport,
		results:   attacker.Attack(targeter, newPacer(cfg.Rate, cfg.Ramp.Std()), 0, ""),
	}
}

// stop ends the load and waits until all of it is gone. Its context must have
// ended.
func (l *load) stop() {
	l.attacker.Stop()
	for range l.results { // what was under way when it was broken off
	}
	l.transport.CloseIdleConnections()
}

// tether binds all requests to a context, since an attack knows none, and
// bounds what is read of an answer.
type tether struct {
	ctx  context.Context //nolint:containedctx // the life of the load
	next http.RoundTripper
}

// RoundTrip sends the request unless the load is over.
func (t tether) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, fmt.Errorf("load ended: %w", err)
	}
	// The request has a deadline of its own, which must hold too.
	ctx, cancel := context.WithCancel(req.Context())
	unbind := context.AfterFunc(t.ctx, cancel)
	release := func() { unbind(); cancel() }
	resp, err := t.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		release()
		return nil, err
	}
	resp.Body = &tetheredBody{Reader: io.LimitReader(resp.Body, maxBody), body: resp.Body, release: release}
	return resp, nil
}

type tetheredBody struct {
	io.Reader
	body    io.Closer
	release func()
}

// Close closes the body and lets its tether go.
func (b *tetheredBody) Close() error {
	defer b.release()
	return b.body.Close()
}
