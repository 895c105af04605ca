package dnssec

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/dns"

	"switchd/zone"
)

// The flags of a DNSKEY record, RFC 4034 section 2.1.1.
const (
	// FlagsKSK are those of a key that the parent's DS record refers to.
	FlagsKSK uint16 = dns.ZONE | dns.SEP
	// FlagsZSK are those of a key that signs all but the keys.
	FlagsZSK uint16 = dns.ZONE
)

const algorithm = dns.ECDSAP256SHA256

// uncompressed starts the usual encoding of a curve's point (SEC 1 section
// 2.3.3), which the DNS leaves out (RFC 6605 section 4).
const uncompressed = 4

// PublicKey is what a DNSKEY record says of a zone's key.
type PublicKey struct {
	Zone  zone.Name
	Flags uint16 // FlagsKSK or FlagsZSK
	point string // the curve's point, in base64, as the record has it
	tag   uint16
}

func newPublicKey(origin zone.Name, flags uint16, point string) (PublicKey, error) {
	switch flags {
	case FlagsKSK, FlagsZSK:
	case FlagsKSK | dns.REVOKE, FlagsZSK | dns.REVOKE:
		return PublicKey{}, errors.New("the key is revoked (RFC 5011); serve without it")
	default:
		return PublicKey{}, fmt.Errorf("flags are %d, want %d (of a key that the parent refers to) or %d", flags, FlagsKSK, FlagsZSK)
	}
	raw, err := base64.StdEncoding.DecodeString(point)
	if err != nil {
		return PublicKey{}, fmt.Errorf("decode public key: %w", err)
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append([]byte{uncompressed}, raw...)); err != nil {
		return PublicKey{}, fmt.Errorf("decode public key: %w", err)
	}
	key := PublicKey{Zone: origin, Flags: flags, point: base64.StdEncoding.EncodeToString(raw)}
	key.tag = key.DNSKEY(0).KeyTag()
	return key, nil
}

// DNSKEY returns the key's record. The TTL is in seconds.
func (k PublicKey) DNSKEY(ttl uint32) *dns.DNSKEY {
	return &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: k.Zone.String(), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: ttl},
		Flags: k.Flags, Protocol: 3, Algorithm: algorithm, PublicKey: k.point,
	}
}

// DS returns the record by which the parent zone refers to the key, with a
// SHA-256 digest (RFC 4509). The TTL is in seconds.
func (k PublicKey) DS(ttl uint32) *dns.DS {
	return k.DNSKEY(ttl).ToDS(dns.SHA256)
}

// Tag returns the key's tag, RFC 4034 appendix B.
func (k PublicKey) Tag() uint16 { return k.tag }

// String returns the name that BIND's tools give the key's files, without
// their suffix, such as "Kexample.net.+013+12345".
func (k PublicKey) String() string {
	return fmt.Sprintf("K%s+%03d+%05d", fileName(k.Zone), algorithm, k.Tag())
}

// fileName escapes a zone's name as BIND does where it names files.
func fileName(origin zone.Name) string {
	var b strings.Builder
	wire := string(origin)
	for len(wire) > 1 {
		label := wire[1 : 1+int(wire[0])]
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
				b.WriteByte(c)
			default:
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		b.WriteByte('.')
		wire = wire[1+len(label):]
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}

// Key is a key pair of a zone. It is printed by its name only.
type Key struct {
	PublicKey
	private *ecdsa.PrivateKey
}

func newKey(origin zone.Name, flags uint16, private *ecdsa.PrivateKey) (Key, error) {
	raw, err := private.PublicKey.Bytes()
	if err != nil {
		return Key{}, fmt.Errorf("encode public key: %w", err)
	}
	public, err := newPublicKey(origin, flags, base64.StdEncoding.EncodeToString(raw[1:]))
	if err != nil {
		return Key{}, err
	}
	return Key{PublicKey: public, private: private}, nil
}
