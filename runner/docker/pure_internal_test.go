package docker

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"switchd/runner"
)

func TestNames_AreWhatEnginesTakeAndNeverAnothers(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}$`)
	// From distribution/reference.
	image := regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*:\w[\w.-]{0,127}$`)
	rapid.Check(t, func(t *rapid.T) {
		instance := rapid.Custom(func(t *rapid.T) runner.Instance {
			return runner.Instance{ID: rapid.String().Draw(t, "id"), Version: rapid.String().Draw(t, "version")}
		})
		a, b := instance.Draw(t, "a"), instance.Draw(t, "b")
		if got := containerName(a); !name.MatchString(got) {
			t.Fatalf("container %q", got)
		}
		if got := repository(a) + ":" + tagPrefix(a) + digest("archive"); !image.MatchString(got) || !isImageOf("docker.io/"+got, a) {
			t.Fatalf("image %q", got)
		}
		if same := a.ID == b.ID; same != (repository(a) == repository(b)) {
			t.Fatalf("repository %q of both", repository(a))
		}
		if same := a.ID == b.ID && a.Version == b.Version; same != (containerName(a) == containerName(b)) {
			t.Fatalf("container %q of both", containerName(a))
		}
	})
}

func archiveOf(t testing.TB, files ...string) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for i := 0; i < len(files); i += 2 {
		err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))})
		if _, writeErr := io.WriteString(w, files[i+1]); err != nil || writeErr != nil {
			t.Fatal(err, writeErr)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}

func zipped(t testing.TB, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

const (
	manifestText = `[{"Config":"c.json","RepoTags":["web:1"],"Layers":["l"]}]`
	indexText    = `{"schemaVersion":2,"manifests":[{"digest":"sha256:1","size":7,"annotations":{"other":"stays"}}]}`
)

func TestRename_ChangesNothingButTheNames(t *testing.T) {
	t.Parallel()
	plain := archiveOf(t, "l", "layer", "manifest.json", manifestText, "repositories", "{}", "./index.json", indexText)
	for form, archive := range map[string][]byte{"plain": plain, "gzip": zipped(t, plain)} {
		var out bytes.Buffer
		if err := rename(bytes.NewReader(archive), &out, "docker.io/switchd/web:2"); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		got := make(map[string]string)
		for r := tar.NewReader(&out); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatalf("%s: %v", form, err)
			}
			got[header.Name] = string(text)
		}
		for name, want := range map[string]string{
			"l":             `"layer"`,
			"manifest.json": `[{"Config":"c.json","Layers":["l"],"RepoTags":["docker.io/switchd/web:2"]}]`,
			"./index.json":  `{"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/switchd/web:2","org.opencontainers.image.ref.name":"docker.io/switchd/web:2","other":"stays"},"digest":"sha256:1","size":7}],"schemaVersion":2}`,
		} {
			text := got[name]
			if !json.Valid([]byte(text)) {
				text = `"` + text + `"`
			}
			if text != want {
				t.Errorf("%s: %s is %s, want %s", form, name, text, want)
			}
		}
		if len(got) != 3 {
			t.Errorf("%s: %d files are left, want 3: %v", form, len(got), got)
		}
	}
}

func TestRename_RefusesSeveralImages(t *testing.T) {
	t.Parallel()
	for _, files := range [][]string{
		{"manifest.json", `[{},{}]`}, {"manifest.json", `[]`}, {"manifest.json", `[null]`},
		{"index.json", `{"manifests":[{},{}]}`}, {"index.json", `{"manifests":[null]}`},
	} {
		err := rename(bytes.NewReader(archiveOf(t, files...)), io.Discard, "web:1")
		if err == nil || !strings.Contains(err.Error(), files[0]) || !strings.Contains(err.Error(), "images, not one") {
			t.Errorf("%s: %v, want it refused", files[1], err)
		}
	}
}

func FuzzRename(f *testing.F) {
	for _, files := range [][]string{{"manifest.json", manifestText}, {"index.json", indexText}, {"index.json", `{"manifests":[{"annotations":null}]}`}, {"manifest.json", "null"}} {
		archive := archiveOf(f, files...)
		f.Add(archive)
		f.Add(zipped(f, archive))
	}
	f.Fuzz(func(t *testing.T, archive []byte) {
		var once, twice bytes.Buffer
		if rename(bytes.NewReader(archive), &once, "web:1") != nil {
			return
		}
		if err := rename(bytes.NewReader(once.Bytes()), &twice, "web:1"); err != nil || !bytes.Equal(once.Bytes(), twice.Bytes()) {
			t.Errorf("what it made is not what it would make again: %v", err)
		}
	})
}

func FuzzParseHandle(f *testing.F) {
	f.Add("container:" + strings.Repeat("0f", 32) + "@" + DefaultSocket)
	f.Add("container:@")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parseHandle(runner.Handle(text))
		if err == nil && string(id.handle()) != text {
			t.Errorf("%q is read as %q", text, id.handle())
		}
	})
}

// Whatever an engine says before, its error is never lost.
func FuzzLoadError(f *testing.F) {
	f.Add(`{"stream":"Loaded image: web:1\n"}`)
	f.Add(`{"errorDetail":{"message":"no space left"}}`)
	f.Fuzz(func(t *testing.T, before string) {
		if err := loadError(strings.NewReader(before + "\n" + `{"error":"no space left"}`)); err == nil {
			t.Errorf("after %q an error is taken for a success", before)
		}
	})
}
