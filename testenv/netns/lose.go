//go:build linux

package netns

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// Lose has everything that the host sends to another one get lost on the way,
// without a word to either, as behind a broken switch or a wrong firewall rule:
// it goes to a hardware address that nobody has. What comes from the other one
// arrives. To lose twice is no error.
func (h *Host) Lose(to *Host) error {
	neighbour, err := h.neighbour(to)
	if err == nil {
		// The first bits say that it is an address of nobody's making.
		neighbour.HardwareAddr = net.HardwareAddr{0x02, 0, 0, 0, 0, 0}
		neighbour.State = netlink.NUD_PERMANENT
		err = h.link.NeighSet(neighbour)
	}
	if err != nil {
		return fmt.Errorf("lose what host %s sends to %s: %w", h.addr, to.addr, err)
	}
	return nil
}

// Find ends Lose.
func (h *Host) Find(to *Host) error {
	neighbour, err := h.neighbour(to)
	if err == nil {
		err = h.link.NeighDel(neighbour)
	}
	if err != nil {
		return fmt.Errorf("let through what host %s sends to %s: %w", h.addr, to.addr, err)
	}
	return nil
}

func (h *Host) neighbour(to *Host) (*netlink.Neigh, error) {
	if h.link == nil {
		return nil, errClosed
	}
	eth, err := h.link.LinkByName(card)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", card, err)
	}
	return &netlink.Neigh{LinkIndex: eth.Attrs().Index, Family: netlink.FAMILY_V4, IP: to.addr.AsSlice()}, nil
}
