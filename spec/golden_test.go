package spec_test

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"switchd/spec"
)

// TestCompile_ExplainsMistakes holds what people read to the letter. Each
// archive adds its files to those of testdata/base, or replaces them; "want"
// is what they print. A line "env NAME" chooses the environment ("-" none).
// Run with -update to write the archives anew.
func TestCompile_ExplainsMistakes(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/errors/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("found no archives: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files, want := base(t), ""
			inputs := archive.Files[:0:0]
			for _, file := range archive.Files {
				if file.Name == "want" {
					want = string(file.Data)
					continue
				}
				files[file.Name] = &fstest.MapFile{Data: file.Data}
				inputs = append(inputs, file)
			}

			got := explain(t, files, environmentOf(string(archive.Comment)))
			if got == "" {
				t.Fatal("the mistake was not found")
			}
			if flag.Lookup("update").Value.String() == "true" {
				archive.Files = append(inputs, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write testdata/errors anew")
	flag.Parse()
	os.Exit(m.Run())
}

// base is an environment "prod" and a service "web" without a mistake.
func base(t *testing.T) fstest.MapFS {
	t.Helper()
	files := make(fstest.MapFS)
	dir := os.DirFS("testdata/base")
	names, err := fs.Glob(dir, "*.hcl")
	if err != nil || len(names) == 0 {
		t.Fatalf("found no base files: %v", err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: text}
	}
	return files
}

func environmentOf(comment string) string {
	for line := range strings.Lines(comment) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "env "); ok {
			return strings.TrimPrefix(name, "-")
		}
	}
	return "prod"
}

// explain is what people see of the mistakes in the files.
func explain(t *testing.T, files fs.FS, env string) string {
	t.Helper()
	src, diags := spec.LoadFS(files)
	if !diags.HasErrors() {
		_, diags = src.Compile(env)
	}
	var b bytes.Buffer
	if err := spec.WriteDiagnostics(&b, src, diags); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
