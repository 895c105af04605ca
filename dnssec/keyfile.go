package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"switchd/zone"
)

// maxKeyFile bounds a key file, in bytes.
const maxKeyFile = 16 << 10

// The files of a key pair as BIND's tools write it.
const (
	publicSuffix  = ".key"
	privateSuffix = ".private"
)

// Load reads a key pair from the two files that BIND's dnssec-keygen writes,
// of which path names either or what both begin with, or from a PKCS#8 file
// in PEM, whose key counts as one that the parent's DS record refers to. A
// private key that others than the file's owner may read is refused.
//
// The key must be one of the zone. An empty origin takes any that the files
// name; a PEM file names none.
func Load(path string, origin zone.Name) (Key, error) {
	base, pair := pairOf(path)
	if !pair {
		return loadPEM(path, origin)
	}
	public, err := loadPublicFile(base+publicSuffix, origin)
	if err != nil {
		return Key{}, err
	}
	path = base + privateSuffix
	text, err := readFile(path, true)
	if err != nil {
		return Key{}, fmt.Errorf("read private key: %w", err)
	}
	private, err := parsePrivate(text)
	if err != nil {
		return Key{}, fmt.Errorf("read private key: %s%w", path, err)
	}
	key, err := newKey(public.Zone, public.Flags, private)
	if err != nil {
		return Key{}, fmt.Errorf("read private key: %s: %w", path, err)
	}
	if key.point != public.point {
		return Key{}, fmt.Errorf("read private key: %s is not of the same pair as %s%s", path, base, publicSuffix)
	}
	return key, nil
}

// LoadPublic reads the public part of what Load reads. Of a pair, it needs
// only the file of the public key.
func LoadPublic(path string, origin zone.Name) (PublicKey, error) {
	if base, pair := pairOf(path); pair {
		return loadPublicFile(base+publicSuffix, origin)
	}
	key, err := loadPEM(path, origin)
	return key.PublicKey, err
}

// pairOf returns the path that the files of a pair begin with. It is false if
// the path is not one of a pair.
func pairOf(path string) (base string, pair bool) {
	for _, suffix := range []string{publicSuffix, privateSuffix} {
		if base, found := strings.CutSuffix(path, suffix); found {
			return base, true
		}
	}
	pair, err := filepath.Match("K*.+[0-9][0-9][0-9]+[0-9][0-9][0-9][0-9][0-9]", filepath.Base(path))
	return path, pair && err == nil
}

func loadPublicFile(path string, origin zone.Name) (PublicKey, error) {
	text, err := readFile(path, false)
	if err != nil {
		return PublicKey{}, fmt.Errorf("read public key: %w", err)
	}
	key, err := parsePublic(text)
	if err != nil {
		return PublicKey{}, fmt.Errorf("read public key: %s: %w", path, err)
	}
	if origin != "" && key.Zone != origin {
		return PublicKey{}, fmt.Errorf("read public key: %s is one of zone %s, not of %s", path, key.Zone, origin)
	}
	return key, nil
}

func loadPEM(path string, origin zone.Name) (Key, error) {
	text, err := readFile(path, true)
	if err != nil {
		return Key{}, fmt.Errorf("read private key: %w", err)
	}
	private, err := parsePEM(text)
	if err != nil {
		return Key{}, fmt.Errorf("read private key: %s: %w", path, err)
	}
	if origin == "" {
		return Key{}, fmt.Errorf("read private key: %s doesn't tell which zone it is of; name the zone, or use a pair of %s and %s files", path, publicSuffix, privateSuffix)
	}
	key, err := newKey(origin, FlagsKSK, private)
	if err != nil {
		return Key{}, fmt.Errorf("read private key: %s: %w", path, err)
	}
	return key, nil
}

// readFile reads a key file. One that is secret must be its owner's only.
func readFile(path string, secret bool) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); secret && mode&0o077 != 0 {
		return nil, fmt.Errorf("%s: others can read it (mode %04o); chmod 600 it, and replace the key if they might have", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("%s is no key file: it has more than %d bytes", path, maxKeyFile)
	}
	return text, nil
}

