//go:build linux

package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
)

// card is the name of a host's network device.
const card = "eth0"

// Host is a network namespace with a card of its own.
type Host struct {
	namespace
	addr netip.Addr
	port string     // the other end of the host's cable
	lan  *namespace // where port is
}

// build makes the host, and the cable to its port of the switch.
func (h *Host) build(bridge *netlink.Bridge, rate uint64) error {
	var err error
	if h.namespace, err = newNamespace(); err != nil {
		return err
	}
	cable := netlink.NewVeth(netlink.NewLinkAttrs())
	cable.Name, cable.MasterIndex = h.port, bridge.Index
	cable.PeerName, cable.PeerNamespace = card, netlink.NsFd(h.fd())
	if err := h.lan.link.LinkAdd(cable); err != nil {
		return fmt.Errorf("plug in the cable: %w", err)
	}
	eth, err := h.link.LinkByName(card)
	if err != nil {
		return fmt.Errorf("find %s: %w", card, err)
	}
	port, err := h.lan.link.LinkByName(h.port)
	if err != nil {
		return fmt.Errorf("find %s of the switch: %w", h.port, err)
	}
	addr, err := netlink.ParseAddr(netip.PrefixFrom(h.addr, netip.MustParsePrefix(subnet).Bits()).String())
	if err != nil {
		return fmt.Errorf("address %s: %w", h.addr, err)
	}
	if err := h.link.AddrAdd(eth, addr); err != nil {
		return fmt.Errorf("add address %s: %w", h.addr, err)
	}
	// Shaped where frames leave: what the host sends at its card, what it
	// receives at the switch.
	if err := shape(h.link, eth, rate); err != nil {
		return err
	}
	if err := shape(h.lan.link, port, rate); err != nil {
		return err
	}
	if err := h.link.LinkSetUp(eth); err != nil {
		return fmt.Errorf("turn on %s: %w", card, err)
	}
	return h.Heal()
}

// Addr returns the host's address.
func (h *Host) Addr() netip.Addr { return h.addr }

// AddrPort returns the host's address with a port.
func (h *Host) AddrPort(port uint16) netip.AddrPort { return netip.AddrPortFrom(h.addr, port) }

// Command returns the command that runs a program on the host, through
// nsenter(1), which the program replaces. Its Args may be handed to a
// proc.Group instead. The command may outlive this process; it can't be started
// after Net.Close, which kills it.
func (h *Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"--net=" + h.path(), "--", name}, args...)...)
}

// Listen listens on a TCP port of the host in this process; 0 means any.
func (h *Host) Listen(ctx context.Context, port uint16) (net.Listener, error) {
	var listener net.Listener
	err := h.do(func() (err error) {
		listener, err = new(net.ListenConfig).Listen(ctx, "tcp4", h.AddrPort(port).String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on host %s: %w", h.addr, err)
	}
	return listener, nil
}

// Dial connects to a TCP address from the host, in this process.
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return h.DialContext(ctx, "tcp", to.String())
}

// DialContext connects to an address from the host, in this process, over TCP
// ("tcp") or UDP ("udp").
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("dial from host %s: %w", h.addr, err)
	}
	over := "tcp4"
	if strings.HasPrefix(network, "udp") {
		over = "udp4"
	}
	var conn net.Conn
	// A single address is dialed by the calling goroutine, so the socket is
	// made on the thread that is in the namespace.
	err := h.do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, over, address)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("dial from host %s: %w", h.addr, err)
	}
	return conn, nil
}

// Cut pulls the host's cable at the switch: the host keeps its address and
// routes, and sees that there is no carrier. To cut it twice is no error.
func (h *Host) Cut() error {
	if err := h.setPort((*netlink.Handle).LinkSetDown); err != nil {
		return fmt.Errorf("cut host %s: %w", h.addr, err)
	}
	return nil
}

// Heal plugs the cable in again.
func (h *Host) Heal() error {
	if err := h.setPort((*netlink.Handle).LinkSetUp); err != nil {
		return fmt.Errorf("heal host %s: %w", h.addr, err)
	}
	return nil
}

func (h *Host) setPort(set func(*netlink.Handle, netlink.Link) error) error {
	if h.lan.link == nil {
		return errClosed
	}
	port, err := h.lan.link.LinkByName(h.port)
	if err != nil {
		return fmt.Errorf("find %s of the switch: %w", h.port, err)
	}
	return set(h.lan.link, port)
}

// Traffic is what a host has sent and received, in bytes of Ethernet frames as
// they would be on a wire.
type Traffic struct{ Sent, Received uint64 }

// Traffic reads the counters of both ends of the host's cable.
func (h *Host) Traffic() (Traffic, error) {
	sent, err := passed(h.link, card)
	if err != nil {
		return Traffic{}, fmt.Errorf("count what host %s has sent: %w", h.addr, err)
	}
	received, err := passed(h.lan.link, h.port)
	if err != nil {
		return Traffic{}, fmt.Errorf("count what host %s has received: %w", h.addr, err)
	}
	return Traffic{Sent: sent, Received: received}, nil
}

var errClosed = errors.New("the network is closed")
