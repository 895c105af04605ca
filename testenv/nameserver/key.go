//go:build linux

package nameserver

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
)

// Key is a TSIG key, RFC 8945.
type Key struct {
	Name      string
	Algorithm string // such as hmac-sha256
	Secret    string // in base64
}

// NewKey returns a key for HMAC-SHA256 with a random secret.
func NewKey(name string) Key {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails, and fills it
	return Key{Name: name, Algorithm: "hmac-sha256", Secret: base64.StdEncoding.EncodeToString(secret)}
}

// Clause is the key as a BIND key file holds it.
func (k Key) Clause() string {
	return fmt.Sprintf("key %q {\n\talgorithm %s;\n\tsecret %q;\n};\n", k.Name, k.Algorithm, k.Secret)
}

// Flag is the key as the flag -y of dig, kdig and nsupdate takes it.
func (k Key) Flag() string {
	return strings.Join([]string{k.Algorithm, k.Name, k.Secret}, ":")
}
