package dnsflip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"switchd/zone"
)

const (
	// maxTransfers is how many may go on at once.
	maxTransfers = 16
	// transferMessage bounds the records of a message, before their names are
	// compressed: no name is further behind than can be pointed to, RFC 1035
	// section 4.1.4. A longer record has a message of its own.
	transferMessage = 16 << 10
	// maxMessage leaves room for the OPT and TSIG records.
	maxMessage = dns.MaxMsgSize - 1024
	// transferPatience is how long a client may take for a message, and
	// transferTime for all of them.
	transferPatience = 10 * time.Second
	transferTime     = 10 * time.Minute
)

// transfers sends zones to secondaries: AXFR by RFC 5936, IXFR by RFC 1995.
type transfers struct {
	log      *slog.Logger
	slots    chan struct{}
	refusals rate.Sometimes // of which it is told; clients can't fill the log
	total    *prometheus.CounterVec
}

func newTransfers(log *slog.Logger) *transfers {
	return &transfers{
		log: log, slots: make(chan struct{}, maxTransfers), refusals: rate.Sometimes{First: 10, Interval: time.Second},
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchd_dns_transfers_total",
			Help: "Queries of secondaries for a zone, by what they got: axfr, ixfr, soa (nothing new, or to be asked for by TCP), refused, busy, failed.",
		}, []string{"result"}),
	}
}

// request is a query for a zone.
type request struct {
	query  *query
	client netip.Addr
	via    transport
	key    string                      // name of the TSIG key that it is signed with; may be empty
	option func(message []byte) []byte // appends the OPT record, if the query has one
	send   func(message []byte) error  // sends all messages but the last one; nil by UDP
}

// serve answers the query for a zone. It sends all messages of the answer but
// the last one, which it returns. If the rcode isn't NOERROR there is none,
// and it is the answer. An error means that the client can't be sent any more.
func (t *transfers) serve(r *request, z *served) (last []byte, rcode int, err error) {
	kind, records, rcode, err := r.plan(z)
	if err != nil {
		return nil, t.refuse(r, z, "refused", rcode, err), nil
	}
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	default:
		return nil, t.refuse(r, z, "busy", dns.RcodeServerFailure, fmt.Errorf("%d transfers are going on", maxTransfers)), nil
	}
	began := time.Now()
	s := sender{request: r, end: began.Add(transferTime)}
	if last, err = s.all(records); err != nil {
		t.total.WithLabelValues("failed").Inc()
		return nil, dns.RcodeSuccess, fmt.Errorf("send zone %s after %d records: %w", z.zone.Origin(), s.records, err)
	}
	t.total.WithLabelValues(kind).Inc()
	if kind != "soa" {
		t.log.Info("zone transferred", "zone", z.zone.Origin(), "client", r.client, "kind", kind,
			"serial", z.zone.Serial(), "records", s.records, "bytes", s.bytes, "duration", time.Since(began))
	}
	return last, dns.RcodeSuccess, nil
}

// refuse tells why a client gets no zone.
func (t *transfers) refuse(r *request, z *served, result string, rcode int, cause error) int {
	t.total.WithLabelValues(result).Inc()
	t.refusals.Do(func() {
		t.log.Warn("zone transfer refused", "zone", z.zone.Origin(), "client", r.client, "key", r.key, "rcode", rcodeName(rcode), "error", cause)
	})
	return rcode
}

var (
	errNotAllowed = errors.New(`neither the client's address nor its key may transfer the zone: name them in the zone's "secondary" or "transfer"`)
	errNotApex    = errors.New("the name that is asked for isn't that of the zone")
	errSigned     = errors.New("the zone is signed online, and its answers to what doesn't exist can't be copied: serve it by replicas of switchd")
	errUDP        = errors.New("AXFR is for TCP: RFC 5936 section 4.2")
	errNoSerial   = errors.New("IXFR needs a SOA record in its authority section: RFC 1995 section 3")
)

// plan decides what a client gets. With an error it is the rcode.
func (r *request) plan(z *served) (kind string, records iter.Seq[dns.RR], rcode int, err error) {
	switch {
	case !z.peers.allow(r.client, r.key):
		return "", nil, dns.RcodeRefused, errNotAllowed
	case string(r.query.name()) != string(z.zone.Origin()):
		return "", nil, dns.RcodeNotAuth, errNotApex
	case z.signer != nil:
		return "", nil, dns.RcodeRefused, errSigned
	case r.query.qtype == dns.TypeAXFR && r.via == udp:
		return "", nil, dns.RcodeFormatError, errUDP
	case r.query.qtype == dns.TypeAXFR:
		return "axfr", whole(z.zone), dns.RcodeSuccess, nil
	}
	serial, ok := ixfrSerial(r.query.packet)
	if !ok {
		return "", nil, dns.RcodeFormatError, errNoSerial
	}
	// By UDP a newer serial has the client come again by TCP, section 2: a
	// spoofed query shall not set loads of records on somebody.
	if r.via == udp || !older(serial, z.zone.Serial()) {
		return "soa", func(yield func(dns.RR) bool) { yield(z.zone.SOA()) }, dns.RcodeSuccess, nil
	}
	if old := z.history.since(serial); old != nil {
		return "ixfr", incremental(old, z.zone), dns.RcodeSuccess, nil
	}
	return "axfr", whole(z.zone), dns.RcodeSuccess, nil
}

