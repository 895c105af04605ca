// Package record keeps what a runtime notes of an instance: a small file of
// JSON beside the instance's log, replaced as a whole.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"switchd/durable"
)

// maxSize bounds what is read, in bytes.
const maxSize = 4 << 20

// Path is where a kind of runtime keeps its record of the instance that logs
// to logFile: web-blue.static.json beside web-blue.log.
func Path(logFile, kind string) (string, error) {
	if logFile == "" {
		return "", errors.New("the instance has no log file, beside which its record is kept")
	}
	path, err := filepath.Abs(logFile)
	if err != nil {
		return "", fmt.Errorf("find the instance's record: %w", err)
	}
	return strings.TrimSuffix(path, ".log") + "." + kind + ".json", nil
}

// Read reads a bounded file. An error that is fs.ErrNotExist says that there
// is none yet.
func Read(path string) ([]byte, error) {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	defer file.Close() //nolint:errcheck // Opened for reading.
	text, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	if len(text) > maxSize {
		return nil, fmt.Errorf("read record: %s has more than %d bytes", path, maxSize)
	}
	return text, nil
}

// Write replaces the file by value as JSON, with mode 0600, and makes it
// durable: after a crash it holds either the old or the new value. Two writers
// of one file must keep each other out.
func Write(path string, value any) error {
	if err := write(path, value); err != nil {
		return fmt.Errorf("write record %s: %w", path, err)
	}
	return nil
}

func write(path string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if len(text) > maxSize {
		return fmt.Errorf("it would have %d bytes, more than the %d allowed", len(text), maxSize)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return durable.Replace(path, text)
}

// Remove removes a record. One that isn't there is no error.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove record: %w", err)
	}
	return nil
}
