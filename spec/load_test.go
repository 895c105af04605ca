package spec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"switchd/spec"
)

func TestLoad_ReadsTheDirectoryButNotThoseBelow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.hcl"), `environment "prod" {}`)
	write(t, filepath.Join(dir, "a.hcl"), `environment "dev" {}`)
	write(t, filepath.Join(dir, "notes.txt"), `environment "not-hcl" {}`)
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "below", "c.hcl"), `environment "below" {}`)

	src, diags := spec.Load(dir)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if got, want := src.Environments(), []string{"dev", "prod"}; !slices.Equal(got, want) {
		t.Errorf("environments: got %v, want %v", got, want)
	}
}

func TestLoad_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("# a comment\n", 1<<20/12+1)
	many := make(fstest.MapFS)
	for i := range 1001 {
		many[fmt.Sprintf("%04d.hcl", i)] = &fstest.MapFile{}
	}
	for name, test := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"no file":          {fstest.MapFS{}, "no *.hcl file"},
		"files below only": {fstest.MapFS{"below/a.hcl": {}}, "no *.hcl file"},
		"a large file":     {fstest.MapFS{"a.hcl": {Data: []byte(large)}}, "larger than 1048576 bytes"},
		"many files":       {many, "1001 *.hcl files"},
		"a directory":      {fstest.MapFS{"a.hcl/b.txt": {}}, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src, diags := spec.LoadFS(test.files)
			if !strings.Contains(diags.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", diags.Error(), test.want)
			}
			if desired, diags := src.Compile("prod"); desired != nil || !diags.HasErrors() {
				t.Error("compiled what was not read")
			}
		})
	}
}

func TestLoad_NamesTheMissingDirectory(t *testing.T) {
	t.Parallel()
	_, diags := spec.Load(filepath.Join(t.TempDir(), "gone"))
	if !strings.Contains(diags.Error(), "gone: no such file or directory") {
		t.Errorf("got %v", diags)
	}
}

func TestLoad_DoesNotWaitForAPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(dir, "pipe.hcl"), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan string, 1)
	go func() {
		_, diags := spec.Load(dir)
		done <- diags.Error()
	}()
	select {
	case got := <-done:
		if !strings.Contains(got, "not a regular file") {
			t.Errorf("got %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("still reading")
	}
}

// Each of these would overflow the stack of HCL's parser or evaluator, or
// take memory without a bound, if it came that far.
func TestLoad_SurvivesHostileInputs(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for name, text := range map[string]string{
		"brackets":  "x = " + strings.Repeat("[", size/2),
		"braces":    "x = " + strings.Repeat("{a=", size/4),
		"parens":    "x = " + strings.Repeat("(", size/2),
		"negations": "x = " + strings.Repeat("!", size/2),
		"minuses":   "x = " + strings.Repeat("-", size/2),
		"sums":      "owner = " + strings.Repeat("a+", size/4) + "a",
		"choices":   "owner = " + strings.Repeat("a?b:", size/8) + "a",
		"indices":   "owner = a" + strings.Repeat("[b]", size/4),
		"splats":    "owner = a" + strings.Repeat("[*]", size/4),
		"templates": "x = " + strings.Repeat(`"${`, size/4),
		"controls":  `x = "` + strings.Repeat(`%{if a}`, size/8),
		"blocks":    strings.Repeat("a {\n", size/8),
		"number":    "owner = 1e999999999",
		"tiny":      `owner = "${1e-999999999}"`,
		"products":  `owner = "${` + strings.Repeat("1e999*", 9999) + `1}"`,
		"loops":     "owner = [for a in [1] : [for b in [1] : a]]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, diags := spec.LoadFS(fstest.MapFS{"a.hcl": {Data: []byte(text)}})
			if !diags.HasErrors() {
				t.Error("found nothing wrong")
			}
		})
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
