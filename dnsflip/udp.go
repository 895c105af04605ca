package dnsflip

import (
	"net"

	"github.com/miekg/dns"
)

// serveUDP answers packets, one after another. Several may serve one socket.
func (s *Server) serveUDP(conn *net.UDPConn) {
	packet := make([]byte, dns.MaxMsgSize)
	for {
		n, session, err := dns.ReadFromSessionUDP(conn, packet)
		if err != nil {
			if !s.again(udp, err) {
				return
			}
			continue
		}
		reply := s.respond(packet[:n], udp)
		if reply == nil {
			continue
		}
		if _, err := dns.WriteToSessionUDP(conn, reply, session); err != nil {
			s.cfg.Log.Debug("DNS reply not sent", "transport", udp, "client", session.RemoteAddr(), "error", err)
		}
	}
}
