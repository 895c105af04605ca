package dnsflip

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestRestore_KeepsTheFileWhenItsZoneFileCantBeRead puts a directory in the
// zone file's way: a fault of the machine, that may be over at the next start.
func TestRestore_KeepsTheFileWhenItsZoneFileCantBeRead(t *testing.T) {
	t.Parallel()
	file, v := filepath.Join(t.TempDir(), "view.json"), mastered(1, "$TTL 60\ntxt TXT text\n")
	if err := quiet(Config{File: file}).Publish(v); err != nil {
		t.Fatal(err)
	}
	text := zoneFile(file, v.Zone.File)
	if err := errors.Join(os.Rename(text, text+".aside"), os.Mkdir(text, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := quiet(Config{File: file}).Restore(); err == nil || strings.Contains(err.Error(), "corrupt") || !strings.Contains(err.Error(), "apps.zone") {
		t.Errorf("got %v, want an error that names the zone file", err)
	}
	if err := errors.Join(os.Remove(text), os.Rename(text+".aside", text)); err != nil {
		t.Fatal(err)
	}
	s := quiet(Config{File: file})
	if _, err := s.Restore(); err != nil {
		t.Fatalf("once it can be read again: %v", err)
	}
	if got := lookup(t, s, "txt.apps.test.", dns.TypeTXT).Answer; len(got) != 1 {
		t.Errorf("got %v", got)
	}
}

// TestRestore_PutsAFileAsideWhoseZoneFileIsAnother has what no start can mend.
func TestRestore_PutsAFileAsideWhoseZoneFileIsAnother(t *testing.T) {
	t.Parallel()
	for what, spoil := range map[string]func(text string) error{
		"gone":    os.Remove,
		"another": func(text string) error { return os.WriteFile(text, []byte("$TTL 61\n"), 0o600) },
	} {
		file, v := filepath.Join(t.TempDir(), "view.json"), mastered(1, "$TTL 60\n")
		if err := errors.Join(quiet(Config{File: file}).Publish(v), spoil(zoneFile(file, v.Zone.File))); err != nil {
			t.Fatal(err)
		}
		if _, err := quiet(Config{File: file}).Restore(); err == nil || !strings.Contains(err.Error(), "is corrupt and now is") {
			t.Errorf("%s: got %v", what, err)
		}
		if _, err := os.Stat(file + ".corrupt"); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}
