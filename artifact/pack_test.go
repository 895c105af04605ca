package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"switchd/artifact"
)

// node is one entry of a generated tree.
type node struct {
	path    string
	mode    fs.FileMode
	content string // a link's target, if the mode says so
}

// trees generates trees of files, directories and links within.
func trees() *rapid.Generator[[]node] {
	return rapid.Custom(func(t *rapid.T) []node {
		name := rapid.StringMatching(`[a-cA-C.][a-z0-9 _é-]{0,3}`).Filter(func(s string) bool { return s != "." && s != ".." })
		dirs := []string{"."}
		taken := map[string]bool{}
		var nodes []node
		for range rapid.IntRange(1, 12).Draw(t, "entries") {
			path := filepath.Join(rapid.SampledFrom(dirs).Draw(t, "parent"), name.Draw(t, "name"))
			if taken[path] {
				continue
			}
			taken[path] = true
			n := node{path: path, mode: fs.FileMode(rapid.Uint32Range(0, 0o777).Draw(t, "mode")) | 0o400}
			switch rapid.SampledFrom([]string{"file", "file", "dir", "link"}).Draw(t, "kind") {
			case "file":
				n.content = rapid.StringOfN(rapid.Rune(), 0, 2000, -1).Draw(t, "content")
			case "dir":
				n.mode |= fs.ModeDir | 0o700
				dirs = append(dirs, path)
			case "link":
				n.mode = fs.ModeSymlink | 0o777
				// To anything in the tree, from where the link is.
				target, err := filepath.Rel(filepath.Dir(path), rapid.SampledFrom(dirs).Draw(t, "target"))
				if err != nil {
					t.Fatal(err)
				}
				// Some lead to a directory, some nowhere, none to another link.
				n.content = filepath.Join(target, rapid.SampledFrom([]string{".", "nowhere"}).Draw(t, "target name"))
			}
			nodes = append(nodes, n)
		}
		return nodes
	})
}

// plant makes a tree in a new directory below base: parents first, else in
// the order given, each with another time.
func plant(t *rapid.T, base string, nodes []node, at time.Time) string {
	dir, err := os.MkdirTemp(base, "tree-")
	check(t, err)
	for i, n := range nodes {
		path := filepath.Join(dir, n.path)
		check(t, os.MkdirAll(filepath.Dir(path), 0o700))
		switch n.mode.Type() {
		case fs.ModeDir:
			check(t, os.MkdirAll(path, 0o700))
		case fs.ModeSymlink:
			check(t, os.Symlink(n.content, path))
			continue
		default:
			check(t, os.WriteFile(path, []byte(n.content), 0o600))
		}
		check(t, os.Chmod(path, n.mode.Perm()))
		check(t, os.Chtimes(path, at, at.Add(time.Duration(i)*time.Hour)))
	}
	return dir
}

func check(t *rapid.T, err error) {
	if err != nil {
		t.Helper()
		t.Fatal(err)
	}
}

func TestPack_SameTreeSameBytesAndBackAgain(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		ctx := within(t)
		nodes := trees().Draw(rt, "tree")
		reversed := slices.Clone(nodes)
		slices.Reverse(reversed)
		first, second := plant(rt, base, nodes, published), plant(rt, base, reversed, time.Now())
		var a, b bytes.Buffer
		info, err := artifact.Pack(ctx, first, &a)
		check(rt, err)
		again, err := artifact.Pack(ctx, second, &b)
		check(rt, err)
		if info != again || !bytes.Equal(a.Bytes(), b.Bytes()) {
			rt.Fatalf("the same tree gave %+v and %+v", info, again)
		}
		sum := sha256.Sum256(a.Bytes())
		if info.SHA256 != hex.EncodeToString(sum[:]) || info.Size != int64(a.Len()) {
			rt.Fatalf("archive of %d bytes with SHA-256 %x is told as %+v", a.Len(), sum, info)
		}

		archive, back := first+".tar.zst", first+".back"
		check(rt, os.WriteFile(archive, a.Bytes(), 0o600))
		// The limits are exactly what Pack has told.
		limits := artifact.DefaultLimits()
		limits.Size, limits.Entries = info.Unpacked, info.Entries
		check(rt, artifact.Unpack(ctx, archive, back, limits))
		if got, want := snapshot(t, back), snapshot(t, first); !maps.Equal(got, want) {
			rt.Fatalf("unpacked is %q, want %q", got, want)
		}
		var c bytes.Buffer
		repacked, err := artifact.Pack(ctx, archive, &c)
		check(rt, err)
		if repacked != info {
			rt.Fatalf("packed anew it is %+v, want %+v", repacked, info)
		}
		limits.Size--
		if err := artifact.Unpack(ctx, archive, first+".less", limits); !errors.Is(err, artifact.ErrTooLarge) {
			rt.Fatalf("with a byte less: %v", err)
		}
	})
}

