package dnsflip_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"switchd/dnsflip"
	"switchd/dnsflip/cookie"
	"switchd/spec"
	"switchd/testenv/nameserver"
)

// footprint is what this process uses: the server, and its clients here.
type footprint struct {
	memory     int64
	goroutines int
}

func measure() footprint {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return footprint{int64(m.HeapAlloc + m.StackInuse), runtime.NumGoroutine()}
}

// since tells what was added.
func (f footprint) since(before footprint) string {
	return fmt.Sprintf("%d KiB, %d goroutines", (f.memory-before.memory)>>10, f.goroutines-before.goroutines)
}

// awaitNoConnections returns when the server has no TCP connection any more.
func awaitNoConnections(t *testing.T, reg *prometheus.Registry, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; runtime.Gosched() {
		open := gather(t, reg)["switchd_dns_tcp_connections"]
		if open == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v connections are open after %s", open, within)
		}
	}
}

// dialFrom connects from an address. The kernel keeps little for the client.
func dialFrom(t *testing.T, from netip.Addr, addr string) *net.TCPConn {
	t.Helper()
	small := func(_, _ string, raw syscall.RawConn) error {
		var option error
		err := raw.Control(func(fd uintptr) { option = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
		return errors.Join(err, option)
	}
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: 5 * time.Second, Control: small}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() }) //nolint:errcheck // a test's client
	return conn.(*net.TCPConn)
}

// framed is a message as it is sent by TCP.
func framed(message []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)
}

// packed is a query's wire form.
func packed(t testing.TB, query *dns.Msg) []byte {
	t.Helper()
	packet, err := query.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// insist asks by TCP from an address until it is answered, and tells how long
// that took.
func insist(t *testing.T, from, addr string, within time.Duration) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	client := dns.Client{Net: "tcp", Dialer: &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}}
	for began := time.Now(); ; {
		_, _, err := client.ExchangeContext(ctx, question("web.apps.test.", dns.TypeA), addr)
		if err == nil {
			return time.Since(began)
		}
		if ctx.Err() != nil {
			t.Fatalf("not answered within %s: %v", within, err)
		}
	}
}

// Clients that take all connections there are, from few addresses and from
// many, and do nothing good with them.
func TestServer_LeavesRoomInFloodsOfConnections(t *testing.T) { // not parallel: it measures
	huge := make([]byte, dns.MaxMsgSize-1)
	for name, tt := range map[string]struct {
		sent   []byte
		memory int64 // KiB a connection, at most: its client's part too
	}{
		"Silent":       {nil, 24},
		"HalfALength":  {[]byte{0}, 24},
		"AByteAtATime": {[]byte{0, 100, 1}, 24},
		"HugeMessages": {append([]byte{0xff, 0xff}, huge[:len(huge)-1]...), 90},
	} {
		t.Run(name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			server, addr := start(t, dnsflip.Config{Registerer: reg})
			publish(t, server, testView(7, spec.Green))
			before := measure()

			var flood []*net.TCPConn
			from := netip.MustParseAddr("127.1.0.1")
			for range 2 * dnsflip.DefaultMaxTCPConns / 8 {
				flood = append(flood, dialFrom(t, from, addr))
			}
			first := insist(t, "127.2.0.1", addr, 5*time.Second)
			for range 15 {
				from = from.Next()
				for range dnsflip.DefaultMaxTCPConns / 8 {
					flood = append(flood, dialFrom(t, from, addr))
				}
			}
			for _, conn := range flood {
				if err := conn.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
					t.Fatal(err)
				}
				_, _ = conn.Write(tt.sent) // most are closed by now
			}
			stop := make(chan struct{})
			var trickling sync.WaitGroup
			trickling.Go(func() {
				for tick := time.NewTicker(50 * time.Millisecond); name == "AByteAtATime"; {
					select {
					case <-stop:
						tick.Stop()
						return
					case <-tick.C:
						for _, conn := range flood {
							_, _ = conn.Write([]byte{0})
						}
					}
				}
			})
			then := insist(t, "127.2.0.2", addr, 5*time.Second)
			began := time.Now()
			if reply := ask(t, "udp", addr, question("web.apps.test.", dns.TypeA)); len(reply.Answer) != 3 {
				t.Errorf("by UDP: got %s", reply)
			}
			byUDP, during := time.Since(began), measure()
			open := gather(t, reg)["switchd_dns_tcp_connections"]
			t.Logf("%d connections, of which %v are open: %s; others are answered after %s, %s from one address, %s by UDP",
				len(flood), open, during.since(before), then, first, byUDP)
			if most := tt.memory << 10 * dnsflip.DefaultMaxTCPConns; during.memory-before.memory > most {
				t.Errorf("they take %s, more than %d KiB", during.since(before), most>>10)
			}
			if open > dnsflip.DefaultMaxTCPConns || during.goroutines-before.goroutines > dnsflip.DefaultMaxTCPConns+16 {
				t.Errorf("%v connections: %s", open, during.since(before))
			}

			close(stop)
			trickling.Wait()
			for _, conn := range flood {
				conn.Close() //nolint:errcheck // the server may have been faster
			}
			flood = nil
			awaitNoConnections(t, reg, 5*time.Second)
			after := measure()
			t.Logf("afterwards: %s", after.since(before))
			if after.memory-before.memory > 4<<20 || after.goroutines > before.goroutines+8 {
				t.Errorf("not given back: %s", after.since(before))
			}
		})
	}
}

