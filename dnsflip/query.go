package dnsflip

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// Of a message's header, RFC 1035 section 4.1.1.
const (
	headerSize = 12

	flagQR = 1 << 15
	flagAA = 1 << 10
	flagTC = 1 << 9
	flagRD = 1 << 8
)

// Of the flags in an OPT record, RFC 3225 section 3 and RFC 9824 section 3.5.
const (
	flagDO = 1 << 15
	flagCO = 1 << 14
)

// maxWireName is the length of the longest name, RFC 1035 section 2.3.4.
const maxWireName = 255

// query is a message from a client, as far as it matters for the reply. It
// points into the packet that was parsed and is used again for the next one.
type query struct {
	message
	lower [maxWireName]byte // the name, in canonical wire form
}

type message struct {
	packet []byte
	id     uint16
	opcode int
	rd     bool
	// malformed says that the message can't be understood. What was read
	// before the fault is of use for the reply.
	malformed bool

	questions int    // as the header counts them
	question  []byte // the section, verbatim; empty if there isn't exactly one
	length    int    // of the name asked for
	qtype     uint16
	qclass    uint16

	edns      int // OPT records
	size      int // what the client takes by UDP, 512 at least
	version   uint8
	do, co    bool
	nsid      bool
	keepalive bool
	cookie    []byte // the content of the option
	hasCookie bool

	tsig bool // the last record is a TSIG
}

// name is the name asked for, in canonical wire form.
func (q *query) name() []byte { return q.lower[:q.length] }

// transfer tells whether a zone is asked for.
func (q *query) transfer() bool {
	return q.opcode == dns.OpcodeQuery && len(q.question) > 0 && (q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR)
}

// parse reads a message. It is false for what gets no reply: a reply itself,
// or less than a header. Everything else gets one (RFC 8906). It allocates
// nothing and looks at each byte once, but for compressed names, of which it
// doesn't need to know more than their end.
func (q *query) parse(packet []byte) bool {
	if len(packet) < headerSize {
		return false
	}
	flags := binary.BigEndian.Uint16(packet[2:])
	if flags&flagQR != 0 {
		return false
	}
	q.message = message{
		packet: packet, id: binary.BigEndian.Uint16(packet), opcode: int(flags >> 11 & 0xf), rd: flags&flagRD != 0,
		questions: int(binary.BigEndian.Uint16(packet[4:])), size: dns.MinMsgSize,
	}
	q.malformed = !q.sections()
	return true
}

// sections reads what follows the header.
func (q *query) sections() bool {
	at := headerSize
	for i := range q.questions {
		end, ok := q.readQuestion(at, i == 0)
		if !ok {
			return false
		}
		at = end
	}
	if q.questions == 1 {
		q.question = q.packet[headerSize:at]
	}
	records := int(binary.BigEndian.Uint16(q.packet[6:])) + int(binary.BigEndian.Uint16(q.packet[8:]))
	additional := int(binary.BigEndian.Uint16(q.packet[10:]))
	for i := range records + additional {
		end, ok := q.readRecord(at, i >= records, i == records+additional-1)
		if !ok {
			return false
		}
		at = end
	}
	return true
}

// readQuestion reads the question at an offset, and keeps the first one.
func (q *query) readQuestion(at int, keep bool) (end int, ok bool) {
	// A name here could only point to itself, or into the header.
	start, length := at, 0
	for {
		if at >= len(q.packet) {
			return 0, false
		}
		n := int(q.packet[at])
		if n >= 64 || length+n+1 > maxWireName || at+n+1 > len(q.packet) {
			return 0, false
		}
		at += n + 1
		length += n + 1
		if n == 0 {
			break
		}
	}
	if at+4 > len(q.packet) {
		return 0, false
	}
	if keep {
		q.length = length
		lower(q.lower[:length], q.packet[start:at])
		q.qtype = binary.BigEndian.Uint16(q.packet[at:])
		q.qclass = binary.BigEndian.Uint16(q.packet[at+2:])
	}
	return at + 4, true
}

// lower writes a name in lower case. Lengths of labels are below 'A'.
func lower(dst, name []byte) {
	for i, c := range name {
		if c-'A' < 26 {
			c += 'a' - 'A'
		}
		dst[i] = c
	}
}

// readRecord reads the record at an offset.
func (q *query) readRecord(at int, additional, last bool) (end int, ok bool) {
	root := at < len(q.packet) && q.packet[at] == 0
	if at, _, ok = skipName(q.packet, at); !ok || at+10 > len(q.packet) {
		return 0, false
	}
	rrtype := binary.BigEndian.Uint16(q.packet[at:])
	class := binary.BigEndian.Uint16(q.packet[at+2:])
	ttl := binary.BigEndian.Uint32(q.packet[at+4:])
	data := at + 10
	end = data + int(binary.BigEndian.Uint16(q.packet[at+8:]))
	if end > len(q.packet) {
		return 0, false
	}
	switch rrtype {
	case dns.TypeTSIG:
		// It is the last one, or the message is malformed: RFC 8945 section 5.1.
		q.tsig = additional && last
		return end, q.tsig
	case dns.TypeOPT:
		q.edns++
		if !additional || !root || q.edns > 1 { // RFC 6891 section 6.1.1
			return 0, false
		}
		q.size = max(int(class), dns.MinMsgSize)
		q.version = uint8(ttl >> 16)
		q.do, q.co = ttl&flagDO != 0, ttl&flagCO != 0
		return end, q.readOptions(q.packet[data:end])
	}
	return end, true
}

// readOptions reads those that this server knows, and ignores the others:
// RFC 6891 section 6.1.2.
func (q *query) readOptions(data []byte) bool {
	for len(data) > 0 {
		if len(data) < 4 {
			return false
		}
		code := binary.BigEndian.Uint16(data)
		n := int(binary.BigEndian.Uint16(data[2:]))
		if data = data[4:]; n > len(data) {
			return false
		}
		switch code {
		case dns.EDNS0NSID:
			q.nsid = true
		case dns.EDNS0TCPKEEPALIVE:
			q.keepalive = true
		case dns.EDNS0COOKIE:
			if !q.hasCookie { // the first one counts, RFC 7873 section 5.2
				q.cookie, q.hasCookie = data[:n], true
			}
		}
		data = data[n:]
	}
	return true
}

// skipName returns the offset after a name, and whether it is compressed: then
// it ends in a pointer, of two bytes.
func skipName(packet []byte, at int) (end int, compressed, ok bool) {
	for length := 0; at < len(packet); {
		switch n := int(packet[at]); {
		case n == 0:
			return at + 1, false, true
		case n >= 0xc0:
			return at + 2, true, at+2 <= len(packet)
		case n >= 64:
			return 0, false, false
		default:
			at += n + 1
			if length += n + 1; length >= maxWireName {
				return 0, false, false
			}
		}
	}
	return 0, false, false
}
