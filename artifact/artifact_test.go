package artifact_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"switchd/artifact"
)

func TestMain(m *testing.M) {
	if os.Getenv(agentVar) != "" {
		actAsAgent()
		return
	}
	if os.Getenv(publisherVar) != "" {
		actAsPublisher()
		return
	}
	goleak.VerifyTestMain(m)
}

// published is when every release of these tests was published.
var published = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newKey returns a private key and the keys that trust it.
func newKey(t testing.TB) (minisign.PrivateKey, artifact.TrustedKeys) {
	t.Helper()
	pub, priv, err := minisign.GenerateKey(nil)
	must(t, err)
	return priv, artifact.TrustedKeys{pub}
}

// release is a packed, signed release.
type release struct {
	manifest artifact.Manifest
	archive  []byte
	keys     artifact.TrustedKeys
	tree     map[string]string
}

func (r release) digest() string { return r.manifest.SHA256 }

// newRelease packs and signs a release with one file of random bytes, which
// no compression makes smaller.
func newRelease(t testing.TB, size int) release {
	t.Helper()
	src := t.TempDir()
	write(t, filepath.Join(src, "bin", "app"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(src, "data"), string(noise(size)), 0o644)
	must(t, os.Symlink("bin/app", filepath.Join(src, "app")))
	return releaseOf(t, src)
}

// releaseOf packs and signs a directory.
func releaseOf(t testing.TB, src string) release {
	t.Helper()
	var archive bytes.Buffer
	info, err := artifact.Pack(t.Context(), src, &archive)
	must(t, err)
	key, keys := newKey(t)
	m := artifact.NewManifest("web", "1.4.2", "ana", published, info)
	must(t, artifact.Sign(&m, key))
	return release{manifest: m, archive: archive.Bytes(), keys: keys, tree: snapshot(t, src)}
}

// noise returns bytes that look random and are the same every time.
func noise(size int) []byte {
	b := make([]byte, size)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

func write(t testing.TB, path, content string, mode fs.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(content), 0o600))
	must(t, os.Chmod(path, mode))
}

// snapshot describes a tree: by path the mode and the content.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			tree[name] = fmt.Sprintf("%v %s", info.Mode(), content)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			tree[name] = "-> " + target
		default:
			tree[name] = info.Mode().String()
		}
		return nil
	}))
	return tree
}

// entries returns the names in a directory.
func entries(t testing.TB, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	names := []string{}
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

// tarOf writes a tar archive as anyone could.
func tarOf(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		// The content of a file is its name, repeated.
		content := bytes.Repeat([]byte(h.Name), int(h.Size)/max(1, len(h.Name))+1)[:h.Size]
		must(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := w.Write(content)
			must(t, err)
		}
	}
	must(t, w.Close())
	return b.Bytes()
}

func zstdOf(t testing.TB, plain []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	must(t, err)
	defer enc.Close() //nolint:errcheck // Nothing is streamed.
	return enc.EncodeAll(plain, nil)
}

// within returns a context that ends in time for the test to fail by itself.
func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
