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

// Each of these would, if it were only larger, overflow the stack of HCL's
// parser or evaluator, or take time and memory without a bound.
func TestLoad_RefusesWhatIsTooComplex(t *testing.T) {
	t.Parallel()
	const deep, many = 101, 10001
	for name, text := range map[string]string{
		"brackets":  "x = " + strings.Repeat("[", deep),
		"braces":    "x = " + strings.Repeat("{a=", deep),
		"parens":    "x = " + strings.Repeat("(", deep),
		"templates": "x = " + strings.Repeat(`"${`, deep),
		"controls":  `x = "` + strings.Repeat(`%{if a}`, many) + `"`,
		"blocks":    strings.Repeat("a {\n", deep),
		"negations": "x = " + strings.Repeat("!", many) + "true",
		"minuses":   "x = " + strings.Repeat("-", many) + "1",
		"sums":      "owner = " + strings.Repeat("a+", many) + "a",
		"choices":   "owner = " + strings.Repeat("a?b:", many) + "a",
		"indices":   "owner = a" + strings.Repeat("[b]", many),
		"splats":    "owner = a" + strings.Repeat("[*]", many),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, diags := spec.LoadFS(fstest.MapFS{"a.hcl": {Data: []byte(text)}})
			if len(diags) != 1 || diags[0].Summary != "Too complex" {
				t.Errorf("got %v", diags)
			}
		})
	}
}

func TestLoad_RefusesHugeNumbers(t *testing.T) {
	t.Parallel()
	for _, number := range []string{"1e999999999", "1e-999999999", "1E10", "123456789012345678901", "0.0000000000000000001"} {
		_, diags := spec.LoadFS(fstest.MapFS{"a.hcl": {Data: []byte("owner = \"${" + number + "}\"")}})
		if len(diags) != 1 || diags[0].Summary != "Number out of range" {
			t.Errorf("%s: got %v", number, diags)
		}
	}
	for _, number := range []string{"1e9", "1E-09", "1000000000000", "0.000000001"} {
		if _, diags := spec.LoadFS(fstest.MapFS{"a.hcl": {Data: []byte("owner = \"${" + number + "}\"")}}); diags.HasErrors() {
			t.Errorf("%s: got %v", number, diags)
		}
	}
}

// The largest product that may be written must not take long.
func TestLoad_EndsSoonWithTheLargestNumber(t *testing.T) {
	t.Parallel()
	text := "owner = \"${" + strings.Repeat("99999999999999999999*", 9999) + "1}\""
	_, diags := spec.LoadFS(fstest.MapFS{"a.hcl": {Data: []byte(text)}})
	if !diags.HasErrors() {
		t.Error("took a number of 200,000 digits for an owner")
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
