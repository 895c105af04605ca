package logfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"switchd/runner/logfile"
)

func TestOpen_AppendsToAFileOfTheAgentsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "logs", "web.log")
	for _, line := range []string{"one\n", "two\n"} {
		f, err := logfile.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(line)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "one\ntwo\n" {
		t.Errorf("the log is %q, %v", text, err)
	}
	for path, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
}

func TestOpen_RefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link, fifo := filepath.Join(dir, "link.log"), filepath.Join(dir, "fifo.log")
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := errors.Join(os.Symlink(elsewhere, link), syscall.Mkfifo(fifo, 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "no log file", link: "symbolic link", fifo: "FIFO", dir: dir} {
		f, err := logfile.Open(path)
		if err == nil {
			t.Errorf("%q was opened: %v", path, f.Close())
		} else if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("open of %q: %v, want an error that says %q", path, err, want)
		}
	}
	if _, err := os.Stat(elsewhere); !os.IsNotExist(err) {
		t.Errorf("the link's target: %v, want it untouched", err)
	}
}

func TestRotate_PutsLargeLogsAside(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "web.log")
	if err := logfile.Rotate(path); err != nil {
		t.Errorf("without a log: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{logfile.MaxSize, logfile.MaxSize + 1} {
		if err := errors.Join(os.Truncate(path, size), logfile.Rotate(path)); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(path + ".1")
		if rotated := err == nil; rotated != (size > logfile.MaxSize) {
			t.Errorf("with %d bytes rotated is %v", size, rotated)
		}
	}
}