// askAgain asks by TCP until there is an answer: in a crowd the server has
// little patience, and a busy machine may be too slow for it once or twice.
func askAgain(t *testing.T, addr string, within time.Duration) error {
	t.Helper()
	client := dns.Client{Net: "tcp", Timeout: within}
	for end := time.Now().Add(within); ; {
		reply, _, err := client.ExchangeContext(t.Context(), question("ns1.apps.test.", dns.TypeA), addr)
		if err == nil && len(reply.Answer) != 1 {
			err = fmt.Errorf("got %s", reply)
		}
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// Clients that send thousands of queries and read no reply, until nothing more
// can be sent either way.
func TestServer_EndsClientsThatDontRead(t *testing.T) { // not parallel: it measures
	const clients, queries = 40, 4000
	reg := prometheus.NewRegistry()
	server, addr := start(t, dnsflip.Config{Registerer: reg, MaxTCPConns: 64})
	text := strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("x", 250)+`" `, 40), " ")
	if err := server.Serve(bigZone(t, 1, func(int) string { return "TXT " + text })); err != nil {
		t.Fatal(err)
	}
	pipeline := slices.Repeat(framed(packed(t, question("host-0.apps.test.", dns.TypeTXT))), queries)
	before := measure()
	var conns []*net.TCPConn
	from := netip.MustParseAddr("127.1.0.1")
	for range clients {
		conns, from = append(conns, dialFrom(t, from, addr)), from.Next()
	}
	for _, conn := range conns {
		if err := conn.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(pipeline); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
	}
	began := time.Now()
	if reply := ask(t, "udp", addr, question("ns1.apps.test.", dns.TypeA)); len(reply.Answer) != 1 {
		t.Errorf("by UDP: got %s", reply)
	}
	byUDP, began := time.Since(began), time.Now()
	if err := askAgain(t, addr, 5*time.Second); err != nil {
		t.Errorf("by TCP: %v", err)
	}
	during := measure()
	t.Logf("%d clients with %d queries each: %s; others are answered after %s by UDP, %s by TCP",
		clients, queries, during.since(before), byUDP, time.Since(began))
	// The clients' own buffers and the race detector are in it; all replies would
	// take 1.6 GiB.
	if most := int64(clients * 512 << 10); during.memory-before.memory > most {
		t.Errorf("they take %s, more than %d KiB", during.since(before), most>>10)
	}
	awaitNoConnections(t, reg, 30*time.Second) // though no client hangs up
	if after := measure(); after.goroutines > before.goroutines+8 || after.memory-before.memory > 4<<20 {
		t.Errorf("not given back: %s", after.since(before))
	}
}

