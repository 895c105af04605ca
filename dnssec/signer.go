// Package dnssec signs what an authoritative server answers at the time it
// answers it: with the algorithm ECDSAP256SHA256 (RFC 4034, 4035, 6605) and
// compact denial of existence (RFC 9824), so that a zone whose answers change
// needs no more than one signature for each change.
package dnssec

import (
	"crypto"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/time/rate"

	"switchd/zone"
)

// ErrBusy says that an answer needs a signature of a name that doesn't exist or
// of a wildcard, and that too many such were made within the last second. A
// client that comes by UDP should be told to come by TCP.
var ErrBusy = errors.New("too many signatures for names that aren't in the zone")

// Options of a Signer. The zero value means the defaults.
type Options struct {
	// TTL of the DNSKEY records; 0 means DefaultTTL.
	TTL time.Duration
	// Kept is the number of RRsets whose signatures are kept at least, about
	// 300 bytes each, and of as many for names that aren't in the zone; up to
	// twice as many are. Prepare makes room for what it signs. 0 means
	// DefaultKept.
	Kept int
	// Rate bounds the signatures a second for names that aren't in the zone,
	// of which anybody can ask for as many as they like: they don't exist, or
	// a wildcard stands for them. 0 means DefaultRate.
	Rate int
}

// The defaults of Options.
const (
	DefaultTTL  = time.Hour
	DefaultKept = 32 << 10
	DefaultRate = 5000 // a fifth of a core
)

// Signer signs the answers of one zone. It is safe for concurrent use.
type Signer struct {
	origin    zone.Name
	name      string // the origin's
	keySigner []Key  // they sign the keys
	signers   []Key  // they sign everything else
	dnskey    []dns.RR

	kept *cache
	// passing are the signatures for names that aren't in the zone, which
	// must not drive out those that are.
	passing *cache
	limiter *rate.Limiter

	preparing   sync.Mutex // guards what follows
	prepared    map[*zone.Node]Span
	preparedTTL uint32
}

// New returns a signer for a zone. A key with FlagsKSK signs the keys, and
// everything if there is none with FlagsZSK, which otherwise does that; all
// keys of a role sign, so that any can be taken away once the others are known
// (RFC 6781 section 4.1).
func New(origin zone.Name, keys []Key, o Options) (*Signer, error) {
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	if o.Kept == 0 {
		o.Kept = DefaultKept
	}
	if o.Rate == 0 {
		o.Rate = DefaultRate
	}
	s := &Signer{
		origin: origin, name: origin.String(), kept: newCache(o.Kept), passing: newCache(o.Kept),
		limiter: rate.NewLimiter(rate.Limit(o.Rate), o.Rate),
	}
	tags := make(map[uint16]bool)
	for _, key := range keys {
		if key.Zone != origin {
			return nil, fmt.Errorf("sign zone %s: key %s is one of zone %s", origin, key, key.Zone)
		}
		if tags[key.Tag()] {
			return nil, fmt.Errorf("sign zone %s: two keys have the tag %d (%s); use each key once, or make another one", origin, key.Tag(), key)
		}
		tags[key.Tag()] = true
		if key.Flags == FlagsKSK {
			s.keySigner = append(s.keySigner, key)
		} else {
			s.signers = append(s.signers, key)
		}
		s.dnskey = append(s.dnskey, key.DNSKEY(uint32(o.TTL/time.Second)))
	}
	if len(s.keySigner) == 0 {
		return nil, fmt.Errorf("sign zone %s: no key has the flags %d, of one that the parent's DS record refers to", origin, FlagsKSK)
	}
	if len(s.signers) == 0 {
		s.signers = s.keySigner
	}
	return s, nil
}

// DNSKEY returns the zone's keys, which belong to its apex. They must not be
// changed.
func (s *Signer) DNSKEY() []dns.RR { return s.dnskey }

