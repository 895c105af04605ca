// Package secretfile opens files with secrets in them.
package secretfile

import (
	"errors"
	"fmt"
	"os"
)

// Open opens a regular file that nobody but its owner may read. What names what is
// in it, such as "TSIG keys", and secrets what is to be replaced if others might
// have read it, such as "the keys".
func Open(path, what, secrets string) (*os.File, error) {
	f, err := os.Open(path) //nolint:gosec // the operator has named it
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", what, err)
	}
	if err := private(f, secrets); err != nil {
		_ = f.Close() // was not even read
		return nil, fmt.Errorf("read %s %s: %w", what, path, err)
	}
	return f, nil
}

// private looks at the open file: what its name leads to may be another one by now.
func private(f *os.File, secrets string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return errors.New("it is no regular file")
	case mode.Perm()&0o077 != 0:
		return fmt.Errorf("others can read it (mode %04o); chmod 600 it, and replace %s if they might have", mode.Perm(), secrets)
	}
	return nil
}
