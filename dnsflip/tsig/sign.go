package tsig

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"
)

// Transaction is a request and the replies to it, which are signed with its
// key, each together with the MAC of the message before. It is for one
// goroutine at a time.
type Transaction struct {
	request *record // nil: replies have no TSIG
	key     *Key    // of a good signature; nil: a TSIG has no MAC
	prior   []byte  // the MAC before
	later   bool    // a reply has been signed
	fault   *Error
}

// Key returns the key that the request is signed with, nil if it isn't signed
// or there is an error.
func (t *Transaction) Key() *Key {
	if t.fault != nil {
		return nil
	}
	return t.key
}

// Rcode returns what the reply to an erroneous request has to say: FORMERR or
// NOTAUTH; NOERROR if there is no error.
func (t *Transaction) Rcode() int {
	if t.fault == nil {
		return dns.RcodeSuccess
	}
	return t.fault.Rcode
}

// Size is by how many bytes Sign makes a reply longer. A reply that would not
// fit with them is sent without any record but the TSIG, and with TC: RFC 8945
// section 5.3.
func (t *Transaction) Size() int {
	if t.request == nil {
		return 0
	}
	v := t.variables(time.Time{})
	n := len(v.record(nil, nil, 0))
	if t.key != nil {
		n += t.key.newMAC().Size()
	}
	return n
}

// Sign appends a TSIG record to a packed reply, and returns it. Replies of a
// stream, as to AXFR, are signed one by one in the order in which they are
// sent (RFC 8945 section 5.3.1). One to a request without TSIG stays as it is.
// A reply to an erroneous one is signed as section 5.3.2 says: not at all, with
// a TSIG without a MAC, or with one that tells the time here.
func (t *Transaction) Sign(reply []byte, now time.Time) []byte {
	if t.request == nil {
		return reply
	}
	v := t.variables(now)
	var mac []byte
	if t.key != nil {
		vars := v.all
		if t.later {
			vars = v.timers
		}
		mac = t.key.sum(t.prior, [2][]byte{reply}, vars(nil))
		t.prior, t.later = mac, true
	}
	reply = v.record(reply, mac, binary.BigEndian.Uint16(reply))
	binary.BigEndian.PutUint16(reply[10:], binary.BigEndian.Uint16(reply[10:])+1)
	return reply
}

// variables are those of the next reply.
func (t *Transaction) variables(now time.Time) variables {
	v := variables{
		name: t.request.name, algorithm: t.request.algorithm,
		signed: uint64(now.Unix()), fudge: uint16(Fudge / time.Second),
	}
	if t.fault == nil {
		return v
	}
	v.err = t.fault.Code
	if v.err == dns.RcodeBadTime { // section 5.2.3
		v.other = appendUint48(nil, v.signed)
		v.signed = t.request.signed
	}
	return v
}
