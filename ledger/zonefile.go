package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"
	"github.com/klauspost/compress/zstd"

	"switchd/consul"
	"switchd/spec"
)

// maxZoneFile bounds a zone file as it is kept in Consul, compressed, in bytes.
// Consul takes values of at most 512 KiB.
const maxZoneFile = 480 << 10

// ErrZoneFileTooLarge says that Consul can't hold the zone file.
var ErrZoneFileTooLarge = errors.New("the zone file is too large for Consul")

// ErrNoZoneFile says that Consul holds no such zone file.
var ErrNoZoneFile = errors.New("the zone file is not in Consul; apply the inputs again")

// ZoneFile reads the text of a zone file by its SHA-256, and verifies it.
func (l *Ledger) ZoneFile(ctx context.Context, file spec.ZoneFile) ([]byte, error) {
	entry, err := l.Consul.Get(ctx, l.Keys.ZoneFile(file.SHA256))
	if err != nil {
		return nil, err
	}
	if entry.Index == 0 {
		return nil, fmt.Errorf("read %s: %w", entry.Key, ErrNoZoneFile)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*spec.MaxZoneFile))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", entry.Key, err)
	}
	defer decoder.Close()
	text, err := decoder.DecodeAll(entry.Value, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", entry.Key, err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != file.SHA256 {
		return nil, fmt.Errorf("read %s: its SHA-256 is %x; apply the inputs again", entry.Key, sum)
	}
	return text, nil
}

// keepZoneFile writes a zone file, before anything names it.
func (l *Ledger) keepZoneFile(ctx context.Context, file *spec.ZoneFile, text []byte) error {
	if file == nil {
		return nil
	}
	key := l.Keys.ZoneFile(file.SHA256)
	if entry, err := l.Consul.Get(ctx, key); err != nil || entry.Index != 0 {
		return err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("compress %s: %w", file.Name, err)
	}
	defer func() { _ = encoder.Close() }() // it writes nowhere
	value := encoder.EncodeAll(text, nil)
	if len(value) > maxZoneFile {
		return fmt.Errorf("%w: %s has %d bytes compressed, of %d that may be; delegate parts of the zone, or serve it from your own name servers and choose the switch %q",
			ErrZoneFileTooLarge, file.Name, len(value), maxZoneFile, spec.SwitchDNSUpdate)
	}
	// Not in a transaction, which has less room; the key says what the value
	// is, so that no write of it can be wrong.
	ctx, cancel := context.WithTimeout(ctx, consul.CallTimeout)
	defer cancel()
	if _, err := l.Consul.API().KV().Put(&api.KVPair{Key: key, Value: value}, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// forgetZoneFiles removes those that nothing names any more.
func (l *Ledger) forgetZoneFiles(ctx context.Context, keep *spec.ZoneFile) error {
	entries, err := l.Consul.Folders(ctx, l.Keys.ZoneFiles())
	if err != nil {
		return err
	}
	for _, sum := range entries {
		if keep != nil && keep.SHA256 == sum {
			continue
		}
		if err := l.Consul.Delete(ctx, l.Keys.ZoneFile(sum)); err != nil {
			return err
		}
	}
	return nil
}
