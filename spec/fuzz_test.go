package spec_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/fstest"

	"switchd/spec"
)

// FuzzCompile holds that any input gives either a desired state, which
// survives JSON, or errors that can be printed.
func FuzzCompile(f *testing.F) {
	for _, pattern := range []string{"testdata/base/*.hcl", "../examples/shop/*.hcl"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("found no seeds in %s: %v", pattern, err)
		}
		var all []byte
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
			// An owner may stand once only in a file.
			all = append(all, bytes.ReplaceAll(text, []byte("\nowner "), []byte("\n# owner "))...)
		}
		f.Add(bytes.TrimPrefix(all, []byte("owner = \"platform\"")))
	}
	f.Add([]byte(`service "web" { port = "${1e9}${[null, {a = 1}][0]}" }`))

	f.Fuzz(func(t *testing.T, text []byte) {
		src, diags := spec.LoadFS(fstest.MapFS{"fuzz.hcl": {Data: text}})
		if src == nil {
			t.Fatal("no source")
		}
		if err := spec.WriteDiagnostics(&bytes.Buffer{}, src, diags); err != nil {
			t.Fatal(err)
		}
		for _, env := range append(src.Environments(), "") {
			desired, diags := src.Compile(env)
			if (desired == nil) != diags.HasErrors() {
				t.Fatalf("desired state %v with errors %v", desired, diags)
			}
			if err := spec.WriteDiagnostics(&bytes.Buffer{}, src, diags); err != nil {
				t.Fatal(err)
			}
			if desired == nil {
				continue
			}
			if changes := spec.Diff(desired, desired); len(changes) > 0 {
				t.Fatalf("differs from itself: %v", changes)
			}
			written, err := json.Marshal(desired)
			if err != nil {
				t.Fatal(err)
			}
			var read spec.Desired
			if err := json.Unmarshal(written, &read); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(&read, desired) {
				t.Fatalf("got  %+v\nwant %+v", &read, desired)
			}
		}
	})
}
