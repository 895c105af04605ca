//go:build !race

// minisign's key derivation takes a gigabyte and seconds, and under the race
// detector half a minute.

package artifact_test

import (
	"path/filepath"
	"testing"

	"switchd/artifact"
)

func TestGenerateKey_EncryptsWithAPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	priv := filepath.Join(dir, "release.key")
	made, err := artifact.GenerateKey(filepath.Join(dir, "release.pub"), priv, "correct horse")
	must(t, err)
	key, err := artifact.LoadPrivateKey(priv, func() (string, error) { return "correct horse", nil })
	must(t, err)
	if key.ID() != made.ID() {
		t.Errorf("key is %X, want %X", key.ID(), made.ID())
	}
	if _, err := artifact.LoadPrivateKey(priv, nil); err == nil {
		t.Error("the key is not encrypted")
	}
}
