// Package cookie makes and checks the server's part of DNS cookies, RFC 7873,
// in the form on which the servers of an anycast set agree, RFC 9018.
package cookie

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/dchest/siphash"
)

// Size is the length of a cookie as Append writes it: the client's 8 bytes and
// the server's 16.
const Size = clientSize + serverSize

const (
	clientSize = 8
	serverSize = 16
	// From 8 to 32 bytes may come from a server, RFC 7873 section 4.
	minServerSize, maxServerSize = 8, 32

	// headSize is the length of the client's part, version, reserved bytes and
	// time, which the hash covers, besides the address.
	headSize = clientSize + 8
	version  = 1
)

// For how long a cookie holds, RFC 9018 section 4.3.
const (
	maxAge   = time.Hour
	maxAhead = 5 * time.Minute
)

// State is what a client's cookie is worth.
type State int

// The states of a cookie. From ClientOnly on, the reply has one.
const (
	// None is the state of a query without the option. Check never returns it.
	None State = iota
	// Malformed has a length that no cookie has. The query gets a FORMERR.
	Malformed
	// ClientOnly is a client's cookie without a server's.
	ClientOnly
	// Invalid was not made by this server, for this client, in the last hour.
	// It is as good as none.
	Invalid
	// Valid proves that the client receives what is sent to its address.
	Valid
)

// String names the state as metrics do.
func (s State) String() string {
	switch s {
	case Malformed:
		return "malformed"
	case ClientOnly:
		return "client_only"
	case Invalid:
		return "invalid"
	case Valid:
		return "valid"
	default:
		return "none"
	}
}

// Check tells what the content of a COOKIE option is worth.
func (j *Jar) Check(option []byte, client netip.Addr, now time.Time) State {
	switch n := len(option) - clientSize; {
	case n == 0:
		return ClientOnly
	case n < minServerSize || n > maxServerSize:
		return Malformed
	case n != serverSize || option[clientSize] != version:
		return Invalid // by another kind of server
	}
	// The time is a serial number, RFC 1982.
	age := time.Duration(int32(uint32(now.Unix())-binary.BigEndian.Uint32(option[headSize-4:]))) * time.Second
	if age > maxAge || age < -maxAhead {
		return Invalid
	}
	got := binary.LittleEndian.Uint64(option[headSize:])
	for _, s := range j.secrets {
		if hash(s, option[:headSize], client) == got {
			return Valid
		}
	}
	return Invalid
}

// Append appends a new cookie, of Size bytes, for a client that sent an option
// that isn't malformed.
func (j *Jar) Append(dst, option []byte, client netip.Addr, now time.Time) []byte {
	at := len(dst)
	dst = append(dst, option[:clientSize]...)
	dst = append(dst, version, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(now.Unix()))
	return binary.LittleEndian.AppendUint64(dst, hash(j.secrets[0], dst[at:at+headSize], client))
}

// hash is the one of RFC 9018 section 4.4.
func hash(s secret, head []byte, client netip.Addr) uint64 {
	var buf [headSize + 16]byte
	n := copy(buf[:], head)
	if client = client.Unmap(); client.Is4() {
		addr := client.As4()
		n += copy(buf[n:], addr[:])
	} else {
		addr := client.As16()
		n += copy(buf[n:], addr[:])
	}
	return siphash.Hash(s.k0, s.k1, buf[:n])
}
