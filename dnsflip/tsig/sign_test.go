package tsig_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"switchd/dnsflip/tsig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSign_TellsErrorsAsTheRFCSays goes through RFC 8945 section 5.3.2.
func TestSign_TellsErrorsAsTheRFCSays(t *testing.T) {
	t.Parallel()
	signed, now := time.Unix(1_800_000_000, 0), time.Unix(1_800_001_000, 0)
	keys := ring(t, keyText(name, dns.HmacSHA256, secret))
	forger := ring(t, keyText(name, dns.HmacSHA256, other))
	good := request(t, keys, name, dns.HmacSHA256, signed)
	for _, tt := range []struct {
		name   string
		keys   *tsig.Ring
		packet []byte
		now    time.Time
		code   uint16
		mac    bool
		signed time.Time
		other  string
	}{
		{"BADKEY", nil, good, now, dns.RcodeBadKey, false, now, ""},
		{"BADSIG", keys, request(t, forger, name, dns.HmacSHA256, signed), now, dns.RcodeBadSig, false, now, ""},
		{"BADTIME", keys, good, now, dns.RcodeBadTime, true, signed, fmt.Sprintf("%012x", now.Unix())},
		{"BADTRUNC", keys, truncate(t, good, 16), signed, dns.RcodeBadTrunc, true, signed, ""},
	} {
		tx, err := tt.keys.Verify(tt.packet, tt.now)
		if err == nil {
			t.Errorf("%s: accepted", tt.name)
			continue
		}
		answer := reply(t, tt.packet, tx.Rcode())
		size := len(answer) + tx.Size()
		answer = tx.Sign(answer, tt.now)
		rr := record(t, answer)
		if len(answer) != size || rr == nil || rr.Error != tt.code || (rr.MAC != "") != tt.mac || int64(rr.TimeSigned) != tt.signed.Unix() ||
			rr.OtherData != tt.other || rr.Fudge != 300 || rr.Hdr.Name != name || rr.Algorithm != dns.HmacSHA256 {
			t.Errorf("%s: got %d bytes, want %d, with %v", tt.name, len(answer), size, rr)
		}
	}
	for _, packet := range [][]byte{twice(t, good), truncate(t, good, 9)} {
		tx, err := keys.Verify(packet, signed)
		if answer := tx.Sign(reply(t, good, tx.Rcode()), now); err == nil || tx.Rcode() != dns.RcodeFormatError || tx.Size() != 0 || record(t, answer) != nil {
			t.Errorf("FORMERR: got %x after %v", answer, err)
		}
	}
}

// TestDig_SignsAndChecks has dig and kdig sign their questions, and judge the signatures of
// the replies.
func TestDig_SignsAndChecks(t *testing.T) {
	t.Parallel()
	for _, algorithm := range algorithms {
		keys := ring(t, keyText(name, algorithm, secret))
		addr := serve(t, func(packet []byte) [][]byte {
			tx, err := keys.Verify(packet, time.Now())
			if err != nil {
				t.Errorf("%s: %v", algorithm, err)
			}
			return [][]byte{tx.Sign(reply(t, packet, tx.Rcode(), "web.apps.test. 5 IN A 192.0.2.7"), time.Now())}
		})
		for _, program := range []struct{ name, debian, bad string }{
			{"dig", "bind9-dnsutils", "verify"},
			{"kdig", "knot-dnsutils", "WARNING"},
		} {
			for _, transport := range []string{"+notcp", "+tcp"} {
				out := digSigned(t, program.name, program.debian, addr, algorithm, secret, "web.apps.test", "A", transport)
				if !strings.Contains(out, "192.0.2.7") || !strings.Contains(out, "TSIG") || strings.Contains(out, program.bad) {
					t.Errorf("%s %s %s:\n%s", program.name, transport, algorithm, out)
				}
			}
		}
	}
}

func TestDig_NoticesAForgedReply(t *testing.T) {
	t.Parallel()
	keys := ring(t, keyText(name, dns.HmacSHA256, secret))
	addr := serve(t, func(packet []byte) [][]byte {
		tx, _ := keys.Verify(packet, time.Now())
		answer := tx.Sign(reply(t, packet, tx.Rcode(), "web.apps.test. 5 IN A 192.0.2.7"), time.Now())
		at := bytes.Index(answer, []byte{192, 0, 2, 7})
		answer[at+3] = 8
		return [][]byte{answer}
	})
	out := digSigned(t, "dig", "bind9-dnsutils", addr, dns.HmacSHA256, secret, "web.apps.test", "A", "+notcp")
	if !strings.Contains(out, "Couldn't verify signature") {
		t.Errorf("dig believes it, so that its silence proves nothing:\n%s", out)
	}
}

// TestDig_ReadsTheErrors has dig show what a refused client is told.
func TestDig_ReadsTheErrors(t *testing.T) {
	t.Parallel()
	keys := ring(t, keyText(name, dns.HmacSHA256, secret))
	for _, tt := range []struct {
		secret string
		off    time.Duration
		want   []string
	}{
		{other, 0, []string{"status: NOTAUTH", "BADSIG"}},
		{secret, time.Hour, []string{"status: NOTAUTH", "BADTIME"}},
		{secret, -time.Hour, []string{"status: NOTAUTH", "BADTIME"}},
	} {
		addr := serve(t, func(packet []byte) [][]byte {
			now := time.Now().Add(tt.off)
			tx, err := keys.Verify(packet, now)
			if err == nil {
				t.Errorf("accepted a clock that is %s off", tt.off)
			}
			return [][]byte{tx.Sign(reply(t, packet, tx.Rcode()), now)}
		})
		out := digSigned(t, "dig", "bind9-dnsutils", addr, dns.HmacSHA256, tt.secret, "web.apps.test", "A", "+notcp")
		for _, want := range tt.want {
			if !strings.Contains(out, want) {
				t.Errorf("no %s from dig:\n%s", want, out)
			}
		}
	}
}

