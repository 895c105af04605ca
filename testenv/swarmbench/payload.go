//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// payload is the file that is distributed: random bytes, the same ones for the
// same size.
type payload struct {
	path string
	size byteSize
	sum  [sha256.Size]byte
}

// errWrongSum is the worst that a contender can do.
var errWrongSum = errors.New("WRONG CHECKSUM")

func newPayload(ctx context.Context, dir string, size byteSize) (p payload, err error) {
	p = payload{path: filepath.Join(dir, "payload"), size: size}
	file, err := os.OpenFile(p.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return payload{}, fmt.Errorf("make the file to distribute: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	hash := sha256.New()
	random := rand.NewChaCha8([32]byte{1})
	for left := int64(size); left > 0; left -= chunk {
		if err := ctx.Err(); err != nil {
			return payload{}, err
		}
		if _, err := io.CopyN(io.MultiWriter(file, hash), random, min(left, chunk)); err != nil {
			return payload{}, fmt.Errorf("make the file to distribute: %w", err)
		}
	}
	hash.Sum(p.sum[:0])
	return p, nil
}

// chunk is how much is made between two looks at the context, in bytes.
const chunk = 1 << 20

// remove removes the file; its folder goes away at the end anyway.
func (p payload) remove() { _ = os.Remove(p.path) }

// verify tells whether the file at path is a true copy.
func (p payload) verify(path string) error {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("verify a copy: %w", err)
	}
	defer file.Close() //nolint:errcheck // It was only read.
	hash := sha256.New()
	n, err := io.Copy(hash, file)
	if err != nil {
		return fmt.Errorf("verify a copy: %w", err)
	}
	if [sha256.Size]byte(hash.Sum(nil)) != p.sum {
		return fmt.Errorf("%w: %s has %d bytes with SHA-256 %x, want %d with %x", errWrongSum, path, n, hash.Sum(nil), p.size, p.sum)
	}
	return nil
}
