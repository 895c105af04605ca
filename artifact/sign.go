package artifact

import (
	"errors"
	"fmt"
	"strings"

	"aead.dev/minisign"
)

// ErrUnsigned is the error of a manifest without a signature.
var ErrUnsigned = errors.New("the manifest is not signed")

// ErrUntrusted is the error of a manifest whose signature is by an unknown
// key, or is not one of this manifest.
var ErrUntrusted = errors.New("the manifest's signature is not trusted")

// Sign signs a valid manifest, in place of any signature that it has. The
// signature is one that the minisign tool verifies.
func Sign(m *Manifest, key minisign.PrivateKey) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	m.Signature = string(minisign.SignWithComments(key, m.Payload(),
		fmt.Sprintf("switchd release %s %s", m.Service, m.Version),
		"signature by minisign key "+keyID(key.ID())))
	return nil
}

// TrustedKeys are the public keys whose signatures count. Without any, none
// does.
type TrustedKeys []minisign.PublicKey

// Verify tells whether a manifest is valid and signed by a trusted key. Its
// error is ErrUnsigned or ErrUntrusted, with the IDs of the keys.
func (k TrustedKeys) Verify(m Manifest) error {
	if err := m.Validate(); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if m.Signature == "" {
		return fmt.Errorf("verify %s: %w", m, ErrUnsigned)
	}
	var sig minisign.Signature
	if err := sig.UnmarshalText([]byte(m.Signature)); err != nil {
		return fmt.Errorf("verify %s: %w: %w", m, ErrUntrusted, err)
	}
	known := false
	for _, key := range k {
		if key.ID() != sig.KeyID {
			continue
		}
		if minisign.Verify(key, m.Payload(), []byte(m.Signature)) {
			return nil
		}
		known = true
	}
	if known {
		return fmt.Errorf("verify %s: %w: key %s did not sign this manifest; it was changed later", m, ErrUntrusted, keyID(sig.KeyID))
	}
	return fmt.Errorf("verify %s: %w: it is by key %s, trusted are %s", m, ErrUntrusted, keyID(sig.KeyID), k)
}

// String lists the keys' IDs.
func (k TrustedKeys) String() string {
	if len(k) == 0 {
		return "no keys at all"
	}
	var ids []string
	for _, key := range k {
		ids = append(ids, keyID(key.ID()))
	}
	return strings.Join(ids, ", ")
}

// keyID writes a key's ID as minisign does.
func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }

// SignedBy is the ID of the key that a manifest says to be signed by, which
// Verify has not looked at; empty without a signature that can be read.
func (m Manifest) SignedBy() string {
	var sig minisign.Signature
	if sig.UnmarshalText([]byte(m.Signature)) != nil {
		return ""
	}
	return keyID(sig.KeyID)
}
