package dnsflip_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"switchd/dnsflip"
	"switchd/spec"
)

// generation returns a view whose serial can be read from its live pool and
// from every address of it.
func generation(n uint32) dnsflip.View {
	live := spec.Blue
	if n%2 == 1 {
		live = spec.Green
	}
	v := testView(n, live)
	web := v.Flips["web"]
	web.Pools = map[string][]netip.Addr{spec.Blue: nil, spec.Green: nil}
	for _, pool := range []string{spec.Blue, spec.Green} {
		for i := range byte(4) {
			web.Pools[pool] = append(web.Pools[pool], netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), i + 1}))
		}
	}
	v.Flips["web"] = web
	return v
}

// generationOf reads it back from an answer that must be whole.
func generationOf(t *testing.T, reply *dns.Msg) uint32 {
	if reply.Rcode != dns.RcodeSuccess || len(reply.Answer) != 5 {
		t.Fatalf("not a whole answer: %v", reply)
	}
	var n uint32
	for i, rr := range reply.Answer[1:] {
		a, ok := rr.(*dns.A)
		if !ok {
			t.Fatalf("not an address: %v", rr)
		}
		ip := a.A.To4()
		of := uint32(ip[1])<<8 | uint32(ip[2])
		if i > 0 && of != n {
			t.Fatalf("addresses of two generations: %v", reply.Answer)
		}
		n = of
	}
	cname, ok := reply.Answer[0].(*dns.CNAME)
	if !ok {
		t.Fatalf("no CNAME: %v", reply.Answer[0])
	}
	if want := generation(n).Flips["web"].Live; cname.Target != "web-"+want+".apps.test." {
		t.Fatalf("generation %d is live in %s, got %v", n, want, cname)
	}
	return n
}

func TestServer_FlipsAtOnceUnderLoad(t *testing.T) {
	t.Parallel()
	const generations, clients = 2000, 4
	server, addr := start(t, dnsflip.Config{})
	publish(t, server, generation(1))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var asked [clients]int
	for c := range clients {
		network := []string{"udp", "tcp"}[c%2]
		wg.Go(func() {
			conn, err := (&dns.Client{Net: network}).DialContext(t.Context(), addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close() //nolint:errcheck // a test's client
			client := &dns.Client{Net: network, Timeout: 5 * time.Second}
			var last uint32
			for done := false; !done; asked[c]++ {
				select {
				case <-stop:
					done = true // once more, after the last publish
				default:
				}
				reply, _, err := client.ExchangeWithConnContext(t.Context(), question("web.apps.test.", dns.TypeA), conn)
				if err != nil {
					t.Errorf("an answer by %s is lost: %v", network, err)
					return
				}
				n := generationOf(t, reply)
				if n < last {
					t.Errorf("generation %d after %d by %s", n, last, network)
				}
				last = n
			}
			if last != generations {
				t.Errorf("after the last publish: generation %d", last)
			}
		})
	}
	for n := uint32(2); n <= generations; n++ {
		publish(t, server, generation(n))
	}
	close(stop)
	wg.Wait()
	t.Logf("%v queries while %d views were published", asked, generations)
}

func TestServer_SharesAnswersByWeight(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	random := rand.NewPCG(1, 2)
	server, addr := start(t, dnsflip.Config{Rand: func() uint64 {
		mu.Lock()
		defer mu.Unlock()
		return random.Uint64()
	}})
	v := testView(7, spec.Blue)
	web := v.Flips["web"]
	web.Weights = map[string]int{spec.Blue: 75, spec.Green: 25}
	v.Flips["web"] = web
	publish(t, server, v)
	const n = 400
	green := 0
	for range n {
		reply := ask(t, "udp", addr, question("web.apps.test.", dns.TypeCNAME))
		if strings.Contains(reply.Answer[0].String(), "web-green") {
			green++
		}
	}
	if want, bound := n/4, 35; green < want-bound || green > want+bound { // four standard deviations
		t.Errorf("%d of %d answers are green, want %d ± %d", green, n, want, bound)
	}
}

func TestServer_NeverGoesBack(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "view.json")
	rapid.Check(t, func(t *rapid.T) {
		server := dnsflip.NewServer(dnsflip.Config{File: file})
		serials := rapid.SliceOfN(rapid.OneOf(rapid.Uint32Range(0, 3), rapid.Uint32Range(math.MaxUint32-2, math.MaxUint32), rapid.Uint32()), 1, 6).Draw(t, "serials")
		for i, serial := range serials {
			var before *uint32
			if v := server.View(); v != nil {
				before = &v.Serial
			}
			err := server.Publish(testView(serial, spec.Green))
			// RFC 1982 section 3.2, written as it stands there.
			back := before != nil && *before != serial &&
				(*before >= serial || serial-*before >= 1<<31) && (*before <= serial || *before-serial <= 1<<31)
			if got := errors.Is(err, dnsflip.ErrOldSerial); got != back {
				t.Fatalf("publish %d of %v: %v", i, serials, err)
			}
			want := serial
			if back {
				want = *before
			}
			if got := server.View().Serial; got != want {
				t.Fatalf("serial %d after publish %d of %v, want %d", got, i, serials, want)
			}
		}
		restarted := dnsflip.NewServer(dnsflip.Config{File: file})
		v, err := restarted.Restore()
		if err != nil {
			t.Fatal(err)
		}
		if v.Serial != server.View().Serial {
			t.Fatalf("restored serial %d, want %d", v.Serial, server.View().Serial)
		}
	})
}