// TestDig_ChecksEachMessageOfATransfer sends a zone in several messages. The
// same ones in another order are refused.
func TestDig_ChecksEachMessageOfATransfer(t *testing.T) {
	t.Parallel()
	const soa = "apps.test. 60 IN SOA ns.apps.test. dns.apps.test. 7 60 60 60 5"
	keys := ring(t, keyText(name, dns.HmacSHA384, secret))
	transfer := func(swap bool) string {
		addr := serve(t, func(packet []byte) [][]byte {
			tx, err := keys.Verify(packet, time.Now())
			if err != nil {
				t.Error(err)
			}
			var stream [][]byte
			for _, rrs := range [][]string{{soa}, {"a.apps.test. 60 IN A 192.0.2.1"}, {"b.apps.test. 60 IN A 192.0.2.2"}, {soa}} {
				stream = append(stream, tx.Sign(reply(t, packet, dns.RcodeSuccess, rrs...), time.Now()))
			}
			if swap {
				stream[1], stream[2] = stream[2], stream[1]
			}
			return stream
		})
		return digSigned(t, "dig", "bind9-dnsutils", addr, dns.HmacSHA384, secret, "apps.test", "AXFR", "+tcp")
	}
	if out := transfer(false); !strings.Contains(out, "192.0.2.2") || !strings.Contains(out, "XFR size: 4 records (messages 4") || strings.Contains(out, "could not be validated") {
		t.Errorf("dig refuses the transfer:\n%s", out)
	}
	if out := transfer(true); !strings.Contains(out, "could not be validated") {
		t.Errorf("dig takes messages in the wrong order, so that its silence proves nothing:\n%s", out)
	}
}

func TestNsupdate_SignsAndChecks(t *testing.T) {
	t.Parallel()
	text := keyText(name, dns.HmacSHA512, secret)
	keys := ring(t, text)
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	updates := make(chan string, 4)
	addr := serve(t, func(packet []byte) [][]byte {
		tx, err := keys.Verify(packet, time.Now())
		if err != nil {
			t.Error(err)
		}
		updates <- tx.Key().Name
		return [][]byte{tx.Sign(reply(t, packet, tx.Rcode()), time.Now())}
	})
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "script")
	commands := "server " + host + " " + port + "\nzone apps.test\nupdate add x.apps.test 60 TXT x\nsend\n"
	if err := os.WriteFile(script, []byte(commands), 0o600); err != nil {
		t.Fatal(err)
	}
	out := tool(t, "nsupdate", "bind9-dnsutils", "-t", "5", "-k", path, script)
	if len(out) > 0 || len(updates) != 1 || <-updates != name {
		t.Errorf("%d updates; nsupdate says: %s", len(updates), out)
	}
}

// digSigned asks as a user does.
func digSigned(tb testing.TB, program, debian, addr, algorithm, secret string, question ...string) string {
	tb.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		tb.Fatal(err)
	}
	args := []string{"@" + host, "-p", port, "-y", strings.TrimSuffix(algorithm, ".") + ":" + strings.TrimSuffix(name, ".") + ":" + secret}
	args = append(args, question...)
	args = append(args, "+timeout=5", "+retry=0")
	return string(tool(tb, program, debian, args...))
}

// serve answers by UDP and TCP, on the same port of loopback, with what handle
// makes of a packet.
func serve(tb testing.TB, handle func([]byte) [][]byte) string {
	tb.Helper()
	listener, conn := listen(tb)
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, dns.MaxMsgSize)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, answer := range handle(buf[:n]) {
				if _, err := conn.WriteTo(answer, from); err != nil {
					tb.Errorf("write: %v", err)
				}
			}
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if err := converse(c, handle); err != nil {
				tb.Errorf("converse: %v", err)
			}
		}
	}()
	tb.Cleanup(func() {
		if err := errors.Join(conn.Close(), listener.Close()); err != nil {
			tb.Errorf("close: %v", err)
		}
		<-done
		<-done
	})
	return listener.Addr().String()
}

// listen takes a port that is free for both transports.
func listen(tb testing.TB) (net.Listener, net.PacketConn) {
	tb.Helper()
	var config net.ListenConfig
	for range 20 {
		listener, err := config.Listen(tb.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		conn, err := config.ListenPacket(tb.Context(), "udp", listener.Addr().String())
		if err == nil {
			return listener, conn
		}
		if err := listener.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// converse answers one message of a connection, until the other side ends it.
func converse(c net.Conn, handle func([]byte) [][]byte) (err error) {
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	packet := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, packet); err != nil {
		return err
	}
	var out []byte
	for _, answer := range handle(packet) {
		out = binary.BigEndian.AppendUint16(out, uint16(len(answer)))
		out = append(out, answer...)
	}
	_, err = c.Write(out)
	return err
}