// parsePublic reads one DNSKEY record in presentation format.
func parsePublic(text []byte) (PublicKey, error) {
	records := dns.NewZoneParser(bytes.NewReader(text), "", "")
	records.SetDefaultTTL(0) // BIND writes the record without one
	rr, ok := records.Next()
	if err := records.Err(); err != nil {
		return PublicKey{}, err
	}
	if !ok {
		return PublicKey{}, errors.New("it holds no record")
	}
	record, ok := rr.(*dns.DNSKEY)
	if !ok {
		return PublicKey{}, fmt.Errorf("it holds a record of type %s, want DNSKEY", dns.TypeToString[rr.Header().Rrtype])
	}
	if _, more := records.Next(); more || records.Err() != nil {
		return PublicKey{}, errors.New("it holds more than one record")
	}
	switch {
	case record.Hdr.Class != dns.ClassINET:
		return PublicKey{}, fmt.Errorf("class is %s, want IN", dns.ClassToString[record.Hdr.Class])
	case record.Protocol != 3: // RFC 4034 section 2.1.2
		return PublicKey{}, fmt.Errorf("protocol is %d, want 3", record.Protocol)
	case record.Algorithm != algorithm:
		return PublicKey{}, wrongAlgorithm(record.Algorithm)
	}
	origin, err := zone.ParseName(record.Hdr.Name)
	if err != nil {
		return PublicKey{}, err
	}
	return newPublicKey(origin, record.Flags, record.PublicKey)
}

// parsePrivate reads a private key as BIND's tools write it: lines of a name,
// a colon and a value. Errors begin with a colon and the line's number, where
// there is one, and don't show the key.
func parsePrivate(text []byte) (*ecdsa.PrivateKey, error) {
	var format, secret bool
	var scalar []byte
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, ";") {
			continue
		}
		if !found {
			return nil, fmt.Errorf(":%d: a name, a colon and a value are wanted", number)
		}
		switch strings.ToLower(name) {
		case "private-key-format":
			if format = strings.HasPrefix(value, "v1."); !format {
				return nil, fmt.Errorf(":%d: the format is %.20q, want v1.3", number, value)
			}
		case "algorithm":
			digits, _, _ := strings.Cut(value, " ")
			n, err := strconv.ParseUint(digits, 10, 8)
			if err != nil || uint8(n) != algorithm {
				return nil, fmt.Errorf(":%d: %w", number, wrongAlgorithm(uint8(n)))
			}
		case "privatekey":
			var err error
			if scalar, err = base64.StdEncoding.DecodeString(value); err != nil {
				return nil, fmt.Errorf(":%d: the private key is no base64", number)
			}
			secret = true
		}
	}
	switch {
	case !format:
		return nil, errors.New(": it doesn't begin with Private-key-format, as dnssec-keygen writes it")
	case !secret:
		return nil, errors.New(": it holds no PrivateKey; a key that is kept in hardware can't be used")
	}
	const size = 32
	if len(scalar) < size { // leading zeros may have been left out
		scalar = append(make([]byte, size-len(scalar)), scalar...)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar)
	if err != nil {
		return nil, fmt.Errorf(": %w", err)
	}
	return key, nil
}

// parsePEM reads a private key in PKCS#8.
func parsePEM(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("it is neither PEM nor one of a pair of %s and %s files", publicSuffix, privateSuffix)
	}
	if block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("it holds a PEM block %.40q, want PRIVATE KEY (PKCS#8, not encrypted); convert it with: openssl pkcs8 -topk8 -nocrypt", block.Type)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("it is not a key of the curve P-256, the only one that is supported (ECDSAP256SHA256)")
	}
	return key, nil
}

func wrongAlgorithm(number uint8) error {
	name := dns.AlgorithmToString[number]
	if name == "" {
		name = "unknown"
	}
	return fmt.Errorf("the algorithm is %d (%s), want %d (ECDSAP256SHA256); make a key with: switchd dns keygen", number, name, algorithm)
}