func TestServer_AnswersTheSameAfterARestart(t *testing.T) {
	t.Parallel()
	cfg := dnsflip.Config{File: filepath.Join(t.TempDir(), "view.json")}
	queries := []*dns.Msg{
		question("web.apps.test.", dns.TypeA), question("web-blue.apps.test.", dns.TypeAAAA),
		question("apps.test.", dns.TypeSOA), question("apps.test.", dns.TypeNS),
		question("nope.apps.test.", dns.TypeA), question("infra.apps.test.", dns.TypeA),
	}
	answers := func(addr string) (all [][]string) {
		for _, q := range queries {
			r := ask(t, "udp", addr, q)
			all = append(all, []string{dns.RcodeToString[r.Rcode]}, records(r.Answer), records(r.Ns), records(r.Extra))
		}
		return all
	}
	before, addr := start(t, cfg)
	empty := testView(8, spec.Blue)
	empty.Flips["web"].Pools[spec.Blue] = nil
	publish(t, before, testView(7, spec.Green))
	publish(t, before, empty)
	want := answers(addr)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}

	after, addr := start(t, cfg)
	v, err := after.Restore()
	if err != nil {
		t.Fatal(err)
	}
	if !v.At.Equal(empty.At) || v.Serial != 8 || !slices.Equal(v.Flips["web"].Carried, []string{spec.Blue}) {
		t.Errorf("restored %+v", v)
	}
	if got := answers(addr); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := after.Publish(testView(7, spec.Green)); !errors.Is(err, dnsflip.ErrOldSerial) {
		t.Errorf("an older view after the restart: %v", err)
	}
	info, err := os.Stat(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 {
		t.Errorf("mode of the last-known file is %v", info.Mode())
	}
	if _, err := after.Restore(); err == nil {
		t.Error("a second restore took the place of a view")
	}
}

func TestServer_KeepsAnsweringWhenPoolsBecomeEmpty(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	full, empty := testView(7, spec.Green), testView(7, spec.Green)
	for label, f := range empty.Flips {
		f.Pools = nil
		empty.Flips[label] = f
	}
	publish(t, server, full)
	want := records(ask(t, "udp", addr, question("web.apps.test.", dns.TypeA)).Answer)
	publish(t, server, empty)
	if got := records(ask(t, "udp", addr, question("web.apps.test.", dns.TypeA)).Answer); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := server.View().Flips["web"].Carried; !slices.Equal(got, []string{spec.Blue, spec.Green}) {
		t.Errorf("carried %v", got)
	}
}

func TestServer_RefusesAnInvalidView(t *testing.T) {
	t.Parallel()
	cfg := dnsflip.Config{File: filepath.Join(t.TempDir(), "view.json")}
	server, _ := start(t, cfg)
	publish(t, server, testView(7, spec.Green))
	saved, err := os.ReadFile(cfg.File)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Publish(testView(8, "red")); err == nil || !strings.Contains(err.Error(), `live pool "red"`) {
		t.Errorf("got %v", err)
	}
	if got := server.View().Serial; got != 7 {
		t.Errorf("serial %d", got)
	}
	if now, err := os.ReadFile(cfg.File); err != nil || !bytes.Equal(now, saved) {
		t.Errorf("the last-known file has changed (%v)", err)
	}
}

