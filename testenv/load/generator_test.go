package load_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"switchd/testenv/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// zone is a real DNS server, over UDP and TCP, for records that a test changes.
type zone struct {
	addr     string
	queries  atomic.Int64
	overTCP  atomic.Int64
	truncate atomic.Bool // answers over UDP

	mu      sync.Mutex
	records []string
}

func newZone(t *testing.T, records ...string) *zone {
	t.Helper()
	z := &zone{records: records}
	packets, listener := bothPorts(t)
	z.addr = packets.LocalAddr().String()
	for _, server := range []*dns.Server{
		{PacketConn: packets, Handler: z},
		{Listener: listener, Handler: z},
	} {
		up := make(chan struct{})
		server.NotifyStartedFunc = func() { close(up) }
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := server.ActivateAndServe(); err != nil {
				t.Errorf("serve DNS: %v", err)
			}
		})
		<-up
		t.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				t.Errorf("end the DNS server: %v", err)
			}
			wg.Wait()
		})
	}
	return z
}

// bothPorts listens on a port that is free over UDP and over TCP.
func bothPorts(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var errs []error
	for range 20 {
		packets, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		// Somebody's connection has just that port.
		errs = append(errs, err, packets.Close())
	}
	t.Fatal(errors.Join(errs...))
	return nil, nil
}

func (z *zone) set(records ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records = records
}

// ServeDNS answers with all records, or NXDOMAIN if there are none.
func (z *zone) ServeDNS(w dns.ResponseWriter, query *dns.Msg) {
	z.queries.Add(1)
	answer := new(dns.Msg).SetReply(query)
	if _, ok := w.RemoteAddr().(*net.TCPAddr); ok {
		z.overTCP.Add(1)
	} else if z.truncate.Load() {
		answer.Truncated = true
		_ = w.WriteMsg(answer)
		return
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	for _, text := range z.records {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		answer.Answer = append(answer.Answer, rr)
	}
	if len(z.records) == 0 {
		answer.Rcode = dns.RcodeNameError
	}
	_ = w.WriteMsg(answer)
}

// node serves HTTP on host, at a port that is free if port is 0.
func node(t *testing.T, host string, port int, handler http.HandlerFunc) int {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve HTTP: %v", err)
		}
	})
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("end the HTTP server: %v", err)
		}
		wg.Wait()
	})
	return listener.Addr().(*net.TCPAddr).Port
}

func version(v string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(load.VersionHeader, v)
		fmt.Fprintln(w, v)
	}
}

// run runs a generator until the returned function is called, which returns
// what was counted.
func run(t *testing.T, cfg load.Config) (*load.Generator, func() []load.Chapter) {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "web.apps.test"
	}
	g, err := load.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.Run(ctx)
	}()
	stop := func() []load.Chapter {
		cancel()
		<-done
		return g.Snapshot()
	}
	t.Cleanup(func() { stop() })
	return g, stop
}

// until waits until the last chapter is as wanted.
func until(t *testing.T, g *load.Generator, ok func(load.Chapter) bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		chapters := g.Snapshot()
		if ok(chapters[len(chapters)-1]) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %v", chapters)
		}
	}
}

func succeeded(n int) func(load.Chapter) bool {
	return func(c load.Chapter) bool { return c.Succeeded() >= n }
}

func TestGenerator_SeesAFlip(t *testing.T) {
	t.Parallel()
	port := node(t, "127.0.0.1", 0, version("1"))
	node(t, "127.0.0.2", port, version("2"))
	z := newZone(t, "web.apps.test. 0 CNAME blue.web.apps.test.", "blue.web.apps.test. 60 A 127.0.0.1")
	g, stop := run(t, load.Config{Port: port, Servers: []string{z.addr}, Workers: 4, Rate: 200})
	until(t, g, succeeded(20))
	g.Mark("flipping")
	until(t, g, succeeded(20)) // what was sent before has its answer
	z.set("web.apps.test. 0 CNAME green.web.apps.test.", "green.web.apps.test. 60 A 127.0.0.2")
	g.Mark("flipped")
	until(t, g, succeeded(20))
	chapters := stop()
	if len(chapters) != 3 || chapters[0].Name != "start" || chapters[2].Name != "flipped" {
		t.Fatalf("got the chapters %v", chapters)
	}
	for _, c := range chapters {
		if c.Failed() > 0 {
			t.Errorf("failures: %v", c)
		}
	}
	if before, after := chapters[0].Versions, chapters[2].Versions; before["1"] < 20 || before["2"] > 0 || after["2"] < 20 || after["1"] > 0 {
		t.Errorf("got versions %v before the flip and %v after it", before, after)
	}
}

