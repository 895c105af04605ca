//go:build linux

package dnsflip_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"switchd/dnsflip"
	"switchd/spec"
)

// narrow returns a socket on a host whose card sends no more than some bytes a
// second and lets the rest wait, and one of a client on the same cable.
func narrow(t *testing.T, rate uint64) (server net.PacketConn, client net.Conn) {
	t.Helper()
	here, there := netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")
	var host netns.NsHandle
	elsewhere(t, func() (err error) {
		if host, err = netns.Get(); err != nil {
			return err
		}
		cable := netlink.NewVeth(netlink.NewLinkAttrs())
		cable.Name, cable.PeerName = "near", "far"
		if err := netlink.LinkAdd(cable); err != nil {
			return err
		}
		near, err := plug("near", here)
		if err != nil {
			return err
		}
		const burst, room = 5_000, 100_000_000
		if err := netlink.QdiscAdd(&netlink.Tbf{
			QdiscAttrs: netlink.QdiscAttrs{LinkIndex: near.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
			Rate:       rate, Buffer: netlink.Xmittime(rate, burst), Limit: room,
		}); err != nil {
			return fmt.Errorf("limit the card: %w", err)
		}
		server, err = new(net.ListenConfig).ListenPacket(t.Context(), "udp4", netip.AddrPortFrom(here.Addr(), 0).String())
		return err
	})
	defer host.Close() //nolint:errcheck // the socket holds it
	elsewhere(t, func() error {
		own, err := netns.Get()
		if err != nil {
			return err
		}
		defer own.Close() //nolint:errcheck // was only read
		at, err := netlink.NewHandleAt(host)
		if err != nil {
			return err
		}
		defer at.Close()
		far, err := at.LinkByName("far")
		if err != nil {
			return err
		}
		if err := at.LinkSetNsFd(far, int(own)); err != nil {
			return err
		}
		if _, err := plug("far", there); err != nil {
			return err
		}
		client, err = new(net.Dialer).DialContext(t.Context(), "udp4", server.LocalAddr().String())
		return err
	})
	return server, client
}

// plug turns on the end of a cable.
func plug(name string, addr netip.Prefix) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, err
	}
	at, err := netlink.ParseAddr(addr.String())
	if err != nil {
		return nil, err
	}
	if err := netlink.AddrAdd(link, at); err != nil {
		return nil, err
	}
	return link, netlink.LinkSetUp(link)
}

// TestPublish_IsNotHeldUpByAFullNetwork asks for far more than can leave: some
// ten replies a second.
func TestPublish_IsNotHeldUpByAFullNetwork(t *testing.T) {
	t.Parallel()
	conn, client := narrow(t, 10_000)
	defer client.Close() //nolint:errcheck // a test's client
	reg := prometheus.NewRegistry()
	server, _ := start(t, dnsflip.Config{Listen: []string{}, Packets: []net.PacketConn{conn}, Registerer: reg})
	var pool []netip.Addr
	for n := range byte(50) {
		pool = append(pool, netip.AddrFrom4([4]byte{198, 51, 100, n + 1}))
	}
	query := question("web.apps.test.", dns.TypeA)
	query.SetEdns0(1232, false)
	packet := packed(t, query)
	live := spec.Blue
	for serial := range uint32(20) {
		v := testView(serial+1, live)
		v.Flips["web"] = dnsflip.Flip{
			Service: "web", Live: live, TTL: spec.Duration(5 * time.Second),
			Pools: map[string][]netip.Addr{spec.Blue: pool, spec.Green: pool},
		}
		published := make(chan error, 1)
		go func() { published <- server.Publish(v) }()
		select {
		case err := <-published:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(2 * time.Second):
			t.Fatal("a view is held up") // until the server is closed
		}
		for range 500 {
			if _, err := client.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
		live = spec.Other(live)
	}
	if got := gather(t, reg); got["switchd_dns_unsent_total"] == 0 {
		t.Errorf("the network was never full: %v", got)
	}
}
