package dnsflip

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

func (s *Server) serveTCP(l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			if !s.again(tcp, err) {
				return
			}
			continue
		}
		if !s.conns.add(conn) {
			s.cfg.Log.Debug("too many TCP connections", "client", conn.RemoteAddr(), "open", s.conns.open())
			conn.Close() //nolint:errcheck // nothing was said on it
			continue
		}
		s.serving.Go(func() {
			defer s.conns.remove(conn)
			if err := s.converse(conn); !errors.Is(err, io.EOF) {
				s.cfg.Log.Debug("DNS connection ended", "transport", tcp, "client", conn.RemoteAddr(), "error", err)
			}
		})
	}
}

// converse answers the queries of a connection in their order. A client may
// send the next ones before it has the replies (RFC 7766 section 6.2.1.1). It
// returns why the conversation ended, io.EOF if the client has hung up.
func (s *Server) converse(conn net.Conn) error {
	w := s.newWorker(s.tcpCounts)
	w.conn = conn
	var client netip.Addr
	if a, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		client = a.AddrPort().Addr().Unmap()
	}
	var length [2]byte
	packet := make([]byte, 0, dns.MinMsgSize)
	for {
		idle, patience := s.conns.patience()
		if err := conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return err
		}
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(length[:]))
		if n > cap(packet) {
			packet = make([]byte, n)
		}
		packet = packet[:n]
		if _, err := io.ReadFull(conn, packet); err != nil {
			return err
		}
		// The length and the message in one segment, RFC 7766 section 8.
		reply := w.respond(packet, client, tcp)
		if w.broken != nil {
			return w.broken
		}
		if len(reply) == 0 {
			return errors.New("client sent no query")
		}
		// A transfer may have taken longer than a message.
		if err := conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		message := binary.BigEndian.AppendUint16(make([]byte, 0, len(length)+len(reply)), uint16(len(reply)))
		if _, err := conn.Write(append(message, reply...)); err != nil {
			return err
		}
	}
}
