package durable_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchd/durable"
)

func TestReplace_WritesTheWholeFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"a long first text", "short", ""} {
		if err := durable.Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("read %q, %v, want %q", got, err, text)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestReplace_LeavesTheOldFileWhenItFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// The name fits, that of a temporary file beside it does not.
	path := filepath.Join(dir, strings.Repeat("j", 255))
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(path, []byte("new")); err == nil {
		t.Error("got no error for a file that can't be created")
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "old" {
		t.Errorf("the file is now %q, %v", text, err)
	}
	// What can be written but not put in its place leaves nothing behind.
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(taken, []byte("new")); err == nil {
		t.Error("got no error for a file whose name is a folder's")
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.tmp")); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if err := durable.Replace(filepath.Join(dir, "missing", "file"), nil); err == nil {
		t.Error("got no error in a folder that does not exist")
	}
}
