package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"switchd/ledger"
	"switchd/spec"
)

// withFile is a desired state whose zone has a file with this text.
func withFile(text []byte) *spec.Desired {
	d := desired(web())
	sum := sha256.Sum256(text)
	d.Environment.Zone = &spec.Zone{
		Name: "apps.test", NameServers: []string{"ns1.apps.test"},
		File: &spec.ZoneFile{Name: "apps.zone", SHA256: hex.EncodeToString(sum[:])},
	}
	d.ZoneFile = text
	return d
}

func TestZoneFile_IsKeptAsLongAsItIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second := withFile(bytes.Repeat([]byte("www 60 A 192.0.2.1\n"), 100000)), withFile([]byte("www 60 A 192.0.2.2\n"))
	for _, d := range []*spec.Desired{first, second} {
		if err := w.Apply(t.Context(), "test", d); err != nil {
			t.Fatal(err)
		}
		text, err := w.ZoneFile(t.Context(), *d.Environment.Zone.File)
		if err != nil || !bytes.Equal(text, d.ZoneFile) {
			t.Fatalf("the file has %d bytes, want %d (%v)", len(text), len(d.ZoneFile), err)
		}
	}
	if _, err := w.ZoneFile(t.Context(), *first.Environment.Zone.File); !errors.Is(err, ledger.ErrNoZoneFile) {
		t.Errorf("the former file: %v", err)
	}
	// One that was edited is not taken for what its key says.
	key := w.Keys.ZoneFile(second.Environment.Zone.File.SHA256)
	for _, text := range []string{"garbage", ""} {
		w.put(t, key, text)
		if _, err := w.ZoneFile(t.Context(), *second.Environment.Zone.File); err == nil {
			t.Errorf("%q was taken for the file", text)
		}
	}
}

func TestApply_RefusesAZoneFileThatConsulCannotHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	text := make([]byte, 600<<10) // that can't be compressed
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(text) // never fails
	before := w.everything(t)
	err := w.Apply(t.Context(), "test", withFile(text))
	if !errors.Is(err, ledger.ErrZoneFileTooLarge) || !strings.Contains(err.Error(), "apps.zone") {
		t.Errorf("got %v", err)
	}
	if w.everything(t) != before {
		t.Error("something was written nevertheless")
	}
}
