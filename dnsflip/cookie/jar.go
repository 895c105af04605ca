package cookie

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"switchd/secretfile"
)

const (
	secretSize = 16
	// maxSecrets is more than any plan to change one needs, which is three:
	// RFC 9018 section 5. Each one costs a hash for each forged cookie.
	maxSecrets  = 8
	maxFileSize = 4096
)

// secret is the key of a hash.
type secret struct{ k0, k1 uint64 }

// Jar has the secrets that cookies are made with. It is immutable and safe for
// concurrent use.
type Jar struct {
	secrets []secret // cookies are made with the first and checked with all; never empty
}

// Random returns a jar with a new secret. No other server takes its cookies,
// nor does this one after a restart: clients just get new ones then.
func Random() *Jar {
	var key [secretSize]byte
	_, _ = rand.Read(key[:]) // never fails
	return &Jar{secrets: []secret{newSecret(key[:])}}
}

// Load reads the secrets that replicas share, from a file that nobody else may
// read. Each line has one, as 32 hex digits; lines may be empty, and a # begins
// a comment. New cookies are made with the first one, those of all others are
// accepted. So a secret is changed without a gap by three steps on all
// replicas: add the new one as the second line, exchange the two, remove the
// old one after an hour.
func Load(path string) (*Jar, error) {
	f, err := secretfile.Open(path, "cookie secrets", "the secrets")
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // was only read
	return parse(f, path)
}

// parse reads lines of secrets. Its errors tell the place and never what is
// there.
func parse(r io.Reader, file string) (*Jar, error) {
	limited := &io.LimitedReader{R: r, N: maxFileSize + 1}
	lines := bufio.NewScanner(limited)
	j := &Jar{}
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		key, err := hex.DecodeString(text)
		if err != nil || len(key) != secretSize {
			return nil, fmt.Errorf("%s:%d: a cookie secret is %d hex digits; make one by: openssl rand -hex %d", file, n, 2*secretSize, secretSize)
		}
		if len(j.secrets) == maxSecrets {
			return nil, fmt.Errorf("%s:%d: more than %d cookie secrets; remove those that no server makes cookies with any more", file, n, maxSecrets)
		}
		j.secrets = append(j.secrets, newSecret(key))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read cookie secrets %s: %w", file, err)
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("%s: more than %d bytes, for lines of %d hex digits", file, maxFileSize, 2*secretSize)
	}
	if len(j.secrets) == 0 {
		return nil, fmt.Errorf("%s: no cookie secret in it; make one by: openssl rand -hex %d", file, secretSize)
	}
	return j, nil
}

// newSecret makes a secret of its bytes.
func newSecret(key []byte) secret {
	return secret{k0: binary.LittleEndian.Uint64(key), k1: binary.LittleEndian.Uint64(key[8:])}
}

// Format keeps the secrets out of whatever is printed.
func (j *Jar) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "%d cookie secrets", len(j.secrets))
}