// More secondaries than the server serves at once get the zone in turn.
func TestTransfer_ServesACrowdInTurn(t *testing.T) { // not parallel: it measures
	const clients, records = 64, 5_000
	server, addr := start(t, dnsflip.Config{Transfers: []dnsflip.Transfer{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}})
	if err := server.Serve(bigZone(t, records, address)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	before := measure()
	var busy atomic.Int64
	var peak footprint
	var crowd sync.WaitGroup
	began := time.Now()
	for i := range clients {
		from := netip.AddrFrom4([4]byte{127, 1, 1, byte(1 + i)})
		crowd.Go(func() {
			for ctx.Err() == nil {
				n, err := countTransfer(ctx, from, addr)
				if err != nil {
					t.Errorf("%s: %v", from, err)
					return
				}
				if n > 0 {
					if n != records+4 {
						t.Errorf("%s: got %d records, want %d", from, n, records+4)
					}
					return
				}
				busy.Add(1)
			}
			t.Errorf("%s never got the zone", from)
		})
	}
	peak = measure()
	crowd.Wait()
	t.Logf("%d transfers of %d records within %s, %d times told to come again; %s in the middle", clients, records, time.Since(began), busy.Load(), peak.since(before))
	if peak.memory-before.memory > 32<<20 {
		t.Errorf("they take %s", peak.since(before))
	}
}

// countTransfer counts the records that come; 0 means that the server is busy.
func countTransfer(ctx context.Context, from netip.Addr, addr string) (n int, err error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // a test's client
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return 0, err
	}
	query, err := question("apps.test.", dns.TypeAXFR).Pack()
	if err != nil {
		return 0, err
	}
	if _, err := conn.Write(framed(query)); err != nil {
		return 0, err
	}
	buf := make([]byte, dns.MaxMsgSize)
	for n < 5_004 {
		if _, err := io.ReadFull(conn, buf[:2]); err != nil {
			return n, err
		}
		message := buf[:binary.BigEndian.Uint16(buf)]
		if _, err := io.ReadFull(conn, message); err != nil {
			return n, err
		}
		if message[3]&0xf == dns.RcodeServerFailure && n == 0 {
			return 0, nil
		}
		answers := int(binary.BigEndian.Uint16(message[6:]))
		if answers == 0 {
			return n, fmt.Errorf("a message of no records: %x", message[:12])
		}
		n += answers
	}
	return n, nil
}

// The longest messages there are, each worse than the others to read.
func TestServer_ReadsTheLargestMessages(t *testing.T) {
	t.Parallel()
	server, addr := start(t, dnsflip.Config{})
	publish(t, server, testView(7, spec.Green))
	const size = dns.MaxMsgSize
	header := func(counts ...uint16) []byte {
		b := []byte{0x12, 0x34, 0, 0}
		for _, n := range counts {
			b = binary.BigEndian.AppendUint16(b, n)
		}
		return b
	}
	fill := func(head []byte, with string) []byte {
		return append(head, strings.Repeat(with, size/len(with)+1)...)[:size]
	}
	asked := "\x03web\x04apps\x04test\x00\x00\x01\x00\x01"
	root := "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00" // an empty record of the root
	padded := append(header(1, 0, 0, 1), asked...)
	padded = append(padded, 0, 0, 41, 0xff, 0xff, 0, 0, 0, 0)
	rest := size - len(padded) - 2 // odd
	padded = binary.BigEndian.AppendUint16(padded, uint16(rest))
	padded = append(padded, 0, 12)
	padded = binary.BigEndian.AppendUint16(padded, uint16(rest-4))
	label := "\x3f" + strings.Repeat("a", 63)
	records := (size - 12 - len(asked)) / len(root)

	for name, tt := range map[string]struct {
		message []byte
		want    int
	}{
		"padded":                {fill(padded, "\x00"), dns.RcodeSuccess},
		"of records":            {append(append(header(1, uint16(records), 0, 0), asked...), strings.Repeat(root, records)...), dns.RcodeSuccess},
		"of fewer records":      {fill(append(header(1, 0, 0xffff, 0xffff), asked...), root), dns.RcodeFormatError},
		"of questions":          {fill(header(0xffff, 0, 0, 0), "\x00\x00\x01\x00\x01"), dns.RcodeFormatError},
		"of pointers":           {fill(append(header(1, 0, 0, 0xffff), asked...), "\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"), dns.RcodeFormatError},
		"of OPT records":        {fill(append(header(1, 0, 0, 0xffff), asked...), "\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"), dns.RcodeFormatError},
		"of empty options":      {fill(append(padded[:len(padded)-4:len(padded)-4], 0, 0, 0, 0), "\xfd\xe9\x00\x00"), dns.RcodeFormatError}, // the last one is cut off
		"a name without end":    {fill(header(1, 0, 0, 0), label), dns.RcodeFormatError},
		"a name of 256 octets":  {fill(append(header(1, 0, 0, 0), label+label+label+"\x3e"+strings.Repeat("a", 62)+"\x01a\x00\x00\x01\x00\x01"...), "\x00"), dns.RcodeFormatError},
		"a label of 64 octets":  {fill(append(header(1, 0, 0, 0), "\x40"...), "a"), dns.RcodeFormatError},
		"a pointer to itself":   {fill(append(header(1, 0, 0, 0), "\xc0\x0c"...), "\x00"), dns.RcodeFormatError},
		"what follows is waste": {fill(append(header(1, 0, 0, 0), asked...), "\xff"), dns.RcodeSuccess},
	} {
		reply := exchangeTCP(t, addr, tt.message)
		if got := int(reply[3] & 0xf); got != tt.want || reply[2]&0x80 == 0 {
			t.Errorf("%s: got %s, want %s", name, dns.RcodeToString[got], dns.RcodeToString[tt.want])
		}
	}
}

