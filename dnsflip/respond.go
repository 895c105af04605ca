package dnsflip

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"switchd/dnsflip/cookie"
	"switchd/dnsflip/rrl"
	"switchd/dnsflip/tsig"
	"switchd/dnssec"
)

// worker answers messages one after another, without taking any memory for
// the usual ones. Each loop has its own.
type worker struct {
	server *Server
	query  query
	counts *counters
	seed   maphash.Seed
	reply  []byte
	out    reply // of the query
	// conn is the connection that a transfer goes to; nil by UDP. broken is
	// why it can't be used any more.
	conn   net.Conn
	broken error
}

func (s *Server) newWorker(counts *counters) *worker {
	return &worker{server: s, counts: counts, seed: s.seed, reply: make([]byte, 0, maxUDP)}
}

// respond returns the reply to a message, nil if it deserves none. The reply
// is good until the next one. Everything but replies and fragments of a header
// gets one (RFC 8906), if rates are not limited.
func (w *worker) respond(packet []byte, client netip.Addr, via transport) []byte {
	q := &w.query
	if !q.parse(packet) {
		w.counts.ignored.Add(1)
		return nil
	}
	snap := w.server.current.Load()
	if q.tsig {
		return w.respondSigned(snap, client, via)
	}
	w.out = reply{client: client, via: via, now: time.Now()}
	w.reply = w.answer(w.reply[:0], snap, &w.out)
	return w.reply
}

// answer appends the reply to the query to dst; nothing if it is to be dropped.
func (w *worker) answer(dst []byte, snap *snapshot, out *reply) []byte {
	q := &w.query
	if q.hasCookie {
		out.cookie = w.server.cookies.Check(q.cookie, out.client, out.now)
	}
	if rcode, done := w.refuse(snap, out); done {
		return w.finish(dst, nil, rcode, out)
	}
	if q.qclass == dns.ClassCHAOS {
		return w.finish(dst, w.server.chaos, dns.RcodeSuccess, out)
	}
	z := snap.find(q.name(), q.qtype)
	if z == nil {
		return w.finish(dst, nil, dns.RcodeRefused, out)
	}
	if q.transfer() {
		return w.transfer(dst, z, out)
	}
	p, err := z.answer(q, w.server.cfg.Rand, out.now)
	if errors.Is(err, dnssec.ErrBusy) && out.via == udp {
		out.truncate = true // by TCP the client proves where it is
		return w.finish(dst, nil, dns.RcodeSuccess, out)
	}
	if err != nil {
		w.server.troubles.Do(func() {
			w.server.cfg.Log.Error("DNS query can't be answered", "type", dns.Type(q.qtype), "zone", z.zone.Origin(), "error", err)
		})
		return w.finish(dst, nil, dns.RcodeServerFailure, out)
	}
	out.serial, out.compact = z.serial, q.co && q.do && z.signer != nil
	return w.finish(dst, p, p.rcode, out)
}

// refuse tells the rcode of what isn't a question that could be answered.
func (w *worker) refuse(snap *snapshot, out *reply) (rcode int, done bool) {
	q := &w.query
	switch {
	case q.opcode == dns.OpcodeNotify, q.opcode == dns.OpcodeUpdate:
		return dns.RcodeRefused, true // this is the primary, and Consul its only writer
	case q.opcode != dns.OpcodeQuery:
		return dns.RcodeNotImplemented, true
	case q.malformed:
		return dns.RcodeFormatError, true
	case q.edns > 0 && q.version > 0: // RFC 6891 section 6.1.3
		return dns.RcodeBadVers, true
	case out.cookie == cookie.Malformed: // RFC 7873 section 5.2.2
		return dns.RcodeFormatError, true
	case q.questions == 0 && out.cookie != cookie.None: // asks for a cookie only, RFC 7873 section 5.4
		return dns.RcodeSuccess, true
	case len(q.question) == 0: // RFC 9619
		return dns.RcodeFormatError, true
	case q.qtype == dns.TypeNXNAME: // RFC 9824 section 3.5
		return dns.RcodeFormatError, true
	case q.qclass == dns.ClassCHAOS && w.server.chaos != nil && q.chaosName():
		return dns.RcodeSuccess, false
	case q.qclass != dns.ClassINET:
		return dns.RcodeRefused, true
	case len(snap.zones) == 0:
		w.server.noView.Do(func() {
			w.server.cfg.Log.Warn("DNS server knows no zone yet and answers SERVFAIL", "file", w.server.cfg.File)
		})
		return dns.RcodeServerFailure, true
	}
	return 0, false
}

// reply is what a reply needs beside its answer.
type reply struct {
	client netip.Addr
	via    transport
	now    time.Time
	cookie cookie.State
	serial uint32
	// compact says that CO was heeded, RFC 9824 section 5.1.
	compact bool
	// truncate sends the client to TCP.
	truncate bool
	// signed signs the reply, which needs the reserved room behind it; nil for
	// a query without TSIG.
	signed   *tsig.Transaction
	reserved int
}