func TestServer_WritesTheFileOnlyIfAnswersChange(t *testing.T) {
	t.Parallel()
	cfg := dnsflip.Config{File: filepath.Join(t.TempDir(), "view.json")}
	server, _ := start(t, cfg)
	publish(t, server, testView(7, spec.Green))
	if err := os.Remove(cfg.File); err != nil {
		t.Fatal(err)
	}
	later := testView(7, spec.Green)
	later.At = later.At.Add(time.Minute)
	slices.Reverse(later.Flips["web"].Pools[spec.Green]) // Consul has no order
	publish(t, server, later)
	if !server.View().At.Equal(later.At) {
		t.Errorf("the view is of %v, want %v", server.View().At, later.At)
	}
	if _, err := os.Stat(cfg.File); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was written for the same answers (%v)", err)
	}
	publish(t, server, testView(8, spec.Green))
	if _, err := os.Stat(cfg.File); err != nil {
		t.Error(err)
	}
}

func TestServer_FlipsEvenIfTheFileCanNotBeWritten(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "later")
	cfg := dnsflip.Config{File: filepath.Join(dir, "view.json")}
	server, addr := start(t, cfg)
	if err := server.Publish(testView(7, spec.Green)); !errors.Is(err, dnsflip.ErrNotSaved) || !strings.Contains(err.Error(), cfg.File) {
		t.Errorf("got %v, want ErrNotSaved and the file's name", err)
	}
	if got := ask(t, "udp", addr, question("web.apps.test.", dns.TypeA)); got.Rcode != dns.RcodeSuccess {
		t.Errorf("got %v", got)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	publish(t, server, testView(7, spec.Green)) // the same answers: now they are saved
	if _, err := os.Stat(cfg.File); err != nil {
		t.Error(err)
	}
}

func TestServer_SetsACorruptFileAside(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{", "null", `{"zone": 1}`, "{}\n{}", `{"zone":{"name":"apps.test"}}`} {
		cfg := dnsflip.Config{File: filepath.Join(t.TempDir(), "view.json")}
		if err := os.WriteFile(cfg.File, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		server := dnsflip.NewServer(cfg)
		if _, err := server.Restore(); err == nil || !strings.Contains(err.Error(), cfg.File+".corrupt") {
			t.Errorf("%q: got %v, want an error that names the file", content, err)
		}
		if server.View() != nil {
			t.Errorf("%q: a view came of it", content)
		}
		if got, err := os.ReadFile(cfg.File + ".corrupt"); err != nil || string(got) != content {
			t.Errorf("%q: set aside is %q (%v)", content, got, err)
		}
		if _, err := server.Restore(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%q: restored again: %v, want os.ErrNotExist", content, err)
		}
	}
}

func TestServer_WarnsOnceThatItHasNoView(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	server, addr := start(t, dnsflip.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		ask(t, "udp", addr, question("web.apps.test.", dns.TypeA))
	}
	if err := server.Close(); err != nil { // nobody writes any more
		t.Fatal(err)
	}
	if got := strings.Count(log.String(), "knows no zone yet"); got != 1 {
		t.Errorf("said %d times:\n%s", got, &log)
	}
}

func TestServer_RepliesFromTheAddressItWasAskedAt(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{Listen: []string{"0.0.0.0:0"}})
	publish(t, server, testView(7, spec.Green))
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	// A client's socket takes packets of the address alone that it asked.
	if got := ask(t, "udp", net.JoinHostPort("127.0.0.2", port), question("apps.test.", dns.TypeSOA)); got.Rcode != dns.RcodeSuccess {
		t.Errorf("got %v", got)
	}
}