// Nobody but Consul writes the zone: what looks like it is refused, with or
// without a good signature, in a reply that is no longer than the request.
func TestServer_RefusesUpdatesAndNotifications(t *testing.T) {
	t.Parallel()
	key := nameserver.NewKey("xfer")
	server, addr := start(t, dnsflip.Config{TSIG: keyring(t, key)})
	v := testView(7, spec.Green)
	v.Zone.Transfer = []string{"key:xfer"}
	publish(t, server, v)
	before := tool(t, "bind9-dnsutils", "dig", addr, "-y", key.Flag(), "apps.test", "AXFR", "+nocomments", "+nostats", "+nocmd")

	update := new(dns.Msg).SetUpdate("apps.test.")
	update.Insert([]dns.RR{&dns.CNAME{Hdr: dns.RR_Header{Name: "web.apps.test.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "web-blue.apps.test."}})
	wipe := new(dns.Msg).SetUpdate("apps.test.")
	wipe.RemoveName([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: "web.apps.test."}}})
	notify := new(dns.Msg).SetNotify("apps.test.")
	notify.Answer = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: "apps.test.", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns1.apps.test.", Mbox: "a.apps.test.", Serial: 1 << 30}}
	other := new(dns.Msg).SetNotify("example.net.")
	for name, m := range map[string]*dns.Msg{"update": update, "removal": wipe, "notification": notify, "another zone": other} {
		for range 50 {
			packet := packed(t, m)
			for _, reply := range [][]byte{raw(t, addr, packet), exchangeTCP(t, addr, packet)} {
				if got := int(reply[3] & 0xf); got != dns.RcodeRefused || len(reply) > len(packet) {
					t.Fatalf("%s: got %s, %d bytes to %d", name, dns.RcodeToString[got], len(reply), len(packet))
				}
			}
		}
		reply := signedExchange(t, addr, key, m.Copy(), time.Now())
		if reply.Rcode != dns.RcodeRefused || reply.IsTsig() == nil { // signed: who asked would doubt it else
			t.Errorf("%s, signed: got\n%s", name, reply)
		}
	}
	after := tool(t, "bind9-dnsutils", "dig", addr, "-y", key.Flag(), "apps.test", "AXFR", "+nocomments", "+nostats", "+nocmd")
	if !slices.Equal(lines(after), lines(before)) || !strings.Contains(after, "web.apps.test.") {
		t.Errorf("the zone was\n%s\nand is\n%s", before, after)
	}
}

// signedExchange sends a message signed at a moment. The signature of the reply
// is checked, if it has one.
func signedExchange(t *testing.T, addr string, key nameserver.Key, m *dns.Msg, at time.Time) *dns.Msg {
	t.Helper()
	m.SetTsig(dns.Fqdn(key.Name), dns.HmacSHA256, 300, at.Unix())
	packet, mac, err := dns.TsigGenerate(m, key.Secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	out := exchangeTCP(t, addr, packet)
	var reply dns.Msg
	if err := reply.Unpack(out); err != nil {
		t.Fatal(err)
	}
	if signature := reply.IsTsig(); signature != nil {
		if err := dns.TsigVerify(out, key.Secret, mac, false); err != nil && signature.Error != dns.RcodeBadTime {
			t.Errorf("%v: the reply: %v", m.Question, err)
		}
	}
	return &reply
}

// A clock that is set wrong on one side: what the client signs is refused, by a
// reply that tells the server's time (RFC 8945 section 5.2.3), and all that
// needs no clock goes on.
func TestServer_TellsTheTimeToClientsWithAnother(t *testing.T) {
	t.Parallel()
	key, jar := nameserver.NewKey("xfer"), cookie.Random()
	server, addr := start(t, dnsflip.Config{TSIG: keyring(t, key), Cookies: jar})
	v := testView(7, spec.Green)
	v.Zone.Transfer = []string{"key:xfer"}
	publish(t, server, v)
	for off, want := range map[time.Duration]uint16{
		-time.Hour: dns.RcodeBadTime, -6 * time.Minute: dns.RcodeBadTime, -4 * time.Minute: dns.RcodeSuccess, 0: dns.RcodeSuccess,
		4 * time.Minute: dns.RcodeSuccess, 6 * time.Minute: dns.RcodeBadTime, time.Hour: dns.RcodeBadTime, 24 * 365 * time.Hour: dns.RcodeBadTime,
	} {
		now := time.Now()
		reply := signedExchange(t, addr, key, question("apps.test.", dns.TypeAXFR), now.Add(off))
		signature := reply.IsTsig()
		switch {
		case signature == nil:
			t.Errorf("signed %s off: the reply isn't signed:\n%s", off, reply)
		case signature.Error != want || (reply.Rcode == dns.RcodeNotAuth) != (want == dns.RcodeBadTime) || (len(reply.Answer) > 0) != (want == dns.RcodeSuccess):
			t.Errorf("signed %s off: want error %d, got\n%s", off, want, reply)
		case want == dns.RcodeBadTime:
			told, err := netTime(signature.OtherData)
			if err != nil || told.Sub(now).Abs() > 5*time.Second || time.Unix(int64(signature.TimeSigned), 0).Sub(now.Add(off)).Abs() > 2*time.Second {
				t.Errorf("signed %s off: it tells %s (%v), signed at %d", off, told, err, signature.TimeSigned)
			}
		}
	}
	// A cookie of another time isn't refused: the client gets a new one.
	client := netip.MustParseAddr("127.0.0.1")
	for _, off := range []time.Duration{-24 * time.Hour, -61 * time.Minute, -time.Minute, 0, 4 * time.Minute, 6 * time.Minute, 24 * time.Hour} {
		now := time.Now()
		query := question("web.apps.test.", dns.TypeA).SetEdns0(1232, false)
		option := fmt.Sprintf("%x", jar.Append(nil, []byte(clientCookie), client, now.Add(off)))
		query.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: option}}
		reply := ask(t, "udp", addr, query)
		opt := reply.IsEdns0()
		if opt == nil || len(opt.Option) != 1 || len(reply.Answer) != 3 {
			t.Fatalf("a cookie %s off: got\n%s", off, reply)
		}
		made := fmt.Sprintf("%x", jar.Append(nil, []byte(clientCookie), client, now))
		next := fmt.Sprintf("%x", jar.Append(nil, []byte(clientCookie), client, now.Add(time.Second)))
		if got := opt.Option[0].(*dns.EDNS0_COOKIE).Cookie; got != made && got != next {
			t.Errorf("a cookie %s off: got %s, want one of now, %s", off, got, made)
		}
	}
}

// netTime reads the time of a TSIG record's other data: 48 bits.
func netTime(hexadecimal string) (time.Time, error) {
	var seconds int64
	if n, err := fmt.Sscanf(hexadecimal, "%012x", &seconds); err != nil || n != 1 || len(hexadecimal) != 12 {
		return time.Time{}, fmt.Errorf("other data %q: %w", hexadecimal, err)
	}
	return time.Unix(seconds, 0), nil
}
