package tsig

import (
	"encoding/binary"
	"errors"

	"github.com/miekg/dns"
)

const headerSize = 12

var errMalformed = errors.New("the message is malformed")

// record is the TSIG of a message, RFC 8945 section 4.2.
type record struct {
	variables
	at                    int    // where it begins
	keyName, keyAlgorithm string // canonical, as text
	mac                   []byte
	id                    uint16 // the message's, when it was signed
}

// find returns the TSIG of a message, nil if it has none. It is the last record
// of the message, and the only one: RFC 8945 section 5.1.
func find(packet []byte) (*record, error) {
	if len(packet) < headerSize {
		return nil, errMalformed
	}
	count := func(at int) int { return int(binary.BigEndian.Uint16(packet[at:])) }
	at := headerSize
	var ok bool
	for range count(4) {
		if at, ok = skipName(packet, at); !ok || at+4 > len(packet) {
			return nil, errMalformed
		}
		at += 4
	}
	others := count(6) + count(8)
	last := others + count(10) - 1
	for i := range last + 1 {
		begin := at
		if at, ok = skipName(packet, at); !ok || at+10 > len(packet) {
			return nil, errMalformed
		}
		rrtype := binary.BigEndian.Uint16(packet[at:])
		if at += 10 + count(at+8); at > len(packet) {
			return nil, errMalformed
		}
		if rrtype != dns.TypeTSIG {
			continue
		}
		if i < others || i != last || at != len(packet) {
			return nil, errors.New("a TSIG record isn't the last one of the message")
		}
		return readRecord(packet, begin)
	}
	return nil, nil
}

// readRecord reads the TSIG that begins at an offset, and is the last record.
// (That of package dns takes one that ends early.)
func readRecord(packet []byte, begin int) (*record, error) {
	rec := &record{at: begin}
	var ok bool
	var at int
	if rec.keyName, rec.name, at, ok = readName(packet, begin); !ok {
		return nil, errMalformed
	}
	if binary.BigEndian.Uint16(packet[at+2:]) != dns.ClassANY || binary.BigEndian.Uint32(packet[at+4:]) != 0 {
		return nil, errors.New("the TSIG record has another class than ANY, or a TTL")
	}
	if rec.keyAlgorithm, rec.algorithm, at, ok = readName(packet, at+10); !ok || at+10 > len(packet) {
		return nil, errMalformed
	}
	data := packet[at:]
	rec.signed = uint64(binary.BigEndian.Uint16(data))<<32 | uint64(binary.BigEndian.Uint32(data[2:]))
	rec.fudge = binary.BigEndian.Uint16(data[6:])
	if rec.mac, data, ok = readBytes(data[8:]); !ok || len(data) < 4 {
		return nil, errMalformed
	}
	rec.id = binary.BigEndian.Uint16(data)
	rec.err = binary.BigEndian.Uint16(data[2:])
	if rec.other, data, ok = readBytes(data[4:]); !ok || len(data) > 0 {
		return nil, errMalformed
	}
	return rec, nil
}

// readBytes reads bytes that come after their count.
func readBytes(data []byte) (value, rest []byte, ok bool) {
	if len(data) < 2 {
		return nil, nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(data))
	if n > len(data) {
		return nil, nil, false
	}
	return data[2:n], data[n:], true
}

// readName reads a name, which may be compressed, and returns its canonical
// form as text and as it is signed, and the offset after it.
func readName(packet []byte, at int) (text string, wire []byte, end int, ok bool) {
	text, end, err := dns.UnpackDomainName(packet, at)
	if err != nil {
		return "", nil, 0, false
	}
	text = dns.CanonicalName(text)
	buf := make([]byte, 256)
	n, err := dns.PackDomainName(text, buf, 0, nil, false)
	return text, buf[:n:n], end, err == nil
}

// skipName returns the offset after a name.
func skipName(packet []byte, at int) (end int, ok bool) {
	for at < len(packet) {
		switch n := int(packet[at]); {
		case n == 0:
			return at + 1, true
		case n >= 0xc0:
			return at + 2, at+2 <= len(packet)
		case n >= 64:
			return 0, false
		default:
			at += n + 1
		}
	}
	return 0, false
}

// variables are what a MAC covers besides messages, RFC 8945 section 4.3.3.
type variables struct {
	name, algorithm []byte
	signed          uint64 // seconds since 1970
	fudge, err      uint16
	other           []byte
}

// timers appends those that the later messages of a stream have, section 5.3.1.
func (v *variables) timers(dst []byte) []byte {
	dst = appendUint48(dst, v.signed)
	return binary.BigEndian.AppendUint16(dst, v.fudge)
}

// all appends all of them.
func (v *variables) all(dst []byte) []byte {
	dst = append(dst, v.name...)
	dst = append(dst, 0, dns.ClassANY, 0, 0, 0, 0)
	dst = append(dst, v.algorithm...)
	dst = v.timers(dst)
	dst = binary.BigEndian.AppendUint16(dst, v.err)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(v.other)))
	return append(dst, v.other...)
}

// record appends a TSIG record, section 4.2.
func (v *variables) record(dst, mac []byte, id uint16) []byte {
	dst = append(dst, v.name...)
	dst = append(dst, 0, byte(dns.TypeTSIG), 0, dns.ClassANY, 0, 0, 0, 0, 0, 0)
	data := len(dst)
	dst = append(dst, v.algorithm...)
	dst = v.timers(dst)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(mac)))
	dst = append(dst, mac...)
	dst = binary.BigEndian.AppendUint16(dst, id)
	dst = binary.BigEndian.AppendUint16(dst, v.err)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(v.other)))
	dst = append(dst, v.other...)
	binary.BigEndian.PutUint16(dst[data-2:], uint16(len(dst)-data))
	return dst
}

func appendUint48(dst []byte, v uint64) []byte {
	return append(dst, byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}
