package secretfile_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchd/secretfile"
)

func TestOpen_ReadsWhatOnlyItsOwnerCan(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := secretfile.Open(path, "TSIG keys", "the keys")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // was only read
	if text, err := io.ReadAll(f); err != nil || string(text) != "secret" {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestOpen_RefusesWhatOthersMayRead(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o610, 0o601} {
		path := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // the umask has its say in a new file
			t.Fatal(err)
		}
		_, err := secretfile.Open(path, "TSIG keys", "the keys")
		if err == nil || !strings.HasPrefix(err.Error(), "read TSIG keys "+path+": others can read it (mode 0") || !strings.HasSuffix(err.Error(), "replace the keys if they might have") {
			t.Errorf("mode %04o: got %v", mode, err)
		}
	}
}

func TestOpen_RefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := secretfile.Open(dir, "TSIG keys", "the keys"); err == nil || !strings.HasSuffix(err.Error(), "it is no regular file") {
		t.Errorf("got %v", err)
	}
	if _, err := secretfile.Open(filepath.Join(dir, "none"), "TSIG keys", "the keys"); err == nil || !strings.HasPrefix(err.Error(), "open TSIG keys: ") {
		t.Errorf("got %v", err)
	}
}
