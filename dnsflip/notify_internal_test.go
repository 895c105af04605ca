package dnsflip

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip/tsig"
)

// ring has one key, xfer.
func ring(tb testing.TB) *tsig.Ring {
	tb.Helper()
	keys, err := tsig.Parse(strings.NewReader(`key "xfer" { algorithm hmac-sha256; secret "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="; };`), "keys")
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// recorder is a secondary that notes what it is told.
type recorder struct {
	conn *net.UDPConn
	keys *tsig.Ring
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // a test's server
	return &recorder{conn: conn, keys: ring(t)}
}

func (r *recorder) addr() netip.AddrPort { return r.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// next returns the next notification, with what answers it.
func (r *recorder) next(t *testing.T) (m *dns.Msg, answer func(rcode int)) {
	t.Helper()
	if err := r.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, from, err := r.conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(err)
	}
	tx, err := r.keys.Verify(buf[:n], time.Now())
	if err != nil {
		t.Fatal(err)
	}
	m = new(dns.Msg)
	if err := m.Unpack(buf[:n]); err != nil {
		t.Fatal(err)
	}
	return m, func(rcode int) {
		reply := new(dns.Msg)
		reply.SetRcode(m, rcode)
		reply.Extra = nil
		packet, err := reply.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.conn.WriteToUDPAddrPort(tx.Sign(packet, time.Now()), from); err != nil {
			t.Fatal(err)
		}
	}
}

func serialOf(t *testing.T, m *dns.Msg) uint32 {
	t.Helper()
	if m.Opcode != dns.OpcodeNotify || !m.Authoritative || m.Question[0] != (dns.Question{Name: "apps.test.", Qtype: dns.TypeSOA, Qclass: dns.ClassINET}) {
		t.Fatalf("got %s", m)
	}
	return m.Answer[0].(*dns.SOA).Serial
}

// settled waits until nobody is to be told anything.
func settled(t *testing.T, n *notifier) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for n.pending() > 0 {
		select {
		case <-ctx.Done():
			t.Fatalf("%d are still to be told", n.pending())
		case <-time.After(time.Millisecond):
		}
	}
}

func TestNotifier_InsistsUntilAcknowledged(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "xfer."} {
		t.Run("with key "+key, func(t *testing.T) {
			t.Parallel()
			r := newRecorder(t)
			n := newNotifier(ring(t), []netip.Addr{netip.MustParseAddr("127.0.0.1")}, slog.New(slog.DiscardHandler))
			defer n.close()
			n.tell(parsed(t, master), []Secondary{{Addr: r.addr(), Key: key}})
			m, _ := r.next(t) // lost
			if got := serialOf(t, m); got != 1 {
				t.Errorf("got serial %d, want 1", got)
			}
			if signed := m.IsTsig() != nil; signed != (key != "") {
				t.Errorf("it is signed: %t", signed)
			}
			_, answer := r.next(t)
			answer(dns.RcodeRefused)
			_, answer = r.next(t)
			if n.pending() != 1 {
				t.Error("nobody is to be told, though none has acknowledged it")
			}
			answer(dns.RcodeSuccess)
			settled(t, n)
		})
	}
}

func TestNotifier_TellsTheNewestVersionOnce(t *testing.T) {
	t.Parallel()
	r, gone := newRecorder(t), newRecorder(t)
	n := newNotifier(nil, nil, slog.New(slog.DiscardHandler))
	defer n.close()
	base := parsed(t, master)
	n.tell(base, []Secondary{{Addr: r.addr()}, {Addr: gone.addr()}})
	m, _ := r.next(t)
	if got := serialOf(t, m); got != 1 {
		t.Errorf("got serial %d, want 1", got)
	}
	// The first version is superseded, and one of both isn't told any more.
	n.tell(laid(t, base, 2), []Secondary{{Addr: r.addr()}})
	m, answer := r.next(t)
	if got := serialOf(t, m); got != 2 {
		t.Errorf("got serial %d, want 2", got)
	}
	answer(dns.RcodeSuccess)
	settled(t, n)
	n.tell(laid(t, base, 2), []Secondary{{Addr: r.addr()}})
	if n.pending() != 0 {
		t.Error("the same version is told again")
	}
}

func TestNotifier_DistrustsRepliesOfOthers(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	n := newNotifier(ring(t), nil, slog.New(slog.DiscardHandler))
	z := parsed(t, master)
	to := recipient{z.Origin(), Secondary{Addr: r.addr(), Key: "xfer."}}
	for _, tt := range []struct {
		name    string
		edit    func(*dns.Msg)
		timeout time.Duration
		want    string
	}{
		{"another id", func(m *dns.Msg) { m.Id++ }, 200 * time.Millisecond, "no reply"},
		{"no reply", func(m *dns.Msg) { m.Response = false }, 200 * time.Millisecond, "no reply"},
		{"another opcode", func(m *dns.Msg) { m.Opcode = dns.OpcodeQuery }, 200 * time.Millisecond, "no reply"},
		{"no signature", func(*dns.Msg) {}, 10 * time.Second, "isn't signed"},
		{"a refusal", func(m *dns.Msg) { m.Rcode = dns.RcodeNotAuth }, 10 * time.Second, "NOTAUTH"},
	} {
		done := make(chan error)
		go func() { done <- n.once(t.Context(), to, z.SOA(), tt.timeout) }()
		buf := make([]byte, 4096)
		length, from, err := r.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if err := m.Unpack(buf[:length]); err != nil {
			t.Fatal(err)
		}
		reply := new(dns.Msg).SetReply(&m)
		tt.edit(reply)
		packet, err := reply.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.conn.WriteToUDPAddrPort(packet, from); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestNotifier_ClosesAtOnce(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	n := newNotifier(nil, nil, slog.New(slog.NewTextHandler(&log, nil)))
	var silent []Secondary
	for range 3 {
		silent = append(silent, Secondary{Addr: newRecorder(t).addr()})
	}
	silent = append(silent, Secondary{Addr: netip.MustParseAddrPort("127.0.0.1:1")}) // nobody is there
	n.tell(parsed(t, master), append(silent, Secondary{Addr: newRecorder(t).addr(), Key: "missing."}))
	began := time.Now()
	n.close()
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	if want := "there is no TSIG key missing."; !strings.Contains(log.String(), want) {
		t.Errorf("the log has no %q:\n%s", want, log.String())
	}
	n.tell(laid(t, parsed(t, master), 2), silent)
	if got := n.pending(); got != 0 {
		t.Errorf("%d are told after its end", got)
	}
}
