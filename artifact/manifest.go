// Package artifact packs, signs, stores, fetches, verifies and unpacks
// releases. It knows nothing of services beyond their names.
package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Manifest describes one release: immutable once it is published.
type Manifest struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Size    int64  `json:"size"`   // bytes of the archive
	SHA256  string `json:"sha256"` // of the archive, lower-case hex
	Format  string `json:"format"` // FormatTarZstd
	// Unpacked is the room in bytes that the unpacked release takes, as Info
	// counts it. No archive may unpack to more.
	Unpacked int64 `json:"unpacked"`
	// PieceLength in bytes and InfoHash, the SHA-1 of the info dictionary in
	// lower-case hex (BEP 3), let a swarm fetch the archive. Without them it
	// comes over HTTP only. AddMetainfo sets both.
	PieceLength int64     `json:"piece_length,omitempty"`
	InfoHash    string    `json:"info_hash,omitempty"`
	Created     time.Time `json:"created"`
	By          string    `json:"by"`
	// Signature is a minisign signature over Payload.
	Signature string `json:"signature,omitempty"`
}

// FormatTarZstd is a tar archive compressed with Zstandard (RFC 8878).
const FormatTarZstd = "tar.zst"

// maxManifest bounds a manifest's JSON, in bytes.
const maxManifest = 16 << 10

const (
	maxBy        = 256     // characters
	maxSignature = 4 << 10 // bytes
	maxBytes     = 1 << 50 // of an archive or of what it holds
)

// Anchored at both ends; \z, not $, so that no line feed passes.
var (
	servicePattern = regexp.MustCompile(`\A[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\z`)
	versionPattern = regexp.MustCompile(`\A[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}\z`)
	digestPattern  = regexp.MustCompile(`\A[0-9a-f]{64}\z`)
)

// NewManifest describes what Pack has packed; it is not signed yet.
func NewManifest(service, version, by string, created time.Time, info Info) Manifest {
	return Manifest{
		Service:  service,
		Version:  version,
		Size:     info.Size,
		SHA256:   info.SHA256,
		Format:   FormatTarZstd,
		Unpacked: info.Unpacked,
		Created:  created.UTC().Truncate(time.Second),
		By:       by,
	}
}

// ParseManifest parses and validates a manifest's JSON. What it does not know
// it refuses, as the signature could not cover it.
func ParseManifest(text []byte) (Manifest, error) {
	if len(text) > maxManifest {
		return Manifest{}, fmt.Errorf("parse manifest: it has %d bytes, more than the %d allowed", len(text), maxManifest)
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("parse manifest: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Manifest{}, errors.New("parse manifest: there is more than one value in it")
	}
	if err := m.Validate(); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// Validate checks every field but the signature, on which Verify has the
// word. The names are safe as parts of a path: the service is an RFC 1123
// label in lower case, the version starts with a letter or a digit.
func (m Manifest) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !servicePattern.MatchString(m.Service) {
		bad("service %.80q: want up to 63 lower-case letters, digits and inner hyphens", m.Service)
	}
	if !versionPattern.MatchString(m.Version) {
		bad("version %.80q: want up to 64 letters, digits and . + _ -, the first a letter or a digit", m.Version)
	}
	if !digestPattern.MatchString(m.SHA256) {
		bad("sha256 %.80q: want 64 lower-case hex digits", m.SHA256)
	}
	if m.Size <= 0 || m.Size > maxBytes {
		bad("size %d: want the archive's bytes", m.Size)
	}
	if m.Unpacked <= 0 || m.Unpacked > maxBytes {
		bad("unpacked %d: want the unpacked release's bytes", m.Unpacked)
	}
	if err := m.validMetainfo(); err != nil {
		bad("%w", err)
	}
	if m.Format != FormatTarZstd {
		bad("format %.80q: want %q", m.Format, FormatTarZstd)
	}
	if y := m.Created.UTC().Year(); m.Created.IsZero() || y < 1 || y > 9999 {
		bad("created %v: want the time of publishing", m.Created)
	}
	if !utf8.ValidString(m.By) || utf8.RuneCountInString(m.By) > maxBy || strings.ContainsFunc(m.By, unicode.IsControl) {
		bad("by %.80q: want at most %d printable characters", m.By, maxBy)
	}
	if len(m.Signature) > maxSignature {
		bad("signature: it has %d bytes, more than the %d allowed", len(m.Signature), maxSignature)
	}
	if len(errs) > 0 {
		return fmt.Errorf("manifest of %.80q %.80q: %w", m.Service, m.Version, errors.Join(errs...))
	}
	return nil
}

// Payload returns the bytes that are signed: the manifest's JSON without its
// signature, its time in UTC. They are the same for every manifest that is
// equal, however it was written. Only a valid manifest has them.
func (m Manifest) Payload() []byte {
	m.Signature = ""
	m.Created = m.Created.UTC()
	text, err := json.Marshal(m)
	if err != nil {
		return nil // A year beyond 9999, which Validate refuses.
	}
	return text
}

// String names the release for people.
func (m Manifest) String() string { return m.Service + " " + m.Version }
