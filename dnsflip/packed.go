package dnsflip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"switchd/dnssec"
	"switchd/zone"
)

// packed is an answer in wire form, ready to be put after any question that
// it fits. It never changes.
type packed struct {
	// stamp says for how long it holds, see served.
	stamp uint64
	span  dnssec.Span // in which the signatures hold; none without
	// reusable is false where the answer is for this one reply only.
	reusable bool
	// owner is the node that it is from, by which rates are counted.
	owner zone.Name
	rcode int
	aa    bool
	// body are the three sections, without an OPT record; what begins at
	// optional may be left out where there is no room.
	body     []byte
	optional int
	counts   [3]uint16
	required uint16 // additional records before optional
	// base is the length of the name that it was packed behind, and pointers
	// are the offsets in body of the compressed names. Behind a name of
	// another length all of them move by the difference, since they lead into
	// the body, or into the end that both names have in common.
	base     int
	pointers []uint16
	// serial is the offset in body of the SOA's serial, or none: it is written
	// anew each time, so that answers outlive the serial that they had.
	serial int
	// addresses are a set of equals, of which another one comes first each time.
	addresses run
}

// none is the offset of what isn't there.
const none = -1

// run is a row of records of one length.
type run struct {
	at, size, n int
	before      int // records in the section before it
}

// maxKept bounds the answers that are kept.
const maxKept = 4096

// reach is which other names an answer may be used behind than the one that
// it was packed behind.
type reach int

const (
	thisName reach = iota
	namesBelow
	anyName // those of a wildcard: all owners are the name that is asked for
)

// pack makes an answer of a result, for a name.
func pack(r *zone.Result, name zone.Name, to reach) (*packed, error) {
	question := name.String()
	if len(r.Answer) > 0 {
		r.Answer = asAsked(r.Answer, question)
	}
	msg := dns.Msg{
		MsgHdr:   dns.MsgHdr{Response: true, Rcode: r.Rcode},
		Compress: true,
		Question: []dns.Question{{Name: question, Qtype: dns.TypeA, Qclass: dns.ClassINET}},
		Answer:   r.Answer, Ns: r.Authority, Extra: r.Additional,
	}
	wire, err := msg.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack the answer for %s: %w", question, err)
	}
	start := headerSize + len(name) + 4
	p := &packed{
		rcode: r.Rcode, aa: r.Authoritative, base: len(name), serial: none,
		body:   wire[start:len(wire):len(wire)],
		counts: [3]uint16{uint16(len(r.Answer)), uint16(len(r.Authority)), uint16(len(r.Additional))},
	}
	p.optional, p.reusable = len(p.body), len(p.body) <= maxKept
	return p, p.index(wire, start, to, r.Optional)
}

// asAsked writes the owner of records as the question does, whatever the case
// that the zone has it in: so it is compressed, and has the client's case.
func asAsked(rrs []dns.RR, question string) []dns.RR {
	var copied []dns.RR
	for i, rr := range rrs {
		if owner := rr.Header().Name; owner == question || !strings.EqualFold(owner, question) {
			continue
		}
		if copied == nil {
			copied = slices.Clone(rrs)
		}
		copied[i] = dns.Copy(rr)
		copied[i].Header().Name = question
	}
	if copied == nil {
		return rrs
	}
	return copied
}

// index finds what is written anew with each reply.
func (p *packed) index(wire []byte, start int, to reach, optional bool) error {
	w := walker{packet: wire, at: start}
	answers := int(p.counts[0])
	for i := range answers + int(p.counts[1]) + int(p.counts[2]) {
		begin := w.at
		if i == answers+int(p.counts[1]) && optional {
			p.optional = begin - start
		}
		pointers := len(w.pointers)
		rrtype, ok := w.next()
		if !ok {
			return errors.New("pack the answer: the message can't be read back")
		}
		if to == anyName && !onlyOwner(w.pointers[pointers:], begin, i < answers) {
			p.reusable = false
		}
		switch {
		case rrtype == dns.TypeSOA:
			const fields = 5 * 4 // the five numbers at the end, the serial first
			p.serial = w.at - fields - start
		case i < answers && (rrtype == dns.TypeA || rrtype == dns.TypeAAAA):
			p.addresses = p.addresses.extend(wire, start, begin, w.at, i)
		}
	}
	if !optional {
		p.required = p.counts[2]
	}
	if to == namesBelow {
		for _, at := range w.pointers {
			p.pointers = append(p.pointers, uint16(at-start))
		}
	}
	if p.addresses.n < 2 {
		p.addresses = run{}
	}
	return nil
}

// onlyOwner tells whether the compressed names of a record are none but its
// owner, as the record of a wildcard has it. Another name that happens to be
// the one that was asked for would become the next client's.
func onlyOwner(pointers []int, begin int, answer bool) bool {
	return len(pointers) == 0 || answer && len(pointers) == 1 && pointers[0] == begin
}

// extend adds a record to the row if it is of one set with the last one.
func (r run) extend(wire []byte, start, begin, end, before int) run {
	size := end - begin
	last := start + r.at + (r.n-1)*r.size
	// Owner, type and class; a name that isn't compressed differs.
	if r.n > 0 && r.size == size && last+size == begin && string(wire[last:last+6]) == string(wire[begin:begin+6]) {
		r.n++
		return r
	}
	if r.n > 1 {
		return r // the first set it is
	}
	return run{at: begin - start, size: size, n: 1, before: before}
}