// finish appends a reply. p is the answer, nil for one that has an rcode only.
func (w *worker) finish(dst []byte, p *packed, rcode int, out *reply) []byte {
	q := &w.query
	limit := dns.MaxMsgSize
	if out.via == udp {
		limit = min(q.size, maxUDP)
		switch w.limit(p, rcode, out) {
		case rrl.Drop:
			w.counts.dropped.Add(1)
			return dst
		case rrl.Slip:
			w.counts.slipped.Add(1)
			out.truncate = true
		case rrl.Send:
		}
	}
	at := len(dst)
	switch {
	case out.truncate:
		dst = q.header(dst, rcode, flagTC)
	case p != nil:
		dst = p.emit(dst, q, out.serial, limit-w.optionSize(out)-out.reserved, w.turn(p))
	default:
		dst = q.header(dst, rcode, 0)
	}
	if q.edns > 0 {
		dst = w.option(dst, at, rcode, out)
	}
	if dst[at+2]&(flagTC>>8) != 0 {
		w.counts.truncated.Add(1)
	}
	w.counts.count(out.via, q, rcode)
	if w.server.sampled() {
		w.server.logQuery(q, rcode, len(dst)-at, out)
	}
	return dst
}

// turn is which of several addresses comes first.
func (w *worker) turn(p *packed) uint64 {
	if p.addresses.n == 0 {
		return 0
	}
	return w.server.cfg.Rand()
}

// limit asks whether the rates of replies allow this one.
func (w *worker) limit(p *packed, rcode int, out *reply) rrl.Verdict {
	limiter := w.server.limiter
	if limiter == nil || out.cookie == cookie.Valid {
		return rrl.Send
	}
	kind := rrl.Error
	switch {
	case p == nil:
	case rcode == dns.RcodeNameError:
		kind = rrl.NXDomain
	case p.counts[0] > 0:
		kind = rrl.Answer
	case p.aa:
		kind = rrl.NoData
	default:
		kind = rrl.Referral
	}
	var hash uint32
	if kind == rrl.Answer { // the others are counted together, whatever they are asked for
		// By the node that answers: names below a wildcard are free to invent.
		hash = uint32(maphash.String(w.seed, string(p.owner)))
	}
	return limiter.Allow(out.client, kind, hash, int64(out.now.Sub(w.server.began)))
}

// optionSize is the length of the OPT record that the reply will have.
func (w *worker) optionSize(out *reply) int {
	q := &w.query
	if q.edns == 0 {
		return 0
	}
	n := 11
	if q.nsid && w.server.cfg.ID != "" {
		n += 4 + len(w.server.cfg.ID)
	}
	if out.cookie >= cookie.ClientOnly {
		n += 4 + cookie.Size
	}
	if q.keepalive && out.via == tcp {
		n += 4 + 2
	}
	return n
}

// option appends the OPT record: RFC 6891 section 6.1.2. It has DO as the
// client has set it, and of the options those that were asked for: the
// server's id (RFC 5001), a cookie (RFC 7873) and for how long a connection
// may be idle (RFC 7828). All others are unknown here and ignored.
func (w *worker) option(dst []byte, at, rcode int, out *reply) []byte {
	q := &w.query
	binary.BigEndian.PutUint16(dst[at+10:], binary.BigEndian.Uint16(dst[at+10:])+1)
	var flags uint16
	if q.do {
		flags |= flagDO
	}
	if out.compact {
		flags |= flagCO
	}
	options := w.optionSize(out) - 11
	dst = append(dst, 0, 0, byte(dns.TypeOPT), maxUDP>>8, maxUDP&0xff, byte(rcode>>4), 0, byte(flags>>8), byte(flags), byte(options>>8), byte(options))
	if id := w.server.cfg.ID; q.nsid && id != "" {
		dst = append(dst, 0, dns.EDNS0NSID, byte(len(id)>>8), byte(len(id)))
		dst = append(dst, id...)
	}
	if out.cookie >= cookie.ClientOnly {
		dst = append(dst, 0, dns.EDNS0COOKIE, 0, cookie.Size)
		dst = w.server.cookies.Append(dst, q.cookie, out.client, out.now)
	}
	if q.keepalive && out.via == tcp {
		patience, _ := w.server.conns.patience()
		idle := uint16(patience / (100 * time.Millisecond))
		dst = append(dst, 0, dns.EDNS0TCPKEEPALIVE, 0, 2, byte(idle>>8), byte(idle))
	}
	return dst
}

// maxUDP is the largest reply that is sent by UDP, and the size that this
// server says it takes: it fits one packet on every path that matters, so it
// is never fragmented (DNS Flag Day 2020).
const maxUDP = 1232

// transport is how a query came.
type transport int

const (
	udp transport = iota
	tcp
)

// String names the transport as metrics and logs do.
func (t transport) String() string {
	if t == tcp {
		return "tcp"
	}
	return "udp"
}
