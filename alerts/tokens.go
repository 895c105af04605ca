package alerts

import (
	"bufio"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"strings"

	"switchd/secretfile"
)

// Bounds of a file of tokens.
const (
	minToken  = 16 // characters
	maxToken  = 512
	maxTokens = 16
	maxFile   = 16 << 10 // bytes
)

// Tokens are the bearer tokens that senders of alerts may have. Only their
// hashes are kept.
type Tokens struct {
	sums [][sha256.Size]byte
}

// LoadTokens reads a file with one token a line; what follows a "#" at the
// beginning of a line is a comment. Several tokens hold at the same time, so
// that one can be replaced while senders still have the other. Nobody else may
// be able to read the file.
func LoadTokens(path string) (Tokens, error) {
	f, err := secretfile.Open(path, "alert tokens", "the tokens")
	if err != nil {
		return Tokens{}, err
	}
	defer f.Close() //nolint:errcheck // was only read
	return parseTokens(f, path)
}

// parseTokens reads lines of tokens. Its errors tell the place and never what
// is there.
func parseTokens(r io.Reader, file string) (Tokens, error) {
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	var t Tokens
	lines := bufio.NewScanner(limited)
	for n := 1; lines.Scan(); n++ {
		token := strings.TrimSpace(lines.Text())
		if token == "" || strings.HasPrefix(token, "#") {
			continue
		}
		if len(token) < minToken || len(token) > maxToken || strings.ContainsFunc(token, notInToken) {
			return Tokens{}, fmt.Errorf("%s:%d: a token is %d to %d letters, digits and -._~+/=; make one by: openssl rand -hex 32", file, n, minToken, maxToken)
		}
		t.sums = append(t.sums, sha256.Sum256([]byte(token)))
	}
	switch err := lines.Err(); {
	case err != nil:
		return Tokens{}, fmt.Errorf("read alert tokens %s: %w", file, err)
	case limited.N == 0:
		return Tokens{}, fmt.Errorf("%s: more than %d bytes, for lines of one token each", file, maxFile)
	case len(t.sums) == 0:
		return Tokens{}, fmt.Errorf("%s: there is no token in it; make one by: openssl rand -hex 32", file)
	case len(t.sums) > maxTokens:
		return Tokens{}, fmt.Errorf("%s: more than %d tokens; remove those that no sender has any more", file, maxTokens)
	}
	return t, nil
}

// notInToken is what can't stand in a bearer token, RFC 6750 section 2.1.
func notInToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~+/=", r)
}

// accept tells whether an Authorization header has one of the tokens (RFC 6750
// section 2.1). How long that takes tells nothing of the tokens: hashes of the
// same length are compared, and always all of them.
func (t Tokens) accept(header string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	found := 0
	for i := range t.sums {
		found |= subtle.ConstantTimeCompare(t.sums[i][:], sum[:])
	}
	return found == 1 && strings.EqualFold(scheme, "Bearer")
}