// emit writes a reply to a query. limit is the most bytes it may have without
// its OPT record. A reply that is longer has TC set (RFC 2181 section 9), and
// as many of its addresses as there is room for, of use to a client that
// can't come by TCP. first says which address comes first.
func (p *packed) emit(dst []byte, q *query, serial uint32, limit int, first uint64) []byte {
	body, additional := p.body, p.counts[2]
	head := headerSize + len(q.question)
	if head+len(body) > limit && p.optional < len(body) {
		body, additional = body[:p.optional], p.required
	}
	var flags uint16
	if p.aa {
		flags = flagAA
	}
	addresses := p.addresses
	if head+len(body) > limit {
		room := limit - head - addresses.at
		if addresses.n == 0 || room < addresses.size {
			return q.header(dst, p.rcode, flags|flagTC)
		}
		shown := min(room/addresses.size, addresses.n)
		return p.part(dst, q, flags|flagTC, uint16(addresses.before+shown), shown, first)
	}
	at := len(dst)
	dst = q.header(dst, p.rcode, flags)
	setCounts(dst[at:], p.counts[0], p.counts[1], additional)
	start := len(dst)
	if r := p.addresses; r.n > 0 {
		dst = append(dst, body[:r.at]...)
		dst = r.turned(dst, body, r.n, first)
		dst = append(dst, body[r.at+r.n*r.size:]...)
	} else {
		dst = append(dst, body...)
	}
	p.adjust(dst, start, q, serial)
	return dst
}

// turned appends some of the records of a row, another one first each time.
func (r run) turned(dst, body []byte, shown int, first uint64) []byte {
	begin := int(first % uint64(r.n))
	tail := min(shown, r.n-begin)
	dst = append(dst, body[r.at+begin*r.size:r.at+(begin+tail)*r.size]...)
	return append(dst, body[r.at:r.at+(shown-tail)*r.size]...)
}

// part writes what there is room for of an answer that is too long.
func (p *packed) part(dst []byte, q *query, flags, answers uint16, shown int, first uint64) []byte {
	at := len(dst)
	dst = q.header(dst, p.rcode, flags)
	setCounts(dst[at:], answers, 0, 0)
	start := len(dst)
	dst = append(dst, p.body[:p.addresses.at]...)
	dst = p.addresses.turned(dst, p.body, shown, first)
	p.adjust(dst, start, q, 0)
	return dst
}

func setCounts(header []byte, answer, authority, additional uint16) {
	binary.BigEndian.PutUint16(header[6:], answer)
	binary.BigEndian.PutUint16(header[8:], authority)
	binary.BigEndian.PutUint16(header[10:], additional)
}

// adjust writes what depends on the query and the moment into a body that
// begins at start.
func (p *packed) adjust(dst []byte, start int, q *query, serial uint32) {
	if moved := q.length - p.base; moved != 0 {
		for _, at := range p.pointers {
			if start+int(at) >= len(dst) {
				break
			}
			old := binary.BigEndian.Uint16(dst[start+int(at):])
			binary.BigEndian.PutUint16(dst[start+int(at):], old+uint16(moved))
		}
	}
	if p.serial != none && start+p.serial < len(dst) {
		binary.BigEndian.PutUint32(dst[start+p.serial:], serial)
	}
}

// header writes header and question of a reply without any record. AD, CD,
// RA and Z are clear in every reply, RFC 8906 section 3; the question is the
// client's, byte by byte, as its 0x20 bits want it.
func (q *query) header(dst []byte, rcode int, flags uint16) []byte {
	flags |= flagQR | uint16(q.opcode)<<11 | uint16(rcode&0xf)
	if q.rd {
		flags |= flagRD
	}
	questions := byte(0)
	if len(q.question) > 0 {
		questions = 1
	}
	dst = append(dst, byte(q.id>>8), byte(q.id), byte(flags>>8), byte(flags), 0, questions, 0, 0, 0, 0, 0, 0)
	return append(dst, q.question...)
}

// walker reads the records of a well-formed message one after another, and
// notes where its names are compressed.
type walker struct {
	packet   []byte
	at       int
	pointers []int
}

// next moves over a record and tells its type.
func (w *walker) next() (rrtype uint16, ok bool) {
	if !w.name() || w.at+10 > len(w.packet) {
		return 0, false
	}
	rrtype = binary.BigEndian.Uint16(w.packet[w.at:])
	data := w.at + 10
	end := data + int(binary.BigEndian.Uint16(w.packet[w.at+8:]))
	if end > len(w.packet) {
		return 0, false
	}
	w.at = data
	for range names(rrtype, w) {
		if w.at >= end || !w.name() {
			return 0, false
		}
	}
	w.at = end
	return rrtype, true
}

// names tells how many names the data of a type begins with that may be
// compressed: those of RFC 1035 only, RFC 3597 section 4. It moves over what
// stands before them.
func names(rrtype uint16, w *walker) int {
	switch rrtype {
	case dns.TypeNS, dns.TypeMD, dns.TypeMF, dns.TypeCNAME, dns.TypeMB, dns.TypeMG, dns.TypeMR, dns.TypePTR:
		return 1
	case dns.TypeSOA, dns.TypeMINFO:
		return 2
	case dns.TypeMX:
		w.at += 2
		return 1
	default:
		return 0
	}
}

// name moves over a name.
func (w *walker) name() bool {
	end, compressed, ok := skipName(w.packet, w.at)
	if compressed {
		w.pointers = append(w.pointers, end-2)
	}
	w.at = end
	return ok
}
