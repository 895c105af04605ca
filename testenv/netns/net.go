//go:build linux

// Package netns makes hosts out of network namespaces, for tests and benches:
// each has one network card of a given speed, and a switch connects them all.
//
// The namespaces have no names: they exist as long as something uses them, and
// nothing of them is seen from the machine's own network. So the addresses of a
// network can't clash with anything, several networks may use the same ones,
// and the kernel removes them even after a SIGKILL of the process that made
// them.
package netns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// subnet is where the hosts of every network live.
const subnet = "10.77.0.0/24"

// maxHosts is how many addresses subnet has for hosts.
const maxHosts = 254

// Options says what a network is like.
type Options struct {
	Hosts int // from 1 to 254
	// Rate limits each host's card, in bits a second of whole Ethernet frames,
	// each way on its own; 0 means no limit.
	Rate uint64
}

// Net is a switch with hosts. It and its hosts are safe for concurrent use,
// but for Close, which comes last.
type Net struct {
	hosts []*Host
	lan   namespace // the switch's
}

// New makes a network. Its context bounds the making only; Close the network.
// It takes CAP_SYS_ADMIN and CAP_NET_ADMIN; without them the error says so.
func New(ctx context.Context, o Options) (*Net, error) {
	if o.Hosts < 1 || o.Hosts > maxHosts {
		return nil, fmt.Errorf("make a network: the number of hosts cannot be %d: it is between 1 and %d", o.Hosts, maxHosts)
	}
	n := &Net{}
	if err := n.build(ctx, o); err != nil {
		if errors.Is(err, unix.EPERM) {
			err = fmt.Errorf("%w: it takes CAP_SYS_ADMIN and CAP_NET_ADMIN; run it as root, or with unshare --map-root-user --net", err)
		}
		return nil, errors.Join(fmt.Errorf("make a network: %w", err), n.Close())
	}
	return n, nil
}

// build makes the switch, then host by host.
func (n *Net) build(ctx context.Context, o Options) error {
	var err error
	if n.lan, err = newNamespace(); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = "switch"
	if err := n.lan.link.LinkAdd(bridge); err != nil {
		return fmt.Errorf("add the switch: %w", err)
	}
	if err := n.lan.link.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("turn on the switch: %w", err)
	}
	addr := netip.MustParsePrefix(subnet).Addr()
	for i := range o.Hosts {
		if err := ctx.Err(); err != nil {
			return err
		}
		addr = addr.Next()
		h := &Host{addr: addr, port: "port" + strconv.Itoa(i), lan: &n.lan}
		n.hosts = append(n.hosts, h)
		if err := h.build(bridge, o.Rate); err != nil {
			return fmt.Errorf("host %s: %w", addr, err)
		}
	}
	return nil
}

// Hosts returns the hosts in the order of their addresses. Don't change it.
func (n *Net) Hosts() []*Host { return n.hosts }

// Close kills the programs that still run in hosts and removes the network.
// Sockets of Host.Listen and Host.Dial are their owners' to close; the last one
// takes its host with it. A second Close does nothing.
func (n *Net) Close() error {
	var errs []error
	for _, h := range n.hosts {
		errs = append(errs, h.killAll(), h.close())
	}
	return errors.Join(append(errs, n.lan.close())...)
}
