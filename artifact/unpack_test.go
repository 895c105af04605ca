package artifact_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"switchd/artifact"
)

func TestUnpack_RefusesMaliciousArchives(t *testing.T) {
	t.Parallel()
	file := func(name string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: 3}
	}
	symlink := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	for name, test := range map[string]struct {
		headers []tar.Header
		want    string
	}{
		"absolute path":              {[]tar.Header{file("/tmp/evil")}, "/tmp/evil"},
		"path out":                   {[]tar.Header{file("../evil")}, "../evil"},
		"path out and back":          {[]tar.Header{file("a/../../x/evil")}, "evil"},
		"dots that lead nowhere":     {[]tar.Header{file("a/../evil")}, "a/../evil"},
		"empty name":                 {[]tar.Header{{Typeflag: tar.TypeReg, Name: ""}}, "no path within a release"},
		"file as the tree itself":    {[]tar.Header{{Typeflag: tar.TypeReg, Name: "."}}, "."},
		"absolute link":              {[]tar.Header{symlink("link", "/etc/passwd")}, "leads out"},
		"link out":                   {[]tar.Header{symlink("a/link", "../../etc")}, "leads out"},
		"link to nothing":            {[]tar.Header{symlink("link", "")}, ""},
		"file through a link":        {[]tar.Header{{Typeflag: tar.TypeDir, Name: "real", Mode: 0o755}, symlink("link", "real"), file("link/x")}, "below a symbolic link"},
		"file through a link out":    {[]tar.Header{symlink("link", "a"), file("link/x")}, "below a symbolic link"},
		"file below a file":          {[]tar.Header{file("a"), file("a/b")}, "below a file"},
		"links that add up":          {[]tar.Header{file("a/b/c"), symlink("deep", "a/b"), symlink("out", "deep/../../../etc")}, "out"},
		"link in a circle":           {[]tar.Header{symlink("a", "b"), symlink("b", "a")}, "can't be followed"},
		"hard link out":              {[]tar.Header{{Typeflag: tar.TypeLink, Name: "x", Linkname: "../../etc/passwd"}}, "hard link"},
		"absolute hard link":         {[]tar.Header{{Typeflag: tar.TypeLink, Name: "x", Linkname: "/etc/passwd"}}, "hard link"},
		"hard link to a link":        {[]tar.Header{symlink("a", "b"), {Typeflag: tar.TypeLink, Name: "x", Linkname: "a"}}, "symbolic link"},
		"hard link to nothing":       {[]tar.Header{{Typeflag: tar.TypeLink, Name: "x", Linkname: "a"}}, "hard link"},
		"device":                     {[]tar.Header{{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8}}, "sda"},
		"character device":           {[]tar.Header{{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}}, "null"},
		"named pipe":                 {[]tar.Header{{Typeflag: tar.TypeFifo, Name: "pipe"}}, "pipe"},
		"the same twice":             {[]tar.Header{file("a"), file("a")}, "twice"},
		"file in place of a link":    {[]tar.Header{symlink("a", "b"), file("a")}, "twice"},
		"directory in place of file": {[]tar.Header{file("a"), {Typeflag: tar.TypeDir, Name: "a"}}, "twice"},
		"nothing":                    {[]tar.Header{{Typeflag: tar.TypeDir, Name: "./"}}, "nothing in it"},
		"too deep":                   {[]tar.Header{file(strings.Repeat("d/", 64) + "x")}, "levels deep"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefused(t, zstdOf(t, tarOf(t, test.headers...)), artifact.DefaultLimits(), test.want, nil)
		})
	}
}

func TestUnpack_RefusesBrokenArchives(t *testing.T) {
	t.Parallel()
	r := newRelease(t, 200_000)
	good := tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o644, Size: 3})
	flipped := bytes.Clone(r.archive)
	flipped[len(flipped)/2] ^= 1
	for name, archive := range map[string][]byte{
		"empty":               {},
		"no archive":          []byte("hello"),
		"cut off":             r.archive[:len(r.archive)/2],
		"cut off by a byte":   r.archive[:len(r.archive)-1],
		"a wrong bit":         flipped,
		"more after its end":  zstdOf(t, append(bytes.Clone(good), make([]byte, 2<<20)...)),
		"not compressed":      good,
		"an archive twice":    append(bytes.Clone(r.archive), []byte("trailer")...),
		"no archive in there": zstdOf(t, []byte(strings.Repeat("hello", 1000))),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefused(t, archive, artifact.DefaultLimits(), "", nil)
		})
	}
}

func TestUnpack_StopsBombs(t *testing.T) {
	t.Parallel()
	zeros := zstdOf(t, tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "\x01", Mode: 0o644, Size: 80 << 20}))
	many := make([]tar.Header, 101)
	for i := range many {
		many[i] = tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("f", i+1), Mode: 0o644}
	}
	links := []tar.Header{{Typeflag: tar.TypeReg, Name: "f", Mode: 0o644, Size: 50_000}}
	for i := range 30 {
		links = append(links, tar.Header{Typeflag: tar.TypeLink, Name: strings.Repeat("l", i+1), Linkname: "f"})
	}
	limits := func(change func(*artifact.Limits)) artifact.Limits {
		l := artifact.Limits{Size: 1 << 20, Entries: 100, Depth: 3, Ratio: 1000}
		change(&l)
		return l
	}
	for name, test := range map[string]struct {
		archive []byte
		limits  artifact.Limits
		want    string
	}{
		"size":       {zeros, limits(func(*artifact.Limits) {}), "more than 1048576 bytes"},
		"ratio":      {zeros, limits(func(l *artifact.Limits) { l.Size = 1 << 40 }), "more than 1000 times"},
		"entries":    {zstdOf(t, tarOf(t, many...)), limits(func(*artifact.Limits) {}), "more than 100 entries"},
		"depth":      {zstdOf(t, tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "1/2/3/4"})), limits(func(*artifact.Limits) {}), "levels deep"},
		"hard links": {zstdOf(t, tarOf(t, links...)), limits(func(*artifact.Limits) {}), "more than 1048576 bytes"},
		"sum": {zstdOf(t, tarOf(t,
			tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 600_000},
			tar.Header{Typeflag: tar.TypeReg, Name: "b", Size: 600_000})), limits(func(*artifact.Limits) {}), "b: "},
		"no limits at all": {zstdOf(t, tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "a"})), artifact.Limits{}, "entries"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantRefused(t, test.archive, test.limits, test.want, artifact.ErrTooLarge)
		})
	}
}

