package program_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchd/runner/environ"
	"switchd/runner/program"
)

// release makes a directory of programs of all kinds.
func release(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"plain": 0o600, "fine": 0o700} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"outside": "/bin/sh", "inside": "fine"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind_KnowsWhatACommandMeans(t *testing.T) {
	t.Parallel()
	dir := release(t)
	for name, test := range map[string]struct{ path, want string }{
		"./fine":   {"", dir + "/fine"},
		"./inside": {"", dir + "/inside"},
		"/bin/sh":  {"", "/bin/sh"},
		"fine":     {"/nowhere:" + dir, dir + "/fine"},
		"sh":       {dir + ":/bin", "/bin/sh"},
	} {
		if got, err := program.Find([]string{name, "argument"}, dir, test.path); err != nil || got != test.want {
			t.Errorf("%s is %s, %v, want %s", name, got, err, test.want)
		}
	}
}

func TestFind_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := release(t)
	for name, want := range map[string]string{
		"":                "there is no command to run",
		"./plain":         dir + "/plain: is not executable (mode 0600); set the mode",
		"./missing":       dir + "/missing: no such file; check the command, and what was packed",
		"./outside":       dir + "/outside: ",
		"./../fine":       "./../fine leads out of the release " + dir,
		"./":              "is no file that can be run",
		"/no/such/file":   "/no/such/file: no such file",
		"no-such-program": "no-such-program: no such program in PATH (" + environ.Path + "); a program of the release is written with a slash, as ./no-such-program",
		"fine":            "no such program in PATH",
	} {
		if got, err := program.Find([]string{name}, dir, environ.Path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is %s, %v, want an error that says %q", name, got, err, want)
		}
	}
	if _, err := program.Find(nil, dir, environ.Path); err == nil {
		t.Error("no command at all: no error")
	}
	if _, err := program.Find([]string{"./fine"}, dir+"/missing", ""); err == nil || !strings.Contains(err.Error(), "open the release") {
		t.Errorf("a release that is not there: %v", err)
	}
}

func TestFind_LooksInNoRelativeDirectory(t *testing.T) {
	t.Chdir(release(t))
	for _, path := range []string{".", "", ":", "./"} {
		if got, err := program.Find([]string{"fine"}, "/", path); err == nil {
			t.Errorf("with PATH=%q it is %s, want nothing", path, got)
		}
	}
}