func TestServer_ListensOnAllAddressesOrNone(t *testing.T) {
	t.Parallel()
	_, taken := start(t, dnsflip.Config{})
	reg := prometheus.NewRegistry()
	server := dnsflip.NewServer(dnsflip.Config{Listen: []string{"127.0.0.1:0", taken}, Registerer: reg, Log: slog.New(slog.DiscardHandler)})
	if err := server.Start(t.Context()); err == nil || !strings.Contains(err.Error(), taken) {
		t.Errorf("got %v, want an error that names %s", err, taken)
	}
	if got := server.Addrs(); len(got) != 0 {
		t.Errorf("listens on %v", got)
	}
	if got, err := reg.Gather(); err != nil || len(got) != 0 {
		t.Errorf("metrics are left: %v (%v)", got, err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Start(t.Context()); err == nil {
		t.Error("started after Close")
	}
}

func TestServer_StartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]dnsflip.Config{
		"no address to listen on":       {},
		`"127.0.0.1" must be host:port`: {Listen: []string{"127.0.0.1"}},
		`server id "a b" has a blank`:   {Listen: []string{"127.0.0.1:0"}, ID: "a b"},
		"at most 64 bytes, got 65":      {Listen: []string{"127.0.0.1:0"}, ID: strings.Repeat("a", 65)},
	} {
		if err := dnsflip.NewServer(cfg).Start(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestServer_CountsWhatItDoes(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	server, addr := start(t, dnsflip.Config{Registerer: reg})
	if got := gather(t, reg)["switchd_dns_view_age_seconds"]; !math.IsInf(got, 1) {
		t.Errorf("age without a view is %v", got)
	}
	publish(t, server, testView(7, spec.Green))
	v := testView(9, spec.Green)
	v.At = time.Now().Add(-time.Hour)
	v.Flips["web"].Pools[spec.Green] = nil
	publish(t, server, v)
	ask(t, "udp", addr, question("web.apps.test.", dns.TypeA))
	ask(t, "udp", addr, question("web.apps.test.", dns.TypeA))
	ask(t, "tcp", addr, question("nope.apps.test.", 65280))
	badvers := question("web.apps.test.", dns.TypeA)
	badvers.SetEdns0(1232, false)
	badvers.IsEdns0().SetVersion(1)
	ask(t, "udp", addr, badvers)
	none := question("web.apps.test.", dns.TypeA)
	none.Question = nil
	ask(t, "udp", addr, none)
	got := gather(t, reg)
	for name, want := range map[string]float64{
		"switchd_dns_serial zone=apps.test":                                  9,
		"switchd_dns_carried_pools":                                          1,
		"switchd_dns_queries_total qtype=A rcode=NOERROR transport=udp":      2,
		"switchd_dns_queries_total qtype=other rcode=NXDOMAIN transport=tcp": 1,
		"switchd_dns_queries_total qtype=A rcode=BADVERS transport=udp":      1,
		"switchd_dns_queries_total qtype=none rcode=FORMERR transport=udp":   1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if age := got["switchd_dns_view_age_seconds"]; age < 3600 || age > 3700 {
		t.Errorf("age is %v, want an hour", age)
	}
	if err := server.Close(); err != nil {
		t.Fatal(err)
	}
	if got := gather(t, reg); len(got) != 0 {
		t.Errorf("after Close: %v", got)
	}
}

func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return values
}

func TestServer_TakesPipelinedQueries(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	publish(t, server, testView(7, spec.Green))
	conn, err := (&dns.Client{Net: "tcp"}).DialContext(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's client
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const n = 300
	for id := range uint16(n) {
		query := question("web.apps.test.", dns.TypeA)
		query.Id = id
		if err := conn.WriteMsg(query); err != nil {
			t.Fatal(err)
		}
	}
	for id := range uint16(n) {
		reply, err := conn.ReadMsg()
		if err != nil {
			t.Fatal(err)
		}
		if reply.Id != id || len(reply.Answer) != 3 {
			t.Fatalf("reply %d is %v", id, reply)
		}
	}
}

func TestServer_LimitsTCPConnections(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{MaxTCPConns: 8}) // two from one address
	publish(t, server, testView(7, spec.Green))
	query := question("apps.test.", dns.TypeSOA)
	dial := func(from string) (*dns.Conn, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		client := &dns.Client{Net: "tcp", Dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}}
		conn, err := client.DialContext(ctx, addr)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { conn.Close() }) //nolint:errcheck // a test's client
		_, _, err = client.ExchangeWithConnContext(ctx, query, conn)
		return conn, err
	}
	var open []*dns.Conn
	for i := range 8 {
		conn, err := dial([]string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"}[i/2])
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		open = append(open, conn)
		if i == 1 {
			if _, err := dial("127.0.0.1"); err == nil {
				t.Error("a third connection from one address was served")
			}
		}
	}
	if _, err := dial("127.0.0.5"); err == nil {
		t.Error("a ninth connection was served")
	}
	// UDP has room, and so has TCP once a connection has ended.
	if got := ask(t, "udp", addr, query); got.Rcode != dns.RcodeSuccess {
		t.Errorf("by UDP: %v", got)
	}
	if err := open[7].Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; {
		_, err := dial("127.0.0.4")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after one has ended: %v", err)
		}
	}
}

func TestServer_CloseEndsConnections(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	conn, err := (&dns.Client{Net: "tcp"}).DialContext(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test's client
	if _, _, err := (&dns.Client{Net: "tcp"}).ExchangeWithConnContext(t.Context(), question(".", dns.TypeA), conn); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ReadMsg(); err == nil {
		t.Error("the connection is open")
	}
}