func TestGenerator_AsksTheOtherServer(t *testing.T) {
	t.Parallel()
	port := node(t, "127.0.0.1", 0, version("1"))
	z := newZone(t, "web.apps.test. 60 A 127.0.0.1")
	// This one takes queries and never answers.
	silent, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close() //nolint:errcheck // Nothing depends on it.
	g, stop := run(t, load.Config{Port: port, Servers: []string{silent.LocalAddr().String(), z.addr}, Workers: 2, Rate: 50})
	until(t, g, succeeded(20))
	if c := stop()[0]; c.Failed() > 0 || c.Slowest < 250*time.Millisecond {
		t.Errorf("want no failure, and a first request that waited for the silent server: %v", c)
	}
	if n := z.queries.Load(); n != 2 {
		t.Errorf("two workers with caches asked %d times, want 2", n)
	}
}

func TestGenerator_AsksOverTCPWhatWasCutOff(t *testing.T) {
	t.Parallel()
	port := node(t, "127.0.0.1", 0, version("1"))
	z := newZone(t, "web.apps.test. 0 A 127.0.0.1")
	z.truncate.Store(true)
	g, stop := run(t, load.Config{Port: port, Servers: []string{z.addr}, Workers: 1, Rate: 100})
	until(t, g, succeeded(5))
	if c := stop()[0]; c.Failed() > 0 {
		t.Errorf("want no failure: %v", c)
	}
	if z.overTCP.Load() < 5 {
		t.Errorf("got %d queries over TCP, want at least 5", z.overTCP.Load())
	}
}

func TestGenerator_CountsEveryKindOfFailure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind    load.Kind
		record  string
		handler http.HandlerFunc
		want    string
	}{
		{load.DNS, "", version("1"), "got NXDOMAIN"},
		{load.DNS, "web.apps.test. 0 TXT none", version("1"), "no address for web.apps.test."},
		{load.DNS, "web.apps.test. 0 CNAME web.apps.test.", version("1"), "no address for web.apps.test."},
		{load.Connect, "web.apps.test. 0 A 127.0.0.9", version("1"), "connection refused"},
		{load.Read, "web.apps.test. 0 A 127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "cut off")
		}, "unexpected EOF"},
		{load.Status, "web.apps.test. 0 A 127.0.0.1", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no", http.StatusBadGateway)
		}, "got status 502 Bad Gateway"},
	} {
		t.Run(string(c.kind)+" "+c.want, func(t *testing.T) {
			t.Parallel()
			var records []string
			if c.record != "" {
				records = append(records, c.record)
			}
			port := node(t, "127.0.0.1", 0, c.handler)
			g, stop := run(t, load.Config{Port: port, Servers: []string{newZone(t, records...).addr}, Workers: 2, Rate: 200})
			until(t, g, func(c load.Chapter) bool { return c.Failed() >= 15 })
			chapter := stop()[0]
			failures := chapter.Failures[c.kind]
			if failures.Count < 15 || failures.Count != chapter.Failed() || chapter.Succeeded() > 0 || len(failures.Samples) != 10 {
				t.Errorf("want only %s failures with 10 samples: %v", c.kind, chapter)
			}
			if text := chapter.String(); !strings.Contains(text, c.want) {
				t.Errorf("want %q in: %s", c.want, text)
			}
		})
	}
}

func TestGenerator_SlownessDoesNotHideRequests(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	slow.Store(true)
	port := node(t, "127.0.0.1", 0, func(w http.ResponseWriter, r *http.Request) {
		if slow.Swap(false) {
			time.Sleep(400 * time.Millisecond)
		}
		version("1")(w, r)
	})
	z := newZone(t, "web.apps.test. 60 A 127.0.0.1")
	begin := time.Now()
	g, stop := run(t, load.Config{Port: port, Servers: []string{z.addr}, Workers: 1, Rate: 100})
	until(t, g, succeeded(60))
	// At 100 a second from begin on, whatever the slow one held up.
	atLeast := int(time.Since(begin) / (10 * time.Millisecond))
	c := stop()[0]
	atMost := int(time.Since(begin)/(10*time.Millisecond)) + 1
	// The worker began a little after begin.
	if sent := c.Succeeded() + c.Unsent; sent < atLeast-20 || sent > atMost {
		t.Errorf("%d to %d requests were due, got %v", atLeast, atMost, c)
	}
	if c.Slowest < 400*time.Millisecond {
		t.Errorf("the slowest took at least 400 ms, got %v", c)
	}
}

func TestNew_RefusesWhatCannotRun(t *testing.T) {
	t.Parallel()
	good := load.Config{Name: "web.apps.test", Port: 80, Servers: []string{"127.0.0.1:53"}, Workers: 1, Rate: 1}
	if _, err := load.New(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*load.Config){
		"name":    func(c *load.Config) { c.Name = "" },
		"port":    func(c *load.Config) { c.Port = 70000 },
		"servers": func(c *load.Config) { c.Servers = nil },
		"workers": func(c *load.Config) { c.Workers = 0 },
		"rate":    func(c *load.Config) { c.Rate = 0 },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := load.New(cfg); err == nil {
			t.Errorf("without a good %s: no error", name)
		}
	}
}