// keys returns those that sign sets of a type. CDS and CDNSKEY are signed as
// DNSKEY is (RFC 7344 section 4.1).
func (s *Signer) keys(rrtype uint16) []Key {
	switch rrtype {
	case dns.TypeDNSKEY, dns.TypeCDS, dns.TypeCDNSKEY:
		return s.keySigner
	default:
		return s.signers
	}
}

// sign returns the signatures of an RRset, and for how long they are the ones
// to serve. ttl is the one that the zone has for it (RFC 4034 section 3.1.4),
// which in a negative answer is not the one that is shown. passing tells that
// the owner isn't a name in the zone.
func (s *Signer) sign(owner zone.Name, set []dns.RR, ttl uint32, passing bool, now time.Time) ([]dns.RR, Span, error) {
	head := *set[0].Header()
	text, err := canonical(owner, ttl, set)
	if err != nil {
		return nil, Span{}, fmt.Errorf("sign %s: %w", head.Name, err)
	}
	labels := owner.Labels()
	if owner.Wildcard() {
		labels-- // RFC 4034 section 3.1.3
	}
	sum := digest(sha256.Sum256(text))
	p := periodAt(now, sum)
	keys := s.keys(head.Rrtype)
	rrsigs := make([]dns.RR, len(keys))
	for i, key := range keys {
		rrsigs[i] = &dns.RRSIG{
			Hdr:         dns.RR_Header{Name: head.Name, Rrtype: dns.TypeRRSIG, Class: head.Class, Ttl: head.Ttl},
			TypeCovered: head.Rrtype, Algorithm: algorithm, Labels: uint8(labels), OrigTtl: ttl,
			Inception: p.inception(), Expiration: p.expiration(), KeyTag: key.tag, SignerName: s.name,
		}
	}
	kept := s.kept
	if passing {
		kept = s.passing
	}
	made, found := kept.get(sum, p)
	if !found {
		if passing && !s.limiter.AllowN(now, len(keys)) {
			return nil, Span{}, fmt.Errorf("sign %s: %w", head.Name, ErrBusy)
		}
		made = signatures{period: p, texts: make([]string, len(keys))}
		for i, key := range keys {
			if made.texts[i], err = key.sign(rrsigs[i].(*dns.RRSIG), text); err != nil {
				return nil, Span{}, fmt.Errorf("sign %s with %s: %w", head.Name, key, err)
			}
		}
		kept.put(sum, made)
	}
	for i, rrsig := range rrsigs {
		rrsig.(*dns.RRSIG).Signature = made.texts[i]
	}
	return rrsigs, p.span(), nil
}

// sign makes a signature (RFC 4034 section 3.1.8.1, RFC 6605 section 4). It is
// deterministic (RFC 6979), so that all replicas give the same one.
func (k Key) sign(rrsig *dns.RRSIG, text []byte) (string, error) {
	data := make([]byte, 0, 18+len(k.Zone)+len(text))
	data = binary.BigEndian.AppendUint16(data, rrsig.TypeCovered)
	data = append(data, rrsig.Algorithm, rrsig.Labels)
	data = binary.BigEndian.AppendUint32(data, rrsig.OrigTtl)
	data = binary.BigEndian.AppendUint32(data, rrsig.Expiration)
	data = binary.BigEndian.AppendUint32(data, rrsig.Inception)
	data = binary.BigEndian.AppendUint16(data, rrsig.KeyTag)
	data = append(data, k.Zone...)
	data = append(data, text...)
	sum := sha256.Sum256(data)
	encoded, err := k.private.Sign(nil, sum[:], crypto.SHA256)
	if err != nil {
		return "", err
	}
	return rawSignature(encoded)
}

// rawSignature returns the two numbers of an ECDSA signature in DER, of 32
// bytes each, in base64.
func rawSignature(der []byte) (string, error) {
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		return "", err
	}
	const size = 32
	var raw [2 * size]byte
	pair.R.FillBytes(raw[:size])
	pair.S.FillBytes(raw[size:])
	return base64.StdEncoding.EncodeToString(raw[:]), nil
}
