package swarm

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"time"
)

// Identity is what a node proves to its peers: an Ed25519 key in a
// certificate that it signed itself. No authority vouches for it. It counts
// because its fingerprint is where only members can write.
type Identity struct {
	cert        tls.Certificate
	fingerprint string
}

// NewIdentity makes a key for the lifetime of this process.
func NewIdentity() (Identity, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return Identity{}, fmt.Errorf("make an identity: %w", err)
	}
	return IdentityOf(key)
}

// IdentityOf returns the identity of a key that is there already.
func IdentityOf(key ed25519.PrivateKey) (Identity, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "switchd swarm"},
		// It ends with its process, and no clock has a say in that.
		NotBefore: time.Unix(0, 0),
		NotAfter:  time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5
		KeyUsage:  x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		return Identity{}, fmt.Errorf("make an identity: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return Identity{}, fmt.Errorf("make an identity: %w", err)
	}
	return Identity{
		cert:        tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		fingerprint: fingerprint(leaf),
	}, nil
}

// Fingerprint returns the SHA-256 of the public key's SubjectPublicKeyInfo in
// lower-case hex.
func (i Identity) Fingerprint() string { return i.fingerprint }

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// tls returns how both ends of a connection talk: TLS 1.3, a certificate from
// each. Whose it must be is checked after the handshake, which proves only
// that the peer has its key.
func (i Identity) tls() *tls.Config {
	return &tls.Config{
		Certificates:           []tls.Certificate{i.cert},
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"switchd-swarm/1"},
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		// Records that fit a packet are for people who wait for the first byte.
		DynamicRecordSizingDisabled: true,
		InsecureSkipVerify:          true, //nolint:gosec // The fingerprint is checked instead.
	}
}

// peerFingerprint returns who is at the other end of a connection.
func peerFingerprint(conn *tls.Conn) (string, error) {
	certs := conn.ConnectionState().PeerCertificates
	if len(certs) == 0 {
		return "", errors.New("it showed no certificate")
	}
	return fingerprint(certs[0]), nil
}

// aliasPort is the port of every alias; the library wants one.
const aliasPort = 1

// alias returns the address under which the BitTorrent library knows a
// member: a unique local one (RFC 4193) made of its fingerprint. The library
// bans whoever sends wrong bytes by address, so it bans that process, and
// not everybody on its machine.
func alias(fingerprint string) (netip.AddrPort, error) {
	sum, err := hex.DecodeString(fingerprint)
	if err != nil || len(sum) != sha256.Size {
		return netip.AddrPort{}, fmt.Errorf("fingerprint %.80q: want the 64 hex digits of a SHA-256", fingerprint)
	}
	var addr [16]byte
	addr[0] = 0xfd
	copy(addr[1:], sum)
	return netip.AddrPortFrom(netip.AddrFrom16(addr), aliasPort), nil
}