// wantRefused fails unless an archive is refused, with a text and for a reason
// if there is one, and nothing is left behind.
func wantRefused(t *testing.T, archive []byte, limits artifact.Limits, want string, reason error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "archive")
	must(t, os.WriteFile(path, archive, 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "releases"), 0o700))
	err := artifact.Unpack(within(t), path, filepath.Join(dir, "releases", "web"), limits)
	if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
		t.Errorf("error is %v, want one with %q", err, want)
	}
	if reason != nil && !errors.Is(err, reason) {
		t.Errorf("error is %v, want %v", err, reason)
	}
	if got := entries(t, filepath.Join(dir, "releases")); len(got) != 0 {
		t.Errorf("left behind: %q", got)
	}
	if got := entries(t, dir); len(got) != 2 {
		t.Errorf("escaped: %q", got)
	}
}

func TestUnpack_DropsSpecialBits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	archive := filepath.Join(dir, "archive")
	must(t, os.WriteFile(archive, zstdOf(t, tarOf(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "setuid", Mode: 0o6755},
		tar.Header{Typeflag: tar.TypeDir, Name: "locked", Mode: 0o1000},
		tar.Header{Typeflag: tar.TypeReg, Name: "locked/file", Mode: 0o000},
	)), 0o600))
	out := filepath.Join(dir, "out")
	must(t, artifact.Unpack(within(t), archive, out, artifact.DefaultLimits()))
	for name, want := range map[string]os.FileMode{"setuid": 0o755, "locked": os.ModeDir | 0o700, "locked/file": 0, ".": os.ModeDir | 0o700} {
		info, err := os.Stat(filepath.Join(out, name))
		must(t, err)
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestUnpack_LeavesAloneWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRelease(t, 100)
	archive, out := filepath.Join(dir, "archive"), filepath.Join(dir, "out")
	must(t, os.WriteFile(archive, r.archive, 0o600))
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := artifact.Unpack(within(t), archive, out, artifact.DefaultLimits()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := snapshot(t, out); !maps.Equal(got, r.tree) {
		t.Errorf("unpacked is %q, want %q", got, r.tree)
	}
	must(t, os.Remove(archive))
	must(t, artifact.Unpack(within(t), archive, out, artifact.DefaultLimits()))
	if got := strings.Join(entries(t, dir), " "); got != "out" {
		t.Errorf("left behind: %s", got)
	}
	write(t, filepath.Join(dir, "file"), "", 0o600)
	if err := artifact.Unpack(within(t), archive, filepath.Join(dir, "file"), artifact.DefaultLimits()); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("over a file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	must(t, os.WriteFile(archive, r.archive, 0o600))
	if err := artifact.Unpack(ctx, archive, filepath.Join(dir, "late"), artifact.DefaultLimits()); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(newRelease(f, 100).archive, false)
	for _, headers := range [][]tar.Header{
		{{Typeflag: tar.TypeReg, Name: "a/b", Size: 5}, {Typeflag: tar.TypeSymlink, Name: "l", Linkname: "a/b"}},
		{{Typeflag: tar.TypeSymlink, Name: "l", Linkname: "../.."}, {Typeflag: tar.TypeReg, Name: "l/x"}},
		{{Typeflag: tar.TypeReg, Name: "../x"}},
		{{Typeflag: tar.TypeReg, Name: "x", PAXRecords: map[string]string{"path": "../y"}}},
		{{Typeflag: tar.TypeLink, Name: "x", Linkname: "y"}},
		{{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}},
	} {
		f.Add(tarOf(f, headers...), true)
	}
	// Compressed here, what the fuzzer makes reaches the reader of tar.
	f.Fuzz(func(t *testing.T, archive []byte, compress bool) {
		if compress {
			archive = zstdOf(t, archive)
		}
		dir := t.TempDir()
		path := filepath.Join(dir, "archive")
		must(t, os.WriteFile(path, archive, 0o600))
		tree := filepath.Join(dir, "tree")
		must(t, os.Mkdir(tree, 0o700))
		limits := artifact.Limits{Size: 1 << 20, Entries: 50, Depth: 8, Ratio: 1000}
		err := artifact.Extract(t.Context(), path, tree, limits)
		if got := entries(t, dir); len(got) != 2 {
			t.Errorf("escaped: %q", got)
		}
		if err != nil {
			return
		}
		// What was let in can be released again.
		if _, err := artifact.Pack(t.Context(), tree, new(bytes.Buffer)); err != nil && !errors.Is(err, os.ErrPermission) {
			t.Error(err)
		}
	})
}
