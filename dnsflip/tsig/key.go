// Package tsig signs and checks DNS messages with secrets that two parties
// share, RFC 8945.
package tsig

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"

	"github.com/miekg/dns"
)

// Key is a shared secret. It is immutable and safe for concurrent use. The
// secret is held by a function only, so that it is never printed.
type Key struct {
	Name      string // in lower case, with a final dot
	Algorithm string // as in a TSIG record, such as dns.HmacSHA256

	newMAC func() hash.Hash
	place  string // file:line
}

// algorithms are those that a key may have. RFC 8945 section 6 has some more,
// which it advises against.
var algorithms = map[string]func() hash.Hash{
	dns.HmacSHA224: sha256.New224,
	dns.HmacSHA256: sha256.New,
	dns.HmacSHA384: sha512.New384,
	dns.HmacSHA512: sha512.New,
}

// newKey makes a key of canonical names.
func newKey(name, algorithm string, secret []byte, place string) *Key {
	return &Key{
		Name: name, Algorithm: algorithm, place: place,
		newMAC: func() hash.Hash { return hmac.New(algorithms[algorithm], secret) },
	}
}

// Ring is a set of keys by name. It is immutable and safe for concurrent use. A
// nil Ring has no keys.
type Ring struct {
	keys map[string]*Key
}

// Key returns the key of a name, in any case and with or without a final dot,
// nil if there is none.
func (r *Ring) Key(name string) *Key {
	if r == nil {
		return nil
	}
	return r.keys[dns.CanonicalName(name)]
}

// Names returns the names of all keys, in order.
func (r *Ring) Names() []string {
	if r == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(r.keys))
}

// find returns the key that a record names.
func (r *Ring) find(name, algorithm string) (*Key, error) {
	key := r.Key(name)
	if key == nil {
		return nil, fmt.Errorf("there is no such key: add it here, or correct its name at the other side: %w", dns.ErrSecret)
	}
	if algorithm = dns.CanonicalName(algorithm); algorithm != key.Algorithm {
		return nil, fmt.Errorf("it is a key for %s here and for %s at the other side: %w", key.Algorithm, algorithm, dns.ErrKeyAlg)
	}
	return key, nil
}

// Provider returns the keys as clients made with package dns take them. Those
// take a reply without any signature for good: who signed a request has to look
// whether the reply's IsTsig is nil.
func (r *Ring) Provider() dns.TsigProvider { return provider{r} }

type provider struct{ ring *Ring }

// Generate returns the MAC of what is to be signed.
func (p provider) Generate(msg []byte, t *dns.TSIG) ([]byte, error) {
	key, err := p.ring.find(t.Hdr.Name, t.Algorithm)
	if err != nil {
		return nil, fmt.Errorf("TSIG key %q: %w", t.Hdr.Name, err)
	}
	mac := key.newMAC()
	mac.Write(msg)
	return mac.Sum(nil), nil
}

// Verify checks the MAC of what is signed. A truncated one is none.
func (p provider) Verify(msg []byte, t *dns.TSIG) error {
	want, err := p.Generate(msg, t)
	if err != nil {
		return err
	}
	got, err := hex.DecodeString(t.MAC)
	if err != nil || !hmac.Equal(got, want) {
		return fmt.Errorf("TSIG key %q: the signature doesn't match: compare the secrets of both sides: %w", t.Hdr.Name, dns.ErrSig)
	}
	return nil
}
