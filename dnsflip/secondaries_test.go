package dnsflip_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip"
	"switchd/spec"
	"switchd/testenv/nameserver"
)

// version is a view whose addresses tell its serial, so that no mixture of
// two of them looks right.
func version(serial uint32, secondaries ...spec.Secondary) dnsflip.View {
	live := spec.Blue
	if serial%2 == 0 {
		live = spec.Green
	}
	v := testView(serial, live)
	v.Zone.Secondaries = secondaries
	for i, pool := range []string{spec.Blue, spec.Green} {
		v.Flips["web"].Pools[pool] = []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i), byte(serial >> 8), byte(serial)})}
	}
	return v
}

// seen asks a secondary for the service's name and returns the version that
// the answer is from. One that is from no version is an error.
func seen(ctx context.Context, addr netip.AddrPort) (serial uint32, err error) {
	client := dns.Client{Timeout: 2 * time.Second}
	reply, _, err := client.ExchangeContext(ctx, question("web.apps.test.", dns.TypeA), addr.String())
	if err != nil || reply.Rcode == dns.RcodeServerFailure || reply.Rcode == dns.RcodeRefused {
		return 0, nil //nolint:nilerr // it has no zone yet, or is busy
	}
	if !reply.Authoritative || len(reply.Answer) != 2 {
		return 0, fmt.Errorf("got %s", reply)
	}
	a, ok := reply.Answer[1].(*dns.A)
	if !ok {
		return 0, fmt.Errorf("got %s", reply)
	}
	serial = uint32(a.A.To4()[2])<<8 | uint32(a.A.To4()[3])
	right := version(serial)
	live := right.Flips["web"].Live
	if target := reply.Answer[0].(*dns.CNAME).Target; target != "web-"+live+".apps.test." || a.Hdr.Name != target || a.A.String() != right.Flips["web"].Pools[live][0].String() {
		return 0, fmt.Errorf("a mixture of versions: %s", reply)
	}
	return serial, nil
}

// follow waits until a secondary answers from a version, and returns how long
// that took. Any answer that is none of a version is an error. (One of an
// older version may follow: the process that NSD has replaced answers what it
// has received.)
func follow(ctx context.Context, addr netip.AddrPort, serial uint32) (time.Duration, error) {
	began := time.Now()
	for {
		got, err := seen(ctx, addr)
		if err != nil {
			return 0, err
		}
		if got == serial {
			return time.Since(began), nil
		}
		select {
		case <-ctx.Done():
			return 0, errors.Join(ctx.Err(), fmt.Errorf("it answers from version %d, not %d", got, serial))
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// hasSerial waits until a secondary answers with a serial.
func hasSerial(ctx context.Context, tb testing.TB, addr netip.AddrPort, serial uint32) {
	tb.Helper()
	for {
		reply := ask(tb, "udp", addr.String(), question("apps.test.", dns.TypeSOA))
		if len(reply.Answer) != 1 {
			tb.Fatalf("got %s", reply)
		}
		got := reply.Answer[0].(*dns.SOA).Serial
		if got == serial {
			return
		}
		select {
		case <-ctx.Done():
			tb.Fatalf("its serial is %d, want %d", got, serial)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// journal is a log that a test looks into.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(part string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), part)
}

// secondary starts a name server that copies the zone of a server.
func secondary(tb testing.TB, kind nameserver.Kind, addr string, key nameserver.Key) *nameserver.Server {
	tb.Helper()
	return nameserver.ForTest(tb, kind, nameserver.Options{
		Keys: []nameserver.Key{key},
		Zones: []nameserver.Zone{{
			Origin: "apps.test", Key: key.Name, Primaries: []nameserver.Peer{{Addr: netip.MustParseAddrPort(addr), Key: key.Name}},
		}},
	})
}

func TestSecondaries_FollowEveryFlip(t *testing.T) {
	t.Parallel()
	for _, kind := range nameserver.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			key := nameserver.NewKey("xfer")
			var log journal
			server, addr := start(t, dnsflip.Config{TSIG: keyring(t, key), Log: slog.New(slog.NewTextHandler(&log, nil))})
			publish(t, server, version(1))
			copies := secondary(t, kind, addr, key)
			to := spec.Secondary{Address: copies.Addr().String(), Key: key.Name}
			publish(t, server, version(1, to))
			publish(t, server, version(2, to))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := follow(ctx, copies.Addr(), 2); err != nil {
				t.Fatal(err)
			}
			var took []time.Duration
			for serial := uint32(3); serial < 23; serial++ {
				publish(t, server, version(serial, to))
				d, err := follow(ctx, copies.Addr(), serial)
				if err != nil {
					t.Fatalf("flip %d: %v", serial, err)
				}
				hasSerial(ctx, t, copies.Addr(), serial)
				took = append(took, d)
			}
			if n := log.count("kind=ixfr"); n < len(took) {
				t.Errorf("got %d of %d flips as differences", n, len(took))
			}
			slices.Sort(took)
			t.Logf("%s: from Publish to its answer: median %s, longest %s", kind, took[len(took)/2], took[len(took)-1])
		})
	}
}

func TestSecondaries_CatchUpWithWhatTheyMissed(t *testing.T) {
	t.Parallel()
	for _, kind := range nameserver.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			key := nameserver.NewKey("xfer")
			server, addr := start(t, dnsflip.Config{TSIG: keyring(t, key)})
			publish(t, server, version(1))
			copies := secondary(t, kind, addr, key)
			to := spec.Secondary{Address: copies.Addr().String(), Key: key.Name}
			publish(t, server, version(2, to))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if _, err := follow(ctx, copies.Addr(), 2); err != nil {
				t.Fatal(err)
			}
			if err := copies.Stop(); err != nil {
				t.Fatal(err)
			}
			for serial := uint32(3); serial < 8; serial++ {
				publish(t, server, version(serial, to))
			}
			// It is told again and again, and so hears of it when it is back.
			if err := copies.Start(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := follow(ctx, copies.Addr(), 7); err != nil {
				t.Fatal(err)
			}
			hasSerial(ctx, t, copies.Addr(), 7)
		})
	}
}

