package dnssec

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"switchd/zone"
)

// maxTries bounds how often Generate makes another key because there is one
// with the same tag.
const maxTries = 10

// Generate makes a key that signs everything in a zone and that the parent's
// DS record refers to. It writes the two files that BIND's dnssec-keygen would
// write, both new, into a directory that exists; the private one has mode 0600.
// A key with the tag of one that lies there already isn't made.
func Generate(dir string, origin zone.Name, now time.Time) (Key, error) {
	for range maxTries {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return Key{}, fmt.Errorf("generate key: %w", err)
		}
		key, err := newKey(origin, FlagsKSK, private)
		if err != nil {
			return Key{}, fmt.Errorf("generate key: %w", err)
		}
		err = key.write(dir, now)
		if err == nil {
			return key, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return Key{}, err
		}
	}
	return Key{}, fmt.Errorf("generate key: %s holds keys of too many tags; use another directory", dir)
}

// write writes both files. The public one comes first: alone it does no harm.
func (k Key) write(dir string, now time.Time) error {
	base := filepath.Join(dir, k.String())
	if err := writeNew(base+publicSuffix, k.publicText(now), 0o644); err != nil {
		return fmt.Errorf("write public key: %w", err)
	}
	text, err := k.privateText(now)
	if err == nil {
		err = writeNew(base+privateSuffix, text, 0o600)
	}
	if err != nil {
		// Half a pair is of no use, and would be in the way of the next try.
		return errors.Join(fmt.Errorf("write private key: %w", err), os.Remove(base+publicSuffix))
	}
	return nil
}

// stamp is how BIND's tools write a time.
const stamp = "20060102150405"

func (k PublicKey) publicText(now time.Time) []byte {
	now = now.UTC()
	return fmt.Appendf(nil, "; This is a key-signing key, keyid %d, for %s\n; Created: %s (%s)\n%s IN DNSKEY %d 3 %d %s\n",
		k.Tag(), k.Zone, now.Format(stamp), now.Format(time.ANSIC), k.Zone, k.Flags, algorithm, k.point)
}

func (k Key) privateText(now time.Time) ([]byte, error) {
	scalar, err := k.private.Bytes()
	if err != nil {
		return nil, err
	}
	at := now.UTC().Format(stamp)
	return fmt.Appendf(nil, "Private-key-format: v1.3\nAlgorithm: %d (ECDSAP256SHA256)\nPrivateKey: %s\nCreated: %s\nPublish: %s\nActivate: %s\n",
		algorithm, base64.StdEncoding.EncodeToString(scalar), at, at, at), nil
}

// writeNew writes a file that must not exist yet, or leaves none.
func writeNew(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