// whole are all records of a zone, between two copies of its SOA record:
// RFC 5936 section 2.2.
func whole(z *zone.Zone) iter.Seq[dns.RR] {
	return func(yield func(dns.RR) bool) {
		for rr := range z.Records() {
			if !yield(rr) {
				return
			}
		}
		yield(z.SOA())
	}
}

// ixfrSerial returns the serial of the version that a secondary has.
func ixfrSerial(packet []byte) (serial uint32, ok bool) {
	var query dns.Msg
	if err := query.Unpack(packet); err != nil || len(query.Ns) != 1 {
		return 0, false
	}
	soa, ok := query.Ns[0].(*dns.SOA)
	if !ok {
		return 0, false
	}
	return soa.Serial, true
}

// sender packs records into messages.
type sender struct {
	*request
	end     time.Time // when it must be over
	message dns.Msg
	size    int // of the message's records, before their names are compressed
	buf     []byte

	records, bytes int // in all
}

// all sends records, as many in each message as there is room for, and
// returns the last message.
func (s *sender) all(records iter.Seq[dns.RR]) (last []byte, err error) {
	s.buf = make([]byte, dns.MaxMsgSize)
	s.message.Compress = true
	// The question as the client has written it: names of records that are
	// written in another way don't point there (RFC 5936 section 3.4).
	name, _, err := dns.UnpackDomainName(s.query.packet, headerSize)
	if err != nil {
		return nil, err
	}
	s.message.Question = []dns.Question{{Name: name, Qtype: s.query.qtype, Qclass: s.query.qclass}}
	for rr := range records {
		n := dns.Len(rr)
		if s.size+n > transferMessage && s.size > 0 {
			if time.Now().After(s.end) {
				return nil, fmt.Errorf("it has taken %s: %w", transferTime, os.ErrDeadlineExceeded)
			}
			message, err := s.pack()
			if err != nil {
				return nil, err
			}
			if err := s.send(message); err != nil {
				return nil, err
			}
		}
		s.message.Answer = append(s.message.Answer, rr)
		s.size += n
	}
	return s.pack()
}

// pack returns the message, and begins the next one. Each has the question, as
// RFC 5936 section 2.2.1 lets it, and an OPT record if the query has one.
func (s *sender) pack() ([]byte, error) {
	message, err := s.message.PackBuffer(s.buf)
	if err == nil && len(message) > maxMessage {
		err = fmt.Errorf("it would have %d bytes", len(message))
	}
	if err != nil {
		first := s.message.Answer[0].Header()
		return nil, fmt.Errorf("pack the message that begins with %s %s: %w", first.Name, dns.Type(first.Rrtype), err)
	}
	s.query.header(message[:0], dns.RcodeSuccess, flagAA) // and the question again
	binary.BigEndian.PutUint16(message[6:], uint16(len(s.message.Answer)))
	message = s.option(message)
	s.records += len(s.message.Answer)
	s.bytes += len(message)
	s.message.Answer, s.size = s.message.Answer[:0], 0
	return message, nil
}

// transfer answers the query for a zone. Of several messages only the last one
// is appended; the others have been sent then.
func (w *worker) transfer(dst []byte, z *served, out *reply) []byte {
	q := &w.query
	r := &request{query: q, client: out.client, via: out.via}
	if out.signed != nil && out.signed.Key() != nil {
		r.key = out.signed.Key().Name
	}
	r.option = func(message []byte) []byte {
		if q.edns == 0 {
			return message
		}
		return w.option(message, 0, dns.RcodeSuccess, out)
	}
	if out.via == tcp {
		write := streamTo(w.conn)
		r.send = func(message []byte) error {
			if out.signed != nil {
				message = out.signed.Sign(message, time.Now())
			}
			return write(message)
		}
	}
	last, rcode, err := w.server.transfers.serve(r, z)
	switch {
	case err != nil:
		w.broken = err
		return dst
	case rcode != dns.RcodeSuccess:
		return w.finish(dst, nil, rcode, out)
	}
	w.counts.count(out.via, q, rcode)
	return append(dst, last...)
}

// streamTo returns a function that sends messages over a connection, to a
// client that takes them in time.
func streamTo(conn net.Conn) func(message []byte) error {
	var frame []byte
	return func(message []byte) error {
		if err := conn.SetWriteDeadline(time.Now().Add(transferPatience)); err != nil {
			return err
		}
		// The length and the message in one segment, RFC 7766 section 8.
		frame = binary.BigEndian.AppendUint16(frame[:0], uint16(len(message)))
		frame = append(frame, message...)
		_, err := conn.Write(frame)
		return err
	}
}