// What a secondary has in the end is the same, record by record, whatever way
// it came there.
func TestSecondaries_HaveTheSameZone(t *testing.T) {
	t.Parallel()
	key := nameserver.NewKey("xfer")
	server, addr := start(t, dnsflip.Config{TSIG: keyring(t, key)})
	v := testView(1, spec.Blue)
	v.Zone.Transfer = []string{"key:xfer"}
	publish(t, server, v)
	var all []*nameserver.Server
	for _, kind := range nameserver.Kinds() {
		copies := secondary(t, kind, addr, key)
		all = append(all, copies)
		v.Zone.Secondaries = append(v.Zone.Secondaries, spec.Secondary{Address: copies.Addr().String(), Key: key.Name})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	changes := []func(f *dnsflip.Flip){
		func(f *dnsflip.Flip) { f.Live = spec.Green },
		func(f *dnsflip.Flip) { f.TTL = spec.Duration(time.Minute) },
		func(f *dnsflip.Flip) { f.Pools[spec.Blue] = addrs("192.0.2.3", "2001:db8::1", "2001:db8::2") },
		func(f *dnsflip.Flip) { f.Weights = map[string]int{spec.Blue: 10, spec.Green: 90} },
		func(f *dnsflip.Flip) { f.Weights = nil },
		func(f *dnsflip.Flip) { f.Live = "" },
		func(f *dnsflip.Flip) { f.Live = spec.Blue },
	}
	for i, change := range changes {
		next := testView(uint32(2+i), spec.Blue)
		next.Zone = v.Zone
		f := v.Flips["web"]
		change(&f)
		next.Flips["web"] = f
		v = next
		publish(t, server, v)
		truth := zoneOf(t, addr, key)
		for _, copies := range all {
			for {
				got := zoneOf(t, copies.Addr().String(), key)
				if slices.Equal(got, truth) {
					break
				}
				select {
				case <-ctx.Done():
					t.Fatalf("change %d: %s has\n%s\nwant\n%s", i, copies.Name(), strings.Join(got, "\n"), strings.Join(truth, "\n"))
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	}
}

// zoneOf returns the records of a server's zone, sorted.
func zoneOf(tb testing.TB, addr string, key nameserver.Key) []string {
	tb.Helper()
	got := lines(tool(tb, "knot-dnsutils", "kdig", addr, "-y", key.Flag(), "apps.test", "AXFR", "+nocomments", "+nostats"))
	slices.Sort(got)
	return slices.Compact(got)
}
