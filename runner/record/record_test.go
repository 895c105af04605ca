package record_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"switchd/runner/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRecord_ReadsWhatWasWritten(t *testing.T) {
	t.Parallel()
	path, err := record.Path(filepath.Join(t.TempDir(), "logs", "web-blue.log"), "static")
	if err != nil || filepath.Base(path) != "web-blue.static.json" {
		t.Fatalf("path is %s, %v", path, err)
	}
	if _, err := record.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v, want that there is none", err)
	}
	for _, value := range []string{"a long first value", "short"} {
		if err := record.Write(path, value); err != nil {
			t.Fatal(err)
		}
		if got, err := record.Read(path); err != nil || string(got) != `"`+value+`"` {
			t.Errorf("read %s, %v, want %q", got, err, value)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode is %v, %v, want 0600", info.Mode(), err)
	}
	if dir, err := os.Stat(filepath.Dir(path)); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory is %v, %v, want 0700", dir.Mode(), err)
	}
}

func TestRemove_TakesWhatIsGoneForRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.static.json")
	if err := record.Write(path, "value"); err != nil {
		t.Fatal(err)
	}
	if err := record.Remove(filepath.Dir(path)); err == nil {
		t.Error("remove of a directory that is not empty: no error")
	}
	for range 2 {
		if err := record.Remove(path); err != nil {
			t.Error(err)
		}
	}
	if _, err := record.Read(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v, want that there is none", err)
	}
}

func TestRecord_IsBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.static.json")
	if err := record.Write(path, strings.Repeat("x", 4<<20)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("write of too much: %v", err)
	}
	if err := os.WriteFile(path, make([]byte, 4<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := record.Read(path); err == nil || !strings.Contains(err.Error(), "more than 4194304 bytes") {
		t.Errorf("read of too much: %v", err)
	}
	if _, err := record.Path("", "static"); err == nil {
		t.Error("a path without a log file")
	}
}

func TestTurns_LetOneAtATimeIn(t *testing.T) {
	t.Parallel()
	var turns record.Turns
	var group sync.WaitGroup
	inside := 0 // The race detector watches it.
	for range 8 {
		group.Go(func() {
			for range 100 {
				release, err := turns.Take(t.Context(), "a")
				if err != nil {
					t.Error(err)
					return
				}
				inside++
				release()
			}
		})
	}
	group.Wait()
	if inside != 800 {
		t.Errorf("%d were inside, want 800", inside)
	}

	release, err := turns.Take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turns.Take(ctx, "a"); !errors.Is(err, context.Canceled) {
		t.Errorf("take of a taken turn: %v, want %v", err, context.Canceled)
	}
	other, err := turns.Take(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
}
