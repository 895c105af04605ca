package dnsflip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// udpBuffer holds a burst of queries: with the usual default of 208 KiB
	// one of 256 packets loses some.
	udpBuffer = 4 << 20
	// bindTries is how often a free port for both transports is looked for.
	bindTries = 16
	// errorPause keeps a socket that only gives errors from using up a core.
	errorPause = 50 * time.Millisecond
)

// socket is one address, by UDP and TCP. Either may be missing where sockets
// were inherited.
type socket struct {
	udp []*packets // one a core, on the same address
	tcp []*net.TCPListener
}

// bind opens both transports on one address. With port 0, the port that is
// free for TCP may be taken for UDP; then it looks for another one.
func bind(ctx context.Context, addr string, loops int) (*socket, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q must be host:port: %w", addr, err)
	}
	for try := 1; ; try++ {
		k, err := bindBoth(ctx, host, port, loops)
		if err == nil || port != "0" || try == bindTries || !errors.Is(err, syscall.EADDRINUSE) {
			return k, err
		}
	}
}

// bindBoth opens TCP first: that socket is exclusive, and so guards the UDP
// ones, which share their port with whoever of this user asks for it.
func bindBoth(ctx context.Context, host, port string, loops int) (_ *socket, err error) {
	k := &socket{}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.close())
		}
	}()
	// What is asked to listen on 0.0.0.0 must not listen on [::] also.
	family := ""
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
		family = "4"
	} else if err == nil {
		family = "6"
	}
	var exclusive net.ListenConfig
	l, err := exclusive.Listen(ctx, "tcp"+family, net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	if err := k.addListener(l); err != nil {
		return nil, err
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		port = strconv.Itoa(a.Port)
	}
	shared := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var option error
		err := raw.Control(func(fd uintptr) {
			option = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		return errors.Join(err, option)
	}}
	for range loops {
		conn, err := shared.ListenPacket(ctx, "udp"+family, net.JoinHostPort(host, port))
		if err != nil {
			return nil, err
		}
		if err := k.addPackets(conn); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// addListener takes over a TCP socket.
func (k *socket) addListener(l net.Listener) error {
	listener, ok := l.(*net.TCPListener)
	if !ok {
		return errors.Join(fmt.Errorf("listen on %s: not a TCP socket", l.Addr()), l.Close())
	}
	k.tcp = append(k.tcp, listener)
	return nil
}

// addPackets takes over a UDP socket and prepares it.
func (k *socket) addPackets(c net.PacketConn) error {
	conn, ok := c.(*net.UDPConn)
	if !ok {
		return errors.Join(fmt.Errorf("listen on %s: not a UDP socket", c.LocalAddr()), c.Close())
	}
	p, err := newPackets(conn)
	if err == nil {
		err = tune(conn)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("prepare UDP socket %s: %w", conn.LocalAddr(), err), conn.Close())
	}
	k.udp = append(k.udp, p)
	return nil
}

// tune sizes the receive buffer, beyond the system's limit if the process may,
// else up to it, and keeps replies from being fragmented on the word of an ICMP
// message, which anybody can forge (RFC 9715 section 3.1). They are short enough.
func tune(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var forced, omit4, omit6 error
	if err := raw.Control(func(fd uintptr) {
		forced = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, udpBuffer)
		omit4 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
		omit6 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
	}); err != nil {
		return err
	}
	if omit4 != nil && omit6 != nil { // a socket is of one family or of both
		return omit4
	}
	if forced == nil {
		return nil
	}
	return conn.SetReadBuffer(udpBuffer)
}

func (k *socket) addr() string {
	if len(k.udp) > 0 {
		return k.udp[0].LocalAddr().String()
	}
	return k.tcp[0].Addr().String()
}

func (k *socket) close() error {
	var errs []error
	for _, p := range k.udp {
		errs = append(errs, p.Close())
	}
	for _, l := range k.tcp {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// serve answers on a socket until it is closed.
func (s *Server) serve(k *socket) {
	for _, p := range k.udp {
		// An inherited socket is one for all cores.
		loops := max(1, s.cfg.Loops/len(k.udp))
		for range loops {
			s.serving.Go(func() { s.serveUDP(p) })
		}
	}
	for _, l := range k.tcp {
		s.serving.Go(func() { s.serveTCP(l) })
	}
}

// again tells, after an error of a socket and a pause, whether to go on.
func (s *Server) again(via transport, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	s.cfg.Log.Warn("DNS socket failed; going on", "transport", via, "error", err)
	select {
	case <-s.done:
		return false
	case <-time.After(errorPause):
		return true
	}
}
