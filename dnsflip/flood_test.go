//go:build linux

package dnsflip_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"switchd/dnsflip"
	"switchd/dnsflip/cookie"
	"switchd/dnsflip/rrl"
	"switchd/spec"
)

// benchmarkNet is for tests of networks, RFC 2544 section C.2.2. In its
// namespace, each of its addresses is one of this host.
var benchmarkNet = netip.MustParsePrefix("198.18.0.0/15")

// elsewhere runs open in a network namespace of its own, where all addresses
// of benchmarkNet are local, unlike those of 127/8 without being exempt from
// any limit. Sockets that it opens stay there.
func elsewhere(t *testing.T, open func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		done <- func() error {
			runtime.LockOSThread() // a thread that can't be put back ends with its goroutine
			home, err := netns.Get()
			if err != nil {
				return err
			}
			defer home.Close() //nolint:errcheck // was only read
			there, err := netns.New()
			if err != nil {
				return fmt.Errorf("make a network namespace (it needs root): %w", err)
			}
			defer there.Close() //nolint:errcheck // the sockets hold it
			if err := localRoute(); err != nil {
				return err
			}
			if err := open(); err != nil {
				return err
			}
			if err := netns.Set(home); err != nil {
				return err
			}
			runtime.UnlockOSThread()
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func localRoute() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	const localTable, typeLocal = 255, 2
	return netlink.RouteAdd(&netlink.Route{
		LinkIndex: lo.Attrs().Index, Table: localTable, Type: typeLocal, Scope: netlink.SCOPE_HOST,
		Dst: &net.IPNet{IP: benchmarkNet.Addr().AsSlice(), Mask: net.CIDRMask(benchmarkNet.Bits(), 32)},
	})
}

// A flood of waste and of good questions from everywhere, and of questions in
// the name of one network: clients of other networks are answered, those of
// that network if they have a cookie, and else they are told to come by TCP.
func TestServer_AnswersOthersInAFloodOfPackets(t *testing.T) { // not parallel: it measures
	const (
		rounds, burst = 150, 200 // as many packets before each question
		forgers       = 100
		rate          = 200
	)
	limits := rrl.Default()
	limits.Rate = rate
	limiter, err := rrl.New(limits)
	if err != nil {
		t.Fatal(err)
	}
	jar, reg := cookie.Random(), prometheus.NewRegistry()
	var (
		packets                    net.PacketConn
		flood, forged              []*net.UDPConn
		good, known, unknown, late *net.UDPConn
	)
	server := netip.MustParseAddr("198.18.0.53")
	elsewhere(t, func() (err error) {
		if packets, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, 0))); err != nil {
			return err
		}
		from := func(addr string) *net.UDPConn {
			conn, dialErr := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0)), packets.LocalAddr().(*net.UDPAddr))
			if dialErr != nil {
				err = dialErr
				return nil
			}
			t.Cleanup(func() { conn.Close() }) //nolint:errcheck // a test's client
			return conn
		}
		for i := range forgers {
			forged = append(forged, from(fmt.Sprintf("198.18.1.%d", i+1)))
			flood = append(flood, forged[i], from(fmt.Sprintf("198.18.%d.1", i+2)))
		}
		good, known, unknown, late = from("198.19.1.1"), from("198.18.1.201"), from("198.18.1.202"), from("198.18.1.203")
		return err
	})
	s, _ := start(t, dnsflip.Config{Listen: []string{}, Packets: []net.PacketConn{packets}, Limiter: limiter, Cookies: jar, Registerer: reg})
	publish(t, s, testView(7, spec.Green))

	question := packed(t, question("web.apps.test.", dns.TypeA).SetEdns0(1232, false))
	asked := func(from *net.UDPConn, made time.Duration) []byte {
		client := netip.MustParseAddrPort(from.LocalAddr().String()).Addr()
		withCookie := append([]byte(nil), question...)
		binary.BigEndian.PutUint16(withCookie[len(withCookie)-2:], 4+cookie.Size)
		withCookie = append(withCookie, 0, dns.EDNS0COOKIE, 0, cookie.Size)
		return jar.Append(withCookie, []byte(clientCookie), client, time.Now().Add(made))
	}
	buf := make([]byte, dns.MaxMsgSize)
	// exchange returns the reply's flags, 0 without a reply.
	exchange := func(conn *net.UDPConn, query []byte, patience time.Duration) uint16 {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write(query); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(buf); err != nil || n < 12 {
			return 0
		}
		return binary.BigEndian.Uint16(buf[2:])
	}
	random := rand.New(rand.NewPCG(1, 2))
	waste := func() []byte {
		p := append([]byte(nil), question...)
		switch random.IntN(4) {
		case 0: // anything
			p = make([]byte, random.IntN(600))
			for i := range p {
				p[i] = byte(random.Uint32())
			}
		case 1: // a query that was mutated
			for range 1 + random.IntN(4) {
				p[random.IntN(len(p))] = byte(random.Uint32())
			}
		case 2: // one that was cut off
			p = p[:random.IntN(len(p))]
		}
		return p
	}

	before := measure()
	began, told := time.Now(), 0
	var slowest time.Duration
	for range rounds {
		for range burst {
			if _, err := flood[random.IntN(len(flood))].Write(waste()); err != nil {
				t.Fatal(err)
			}
		}
		asking := time.Now()
		if flags := exchange(good, question, 5*time.Second); flags&(flagQR|flagTC) != flagQR || binary.BigEndian.Uint16(buf[6:]) != 3 {
			t.Fatalf("a client of another network got no answer, flags %04x", flags)
		}
		slowest = max(slowest, time.Since(asking))
		if flags := exchange(known, asked(known, 0), 5*time.Second); flags&(flagQR|flagTC) != flagQR {
			t.Fatalf("a client with a cookie got no answer, flags %04x", flags)
		}
	}
	took := time.Since(began)
	for range 20 { // one of two
		if exchange(unknown, question, 20*time.Millisecond)&flagTC != 0 {
			told++
		}
	}
	during, got := measure(), gather(t, reg)
	t.Logf("%d packets within %s: %v replies dropped, %v slipped, %v packets ignored; %s; %d good questions, the slowest answered after %s",
		rounds*burst, took, got["switchd_dns_rate_limited_total action=dropped"], got["switchd_dns_rate_limited_total action=slipped"],
		got["switchd_dns_ignored_total"], during.since(before), 2*rounds, slowest)
	if told == 0 {
		t.Error("a client of the network in whose name others ask was never told to come by TCP")
	}
	if flags := exchange(late, asked(late, -2*time.Hour), 50*time.Millisecond); flags != 0 && flags&flagTC == 0 {
		t.Error("a cookie of two hours ago exempts from the limit")
	}
	if got["switchd_dns_rate_limited_total action=dropped"] == 0 {
		t.Error("nothing was dropped")
	}
	if during.memory-before.memory > 4<<20 || during.goroutines > before.goroutines+8 {
		t.Errorf("it takes %s", during.since(before))
	}
	// What goes to the network in whose name others ask: kinds of replies, each
	// with its rate, besides those that are truncated.
	most := 5 * rate * (2 + int(took.Seconds()))
	if n := whole(t, forged); n == 0 || n > most {
		t.Errorf("%d whole replies went to the network in whose name others ask, at most %d may", n, most)
	}
}

// whole counts the replies without TC that wait on sockets.
func whole(t *testing.T, conns []*net.UDPConn) (n int) {
	t.Helper()
	buf := make([]byte, dns.MaxMsgSize)
	for _, conn := range conns {
		if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := conn.Read(buf); err != nil {
				break
			}
			if binary.BigEndian.Uint16(buf[2:])&flagTC == 0 {
				n++
			}
		}
	}
	return n
}
