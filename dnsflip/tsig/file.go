package tsig

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/miekg/dns"

	"switchd/secretfile"
)

const (
	maxFileSize = 64 << 10
	// minSecret is 128 bits: a shorter secret can be found by trying (RFC 8945
	// section 8).
	minSecret = 16
)

// Load reads keys from files that nobody else may read, in the format of BIND,
// which tsig-keygen writes:
//
//	key "transfer.example.net" {
//		algorithm hmac-sha256;
//		secret "…";
//	};
//
// A file may have several keys, and comments.
func Load(paths ...string) (*Ring, error) {
	all := &Ring{keys: make(map[string]*Key)}
	for _, path := range paths {
		if err := all.load(path); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (r *Ring) load(path string) error {
	f, err := secretfile.Open(path, "TSIG keys", "the keys")
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // was only read
	return r.read(f, path)
}

// Parse reads keys as Load does. file is what errors call their place. They
// never tell what is there.
func Parse(in io.Reader, file string) (*Ring, error) {
	r := &Ring{keys: make(map[string]*Key)}
	if err := r.read(in, file); err != nil {
		return nil, err
	}
	return r, nil
}

// read adds the keys of a text.
func (r *Ring) read(in io.Reader, file string) error {
	text, err := io.ReadAll(io.LimitReader(in, maxFileSize+1))
	if err != nil {
		return fmt.Errorf("read TSIG keys %s: %w", file, err)
	}
	if len(text) > maxFileSize {
		return fmt.Errorf("%s: more than %d bytes, for a few keys", file, maxFileSize)
	}
	p := &parser{lexer: lexer{text: string(text), line: 1}, file: file}
	p.next()
	if p.kind == end {
		return fmt.Errorf("%s: no TSIG key in it; make one by: tsig-keygen transfer.example.net", file)
	}
	for p.kind != end {
		key, err := p.key()
		if err != nil {
			return err
		}
		if other := r.keys[key.Name]; other != nil {
			return fmt.Errorf("%s: key %q is at %s already; remove one of them", key.place, key.Name, other.place)
		}
		r.keys[key.Name] = key
	}
	return nil
}

// parser reads keys from tokens.
type parser struct {
	lexer
	file string
}

// fault is an error at the place of the token.
func (p *parser) fault(format string, args ...any) error {
	return fmt.Errorf("%s: %s", p.at(), fmt.Sprintf(format, args...))
}

func (p *parser) at() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// take returns the text of a token of a kind, and goes on.
func (p *parser) take(want kind) (string, error) {
	if p.kind != want {
		return "", p.fault(`expected %s, got %s; a key is: key "NAME" { algorithm hmac-sha256; secret "BASE64"; };`, want, p.kind)
	}
	token := p.token
	p.next()
	return token, nil
}

// key reads one key.
func (p *parser) key() (*Key, error) {
	if p.kind != word || p.token != "key" {
		return nil, p.fault("only keys may be in a file of keys")
	}
	p.next()
	place := p.at()
	name, err := p.take(word)
	if err != nil {
		return nil, err
	}
	if _, ok := dns.IsDomainName(name); !ok || name == "" || name == "." {
		return nil, fmt.Errorf("%s: the name of a key has to be a domain name", place)
	}
	if _, err := p.take(open); err != nil {
		return nil, err
	}
	var algorithm string
	var secret []byte
	for p.kind == word {
		if err := p.statement(&algorithm, &secret); err != nil {
			return nil, err
		}
	}
	for _, want := range []kind{closing, semicolon} {
		if _, err := p.take(want); err != nil {
			return nil, err
		}
	}
	if algorithm == "" || secret == nil {
		return nil, fmt.Errorf("%s: key %q needs an algorithm and a secret", place, name)
	}
	return newKey(dns.CanonicalName(name), algorithm, secret, place), nil
}

// statement reads what a key consists of.
func (p *parser) statement(algorithm *string, secret *[]byte) error {
	statement := p.token
	p.next()
	if p.kind != word {
		_, err := p.take(word)
		return err
	}
	switch {
	case statement == "algorithm" && *algorithm == "":
		name := dns.CanonicalName(p.token)
		if algorithms[name] == nil {
			return p.fault("the algorithm has to be hmac-sha256, or with sha224, sha384 or sha512")
		}
		*algorithm = name
	case statement == "secret" && *secret == nil:
		value, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(p.token), ""))
		if err != nil {
			return p.fault("the secret isn't base64")
		}
		if len(value) < minSecret {
			return p.fault("the secret has %d bits, fewer than %d; make a key by: tsig-keygen transfer.example.net", 8*len(value), 8*minSecret)
		}
		*secret = value
	default:
		return p.fault("a key has one algorithm and one secret, and nothing else")
	}
	p.next()
	_, err := p.take(semicolon)
	return err
}
