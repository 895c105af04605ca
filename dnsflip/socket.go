package dnsflip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
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

// socket is one address, by UDP and TCP.
type socket struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

// bind opens both transports on one address. With port 0, the port that is
// free for UDP may be taken for TCP; then it looks for another one.
func bind(ctx context.Context, addr string) (*socket, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("listen address %q must be host:port: %w", addr, err)
	}
	for try := 1; ; try++ {
		sock, err := bindBoth(ctx, host, port)
		if err == nil || port != "0" || try == bindTries || !errors.Is(err, syscall.EADDRINUSE) {
			return sock, err
		}
	}
}

func bindBoth(ctx context.Context, host, port string) (*socket, error) {
	var lc net.ListenConfig
	packets, err := lc.ListenPacket(ctx, "udp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	conn, ok := packets.(*net.UDPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen on %s: not a UDP socket", packets.LocalAddr()), packets.Close())
	}
	if err := prepare(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare UDP socket %s: %w", conn.LocalAddr(), err), conn.Close())
	}
	if a, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		port = strconv.Itoa(a.Port)
	}
	l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	listener, ok := l.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen on %s: not a TCP socket", l.Addr()), l.Close(), conn.Close())
	}
	return &socket{udp: conn, tcp: listener}, nil
}

// prepare sizes the buffers, as far as the system allows, and asks for the
// address that a packet was sent to: on a machine with several, the reply
// must come from that one.
func prepare(conn *net.UDPConn) error {
	if err := errors.Join(conn.SetReadBuffer(udpBuffer), conn.SetWriteBuffer(udpBuffer)); err != nil {
		return err
	}
	err4 := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	err6 := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	if err4 != nil && err6 != nil { // a socket is of one family or of both
		return errors.Join(err4, err6)
	}
	return nil
}

func (k *socket) addr() string { return k.udp.LocalAddr().String() }

func (k *socket) close() error { return errors.Join(k.udp.Close(), k.tcp.Close()) }

// serve answers on a socket until it is closed.
func (s *Server) serve(k *socket) {
	for range runtime.GOMAXPROCS(0) {
		s.serving.Go(func() { s.serveUDP(k.udp) })
	}
	s.serving.Go(func() { s.serveTCP(k.tcp) })
}

// again tells, after an error of a socket and a pause, whether to go on.
func (s *Server) again(transport string, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	s.cfg.Log.Warn("DNS socket failed; going on", "transport", transport, "error", err)
	select {
	case <-s.done:
		return false
	case <-time.After(errorPause):
		return true
	}
}
