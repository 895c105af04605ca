package artifact

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"aead.dev/minisign"
)

// maxKey bounds a key file, in bytes.
const maxKey = 4 << 10

// GenerateKey makes a minisign key pair and writes it to two new files, the
// private key with mode 0600. With an empty password the private key is not
// encrypted; with one its encryption takes about 1 GiB of memory, as minisign
// has it.
func GenerateKey(pubPath, privPath, password string) (minisign.PublicKey, error) {
	none := minisign.PublicKey{}
	pub, priv, err := minisign.GenerateKey(nil)
	if err != nil {
		return none, fmt.Errorf("generate key: %w", err)
	}
	privText, err := priv.MarshalText()
	if password != "" {
		privText, err = minisign.EncryptKey(password, priv)
	}
	if err != nil {
		return none, fmt.Errorf("encrypt private key: %w", err)
	}
	pubText, err := pub.MarshalText()
	if err != nil {
		return none, fmt.Errorf("write public key: %w", err)
	}
	if err := writeNew(privPath, append(privText, '\n'), 0o600); err != nil {
		return none, fmt.Errorf("write private key: %w", err)
	}
	if err := writeNew(pubPath, append(pubText, '\n'), 0o644); err != nil {
		// Half a pair is of no use, and would be in the way of the next try.
		return none, errors.Join(fmt.Errorf("write public key: %w", err), os.Remove(privPath))
	}
	return pub, nil
}

// LoadPrivateKey reads a minisign private key. It refuses a file that others
// may read. The password is asked for only if the key is encrypted.
func LoadPrivateKey(path string, password func() (string, error)) (minisign.PrivateKey, error) {
	none := minisign.PrivateKey{}
	info, err := os.Stat(path)
	if err != nil {
		return none, fmt.Errorf("read private key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return none, fmt.Errorf("read private key %s: others can read it (mode %04o); chmod 600 it, and replace it if they might have", path, mode)
	}
	text, err := readKey(path)
	if err != nil {
		return none, fmt.Errorf("read private key: %w", err)
	}
	if !minisign.IsEncrypted(text) {
		var key minisign.PrivateKey
		if err := key.UnmarshalText(text); err != nil {
			return none, fmt.Errorf("read private key %s: %w", path, err)
		}
		return key, nil
	}
	if password == nil {
		return none, fmt.Errorf("read private key %s: it is encrypted, and there is no password", path)
	}
	secret, err := password()
	if err != nil {
		return none, fmt.Errorf("read password of private key %s: %w", path, err)
	}
	key, err := minisign.DecryptKey(secret, text)
	if err != nil {
		return none, fmt.Errorf("decrypt private key %s: %w", path, err)
	}
	return key, nil
}

// ParseTrustedKeys parses minisign public keys: each text is one key, bare or
// with its comment line.
func ParseTrustedKeys(texts ...string) (TrustedKeys, error) {
	var keys TrustedKeys
	for _, text := range texts {
		var key minisign.PublicKey
		if err := key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
			return nil, fmt.Errorf("parse public key %.80q: %w", text, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// LoadTrustedKeys reads minisign public keys, one a file.
func LoadTrustedKeys(paths ...string) (TrustedKeys, error) {
	var keys TrustedKeys
	for _, path := range paths {
		text, err := readKey(path)
		if err != nil {
			return nil, fmt.Errorf("read public key: %w", err)
		}
		key, err := ParseTrustedKeys(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		keys = append(keys, key...)
	}
	return keys, nil
}

func readKey(path string) ([]byte, error) {
	text, err := readBounded(path, maxKey)
	if err != nil {
		return nil, err
	}
	return []byte(strings.TrimSpace(string(text))), nil
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, text []byte, mode os.FileMode) error {
	f, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s exists already; a key is never overwritten, move it away first: %w", path, err)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}
