// Package load is the clients of a service, as strict as they can be: each one
// resolves the service's name through the given DNS servers, honours the TTL,
// and counts every request that any step of it failed.
package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Config says what is asked, and how often.
type Config struct {
	Name    string   // the service's host name
	Port    int      // of the service
	Path    string   // empty means /
	Servers []string // DNS servers as host:port, asked in this order
	Workers int      // clients, each with a DNS cache of its own
	Rate    float64  // requests a second of all workers together
	// Timeout bounds one request from its connect to its last byte; 0 means
	// 5 s.
	Timeout time.Duration
	// Dial connects to name servers ("udp" and "tcp") and nodes ("tcp"); nil:
	// from this process' own network.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// VersionHeader is the response header that successes are counted by.
const VersionHeader = "X-App-Version"

const (
	defaultTimeout = 5 * time.Second
	maxBody        = 1 << 20
)

// Generator sends requests and counts what became of them.
type Generator struct {
	cfg    Config
	client *http.Client
	tally  tally
}

// New returns a generator that begins with a chapter named "start".
func New(cfg Config) (*Generator, error) {
	switch {
	case cfg.Name == "" || cfg.Port < 1 || cfg.Port > 65535:
		return nil, fmt.Errorf("load: no name or port to ask: %q, port %d", cfg.Name, cfg.Port)
	case len(cfg.Servers) == 0:
		return nil, errors.New("load: no DNS server given")
	case cfg.Workers < 1:
		return nil, fmt.Errorf("load: workers cannot be %d: at least one is needed", cfg.Workers)
	case !(cfg.Rate > 0 && cfg.Rate <= 1e6):
		return nil, fmt.Errorf("load: rate cannot be %v: it is a number of requests a second up to a million", cfg.Rate)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Path == "" {
		cfg.Path = "/"
	}
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	g := &Generator{
		cfg: cfg,
		client: &http.Client{
			// A connection of its own for each request: none is saved by one
			// that was opened before the pool behind the name changed.
			Transport: &http.Transport{DialContext: cfg.Dial, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}
	g.tally.mark("start", time.Now())
	return g, nil
}

// Mark begins a new chapter. A request counts for the chapter in which it was
// sent.
func (g *Generator) Mark(name string) { g.tally.mark(name, time.Now()) }

// Snapshot returns what was counted so far, by chapter.
func (g *Generator) Snapshot() []Chapter { return g.tally.snapshot() }

// Run sends requests until ctx ends and returns when all of them are counted.
func (g *Generator) Run(ctx context.Context) {
	start := time.Now()
	interval := time.Duration(float64(g.cfg.Workers) / g.cfg.Rate * float64(time.Second))
	var workers sync.WaitGroup
	for n := range g.cfg.Workers {
		first := start.Add(interval * time.Duration(n) / time.Duration(g.cfg.Workers))
		workers.Go(func() { g.work(ctx, first, interval) })
	}
	workers.Wait()
}

// work sends a request at first and one every interval after it. One that is
// held up by the one before is sent late, but it is sent, and its latency
// counts from when it was due: a slow service doesn't slow its clients' wishes.
func (g *Generator) work(ctx context.Context, first time.Time, interval time.Duration) {
	resolver := newResolver(g.cfg)
	timer := time.NewTimer(time.Until(first))
	defer timer.Stop()
	for due := first; ; due = due.Add(interval) {
		timer.Reset(time.Until(due))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		if ctx.Err() != nil {
			if over := time.Since(due); over > 0 {
				g.tally.unsent(int(over/interval) + 1)
			}
			return
		}
		chapter := g.tally.begin()
		// What was sent is waited for, even if the run ends.
		result := g.request(context.WithoutCancel(ctx), resolver)
		g.tally.count(chapter, due, time.Now(), result)
	}
}

// result is what became of a request: a version or a failure.
type result struct {
	version string
	failure Kind // empty for a success
	address string
	err     error
}

func (g *Generator) request(ctx context.Context, resolver *resolver) result {
	addrs, err := resolver.resolve(ctx, dns.Fqdn(g.cfg.Name))
	if err != nil {
		return result{failure: DNS, err: err}
	}
	address := pick(addrs, g.cfg.Port)
	version, kind, err := g.get(ctx, address)
	return result{version: version, failure: kind, address: address, err: err}
}

func pick(addrs []netip.Addr, port int) string {
	return net.JoinHostPort(addrs[rand.IntN(len(addrs))].String(), strconv.Itoa(port))
}

func (g *Generator) get(ctx context.Context, address string) (version string, failure Kind, err error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+g.cfg.Path, http.NoBody)
	if err != nil {
		return "", Connect, err
	}
	req.Host = net.JoinHostPort(g.cfg.Name, strconv.Itoa(g.cfg.Port))
	resp, err := g.client.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return "", Connect, err
		}
		return "", Read, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
		return "", Read, fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return "", Status, fmt.Errorf("got status %s", resp.Status)
	}
	return resp.Header.Get(VersionHeader), "", nil
}
