package dnsflip

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"switchd/durable"
	"switchd/spec"
)

// maxFile bounds the last-known file: room for tens of thousands of services.
const maxFile = 64 << 20

// encode writes a view as the last-known file holds it.
func encode(v View) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("encode view: %w", err)
	}
	return append(data, '\n'), nil
}

// decode reads what encode wrote, in its normal form. It trusts nothing.
func decode(data []byte) (View, error) {
	var v View
	if err := json.Unmarshal(data, &v); err != nil {
		return View{}, fmt.Errorf("decode view: %w", err)
	}
	if err := v.Validate(); err != nil {
		return View{}, fmt.Errorf("validate view: %w", err)
	}
	return v.normal(), nil
}

// next is where a view is written before it is served. It survives the process
// at once, but the machine only when it has become the last-known file.
func next(file string) string { return file + ".next" }

// load reads a last-known file, or what was about to become it. One that
// holds no valid view is renamed, so that the next start does not stumble over
// it and nothing is lost.
func load(file string) (View, error) {
	v, err := loadOne(file)
	if newer, nextErr := loadOne(next(file)); nextErr == nil && (err != nil || newer.Zone.Name != v.Zone.Name || older(v.Serial, newer.Serial)) {
		return newer, nil
	}
	if err == nil {
		return v, nil
	}
	if _, corrupt := errors.AsType[*corruptError](err); !corrupt {
		return View{}, fmt.Errorf("read last-known file: %w", err)
	}
	aside := file + ".corrupt"
	if renameErr := os.Rename(file, aside); renameErr != nil {
		return View{}, fmt.Errorf("last-known file %s is corrupt: %w", file, errors.Join(err, renameErr))
	}
	return View{}, fmt.Errorf("last-known file %s is corrupt and now is %s; the next view from Consul replaces it: %w", file, aside, err)
}

// corruptError says that a file could be read but holds no valid view.
type corruptError struct{ cause error }

func (e *corruptError) Error() string { return e.cause.Error() }

func (e *corruptError) Unwrap() error { return e.cause }

func loadOne(file string) (View, error) {
	data, err := read(file)
	if err != nil {
		return View{}, err
	}
	v, err := decode(data)
	if err != nil {
		return View{}, &corruptError{err}
	}
	v.ZoneFile, err = loadZoneFile(strings.TrimSuffix(file, next("")), v.Zone.File)
	return v, err
}

// zoneFile is where the text of a view's zone file stands, beside the
// last-known file. It is named after its content, so that the two agree after
// a crash at any moment.
func zoneFile(file string, z *spec.ZoneFile) string {
	return file + ".zone-" + z.SHA256[:min(len(z.SHA256), 16)]
}

// loadZoneFile reads the text of the zone file that a view names.
func loadZoneFile(file string, z *spec.ZoneFile) ([]byte, error) {
	if z == nil {
		return nil, nil
	}
	text, err := read(zoneFile(file, z))
	if errors.Is(err, os.ErrNotExist) {
		return nil, &corruptError{fmt.Errorf("the zone file %s of the view is gone", z.Name)}
	}
	if err != nil {
		return nil, fmt.Errorf("read the zone file %s: %w", z.Name, err)
	}
	if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != z.SHA256 {
		return nil, &corruptError{fmt.Errorf("the zone file %s is not the one that the view names", z.Name)}
	}
	return text, nil
}

// saveZoneFile writes the text of the view's zone file, if it isn't there.
func saveZoneFile(file string, v View) error {
	if v.Zone.File == nil {
		return nil
	}
	if _, err := loadZoneFile(file, v.Zone.File); err == nil {
		return nil
	}
	return durable.Replace(zoneFile(file, v.Zone.File), v.ZoneFile)
}

// removeZoneFiles removes those that the view doesn't name.
func removeZoneFiles(file string, v View) error {
	old, err := filepath.Glob(file + ".zone-*")
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range old {
		if v.Zone.File == nil || name != zoneFile(file, v.Zone.File) {
			errs = append(errs, remove(name))
		}
	}
	return errors.Join(errs...)
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	// One byte more than allowed tells a file that is too long, and makes
	// it one that does not decode.
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// stage writes a view so that it survives the process, in far less time than
// it takes to survive the machine: a flip waits for it, and settle follows.
func stage(file string, v View) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	if len(data) > maxFile {
		return fmt.Errorf("%s would have %d bytes, more than the %d that are read back", file, len(data), maxFile)
	}
	tmp := file + ".tmp"
	if err := write(tmp, data); err != nil {
		return errors.Join(err, remove(tmp))
	}
	if err := os.Rename(tmp, next(file)); err != nil {
		return errors.Join(err, remove(tmp))
	}
	return nil
}

// settle makes what was staged the last-known file, so that after a crash of
// the machine at any moment there is the old one or the new one.
func settle(file string) error {
	f, err := os.Open(next(file))
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(next(file), file); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(file))
}

func write(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func remove(file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
