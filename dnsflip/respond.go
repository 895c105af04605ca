package dnsflip

import (
	"math/rand/v2"

	"github.com/miekg/dns"
)

// respond returns the reply to a packet, nil if it deserves none: because it
// is a reply itself, or too short to be replied to. Everything else gets one
// (RFC 8906).
func (s *Server) respond(packet []byte, transport string) []byte {
	if len(packet) < headerSize {
		return nil
	}
	query := new(dns.Msg)
	if err := query.Unpack(packet); err != nil {
		query.Question, query.Extra = nil, nil // they may be half read
	}
	if query.Response {
		return nil
	}
	limit := dns.MaxMsgSize
	if transport == udp {
		limit = udpLimit(query)
	}
	snap := s.current.Load()
	if snap.view == nil {
		s.noView.Do(func() {
			s.cfg.Log.Warn("DNS server has no view yet and answers SERVFAIL", "file", s.cfg.File)
		})
	}
	reply := answer(snap, query, limit, rand.New(source(s.cfg.Rand)))
	out, err := reply.Pack()
	if err != nil {
		s.cfg.Log.Error("DNS reply can't be packed", "question", reply.Question, "error", err)
		reply = &dns.Msg{MsgHdr: reply.MsgHdr}
		reply.Authoritative, reply.Rcode = false, dns.RcodeServerFailure
		if out, err = reply.Pack(); err != nil {
			return nil
		}
	}
	s.metrics.count(transport, reply)
	return out
}

// The transports.
const (
	udp = "udp"
	tcp = "tcp"
)

// headerSize is the length of a message's header, RFC 1035 section 4.1.1.
const headerSize = 12

// source makes a function a rand.Source.
type source func() uint64

// Uint64 implements rand.Source.
func (f source) Uint64() uint64 { return f() }
