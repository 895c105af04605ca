package dnssec

import (
	"crypto/ecdsa"

	"switchd/zone"
)

// Successor is successor, for tests.
func Successor(name, origin zone.Name) zone.Name { return successor(name, origin) }

// ParsePublic is parsePublic, for tests.
func ParsePublic(text []byte) (PublicKey, error) { return parsePublic(text) }

// ParsePrivate is parsePrivate, for tests.
func ParsePrivate(text []byte) (*ecdsa.PrivateKey, error) { return parsePrivate(text) }

// ParsePEM is parsePEM, for tests.
func ParsePEM(text []byte) (*ecdsa.PrivateKey, error) { return parsePEM(text) }

// Kept is the number of RRsets whose signatures are kept.
func (s *Signer) Kept() int { return s.kept.size() + s.passing.size() }