func TestPack_MakesAnyArchiveTheSame(t *testing.T) {
	t.Parallel()
	ctx, dir := within(t), t.TempDir()
	plain := tarOf(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "a commit"}},
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755},
		tar.Header{Typeflag: tar.TypeReg, Name: "./z", Mode: 0o644, Size: 5000, ModTime: time.Now(), Uid: 1000, Uname: "ana"},
		tar.Header{Typeflag: tar.TypeReg, Name: "bin/app", Mode: 0o4755, Size: 10},
		tar.Header{Typeflag: tar.TypeLink, Name: "bin/other", Linkname: "bin/app"},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "app", Linkname: "bin/../bin/app"},
		tar.Header{Typeflag: tar.TypeDir, Name: "bin", Mode: 0o711},
	)
	var zipped bytes.Buffer
	gz := gzip.NewWriter(&zipped)
	_, err := gz.Write(plain)
	must(t, errors.Join(err, gz.Close()))
	tree := filepath.Join(dir, "tree")
	must(t, os.MkdirAll(tree, 0o755))
	write(t, filepath.Join(tree, "z"), strings.Repeat("./z", 2000)[:5000], 0o644)
	write(t, filepath.Join(tree, "bin/app"), "bin/appbin", 0o755)
	write(t, filepath.Join(tree, "bin/other"), "bin/appbin", 0o755)
	must(t, os.Chmod(filepath.Join(tree, "bin"), 0o711)) // As in the archive.
	must(t, os.Symlink("bin/../bin/app", filepath.Join(tree, "app")))
	want, err := artifact.Pack(ctx, tree, new(bytes.Buffer))
	must(t, err)
	for name, content := range map[string][]byte{"a.tar": plain, "a.tar.gz": zipped.Bytes(), "a.TGZ": zipped.Bytes(), "a.tar.zst": zstdOf(t, plain)} {
		src := filepath.Join(dir, name)
		must(t, os.WriteFile(src, content, 0o600))
		if got, err := artifact.Pack(ctx, src, new(bytes.Buffer)); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
	}
}

func TestPack_SingleFileKeepsItsNameAndMode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src := filepath.Join(dir, "bin", "app")
	write(t, src, "program", 0o751)
	write(t, filepath.Join(dir, "bin", "other"), "not asked for", 0o644)
	var archive bytes.Buffer
	_, err := artifact.Pack(within(t), src, &archive)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "archive"), archive.Bytes(), 0o600))
	back := filepath.Join(dir, "back")
	must(t, artifact.Unpack(within(t), filepath.Join(dir, "archive"), back, artifact.DefaultLimits()))
	if got, want := snapshot(t, back), map[string]string{"app": "-rwxr-x--x program"}; !maps.Equal(got, want) {
		t.Errorf("unpacked is %q, want %q", got, want)
	}
}

func TestPack_RefusesAndNamesTheFile(t *testing.T) {
	t.Parallel()
	link := func(target, name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
			must(t, os.Symlink(target, filepath.Join(dir, name)))
		}
	}
	for name, test := range map[string]struct {
		make func(*testing.T, string)
		want string
	}{
		"nothing":       {func(*testing.T, string) {}, "nothing in it"},
		"absolute link": {link("/etc/passwd", "a/link"), "a/link"},
		"link out":      {link("../../..", "a/link"), "a/link"},
		"link out through another": {func(t *testing.T, dir string) {
			t.Helper()
			link("a/b", "deep")(t, dir)
			// Lexically within; in truth a/b/../../.. is outside.
			must(t, os.Symlink("deep/../../..", filepath.Join(dir, "out")))
		}, "out"},
		"link to itself": {link("loop", "loop"), "loop"},
		"named pipe": {func(t *testing.T, dir string) {
			t.Helper()
			must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
		}, "pipe: is a named pipe"},
		"too deep": {func(t *testing.T, dir string) {
			t.Helper()
			must(t, os.MkdirAll(filepath.Join(dir, strings.Repeat("d/", 65)), 0o755))
		}, "65 levels deep"},
		"a bomb": {func(t *testing.T, dir string) {
			t.Helper()
			write(t, filepath.Join(dir, "zeros"), "", 0o644)
			must(t, os.Truncate(filepath.Join(dir, "zeros"), 128<<20))
		}, "more than 1000 times"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			test.make(t, dir)
			_, err := artifact.Pack(within(t), dir, new(bytes.Buffer))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error is %v, want %q and the source", err, test.want)
			}
		})
	}
	if _, err := artifact.Pack(within(t), "/dev/null", new(bytes.Buffer)); err == nil {
		t.Error("a device was packed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := artifact.Pack(ctx, ".", new(bytes.Buffer)); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}
