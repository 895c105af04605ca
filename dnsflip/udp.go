package dnsflip

import (
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// serveUDP answers packets, as many at a time as there are. Each loop has a
// socket of its own: the kernel spreads clients over them (SO_REUSEPORT), so
// that cores don't wait for each other.
func (s *Server) serveUDP(p *packets) {
	w := s.newWorker(s.metrics.counters())
	b := newBatch(p)
	for {
		n, err := b.receive()
		if err != nil {
			if !s.again(udp, err) {
				return
			}
			continue
		}
		s.turnover.RLock()
		for i := range n {
			packet, client := b.packet(i)
			w.reply = b.room(i)
			b.put(i, w.respond(packet, client, udp))
		}
		err = b.send()
		s.turnover.RUnlock()
		if err != nil {
			w.counts.unsent.Add(uint64(b.lost))
			s.cfg.Log.Debug("DNS reply not sent", "transport", udp, "error", err)
		}
	}
}

// packets is a UDP socket.
type packets struct {
	*net.UDPConn

	raw syscall.RawConn
	// any says that it listens on all addresses: the reply must come from the
	// one that the query was sent to, which is not the one that the kernel
	// would choose.
	any bool
}

func newPackets(conn *net.UDPConn) (*packets, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &packets{UDPConn: conn, raw: raw}
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		p.any = local.IP == nil || local.IP.IsUnspecified()
	}
	if !p.any {
		return p, nil
	}
	err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	if err4 != nil && err6 != nil { // a socket is of one family or of both
		return nil, err4
	}
	return p, nil
}

// clientOf reads the address of a packet's sender.
func clientOf(name *unix.RawSockaddrInet6) netip.Addr {
	if name.Family == unix.AF_INET {
		// sockaddr_in has the address where sockaddr_in6 has the flow.
		flow := name.Flowinfo
		return netip.AddrFrom4(nativeBytes(flow))
	}
	return netip.AddrFrom16(name.Addr).Unmap()
}

// source makes of the control messages of a packet those of its reply, in
// place: the address that it was sent to becomes the one to send from. The
// route chooses the interface, but for link-local addresses.
func source(control []byte) {
	for rest := control; len(rest) > 0; {
		head, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return
		}
		switch {
		case head.Level == unix.IPPROTO_IP && head.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			clear(data[:4]) // the interface; the local address follows it
		case head.Level == unix.IPPROTO_IPV6 && head.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			if linkLocal := data[0] == 0xfe && data[1]&0xc0 == 0x80; !linkLocal {
				clear(data[16:20]) // the interface; the address is before it
			}
		}
		rest = next
	}
}
