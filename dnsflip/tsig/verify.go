package tsig

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// Fudge is by how much the clocks of two parties may differ, RFC 8945 section
// 10. For requests, that is the client's to say.
const Fudge = 5 * time.Minute

// minMAC is the length of the shortest MAC, RFC 8945 section 5.2.2.1.
const minMAC = 10

// Error is why a signed request is refused.
type Error struct {
	Rcode int    // of the reply: FORMERR or NOTAUTH
	Code  uint16 // of the reply's TSIG record, such as dns.RcodeBadSig; 0 with FORMERR, which has none
	Key   string // the name of the key, as the client says; empty if that can't be read

	cause error
}

// Error tells the key, the cause and the way out.
func (e *Error) Error() string {
	if e.Code == 0 {
		return fmt.Sprintf("FORMERR: %v", e.cause)
	}
	return fmt.Sprintf("%s: TSIG key %q: %v", dns.RcodeToString[int(e.Code)], e.Key, e.cause)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Verify checks the signature of a request, before anything else of it is
// looked at (RFC 8945 section 5.2). The packet is neither changed nor kept. A request without
// a signature is fine as well: the transaction's Key tells. An error is an
// *Error. The transaction is never nil, and signs the reply that tells of an
// error, too.
//
// A MAC that is truncated isn't accepted. One that is signed again and again
// within the client's fudge is: whoever lets requests change anything has to
// see to that.
func (r *Ring) Verify(packet []byte, now time.Time) (*Transaction, error) {
	t := &Transaction{}
	rec, err := find(packet)
	if err != nil {
		t.fault = &Error{Rcode: dns.RcodeFormatError, cause: err}
		return t, t.fault
	}
	if rec == nil {
		return t, nil
	}
	t.request = rec
	if t.fault = t.check(r, packet, now); t.fault == nil {
		return t, nil
	}
	if t.fault.Code == 0 {
		t.request = nil
	}
	return t, t.fault
}

// check takes the steps of RFC 8945 section 5.2 in their order.
func (t *Transaction) check(r *Ring, packet []byte, now time.Time) *Error {
	rec := t.request
	refuse := func(code uint16, cause error) *Error {
		return &Error{Rcode: dns.RcodeNotAuth, Code: code, Key: rec.keyName, cause: cause}
	}
	key, err := r.find(rec.keyName, rec.keyAlgorithm)
	if err != nil {
		return refuse(dns.RcodeBadKey, err)
	}
	size := key.newMAC().Size()
	if n := len(rec.mac); n > size || n < max(minMAC, size/2) {
		return &Error{Rcode: dns.RcodeFormatError, Key: rec.keyName, cause: fmt.Errorf("a MAC of %d bytes, for a key of %s", n, key.Algorithm)}
	}
	want := key.sum(nil, unsigned(packet, rec), rec.all(nil))
	if !hmac.Equal(rec.mac, want[:len(rec.mac)]) {
		return refuse(dns.RcodeBadSig, errors.New("the signature doesn't match: compare the secrets of both sides"))
	}
	t.key, t.prior = key, bytes.Clone(rec.mac)
	signed := time.Unix(int64(rec.signed), 0)
	if off, most := now.Sub(signed).Abs(), time.Duration(rec.fudge)*time.Second; off.Truncate(time.Second) > most {
		return refuse(dns.RcodeBadTime, fmt.Errorf("signed at %s by the client's clock, it is %s here: set the clocks, they may differ by %s",
			signed.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), most))
	}
	if len(rec.mac) < size {
		return refuse(dns.RcodeBadTrunc, fmt.Errorf("a MAC truncated to %d bytes, of %d: have the client send all of it", len(rec.mac), size))
	}
	return nil
}

// unsigned returns the parts of a message as it was before it was signed,
// RFC 8945 section 4.3.2.
func unsigned(packet []byte, rec *record) [2][]byte {
	header := make([]byte, headerSize)
	copy(header, packet)
	binary.BigEndian.PutUint16(header, rec.id)
	binary.BigEndian.PutUint16(header[10:], binary.BigEndian.Uint16(header[10:])-1)
	return [2][]byte{header, packet[headerSize:rec.at]}
}

// sum returns the MAC of a message.
func (k *Key) sum(prior []byte, message [2][]byte, vars []byte) []byte {
	mac := k.newMAC()
	if prior != nil {
		mac.Write(binary.BigEndian.AppendUint16(nil, uint16(len(prior))))
		mac.Write(prior)
	}
	mac.Write(message[0])
	mac.Write(message[1])
	mac.Write(vars)
	return mac.Sum(nil)
}
