package pagecache_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"switchd/pagecache"
)

// tree makes a release with links in and out of it.
func tree(t testing.TB) string {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "release")
	if err := os.MkdirAll(filepath.Join(dir, "data", "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"release/app": "12345", "release/data/a.idx": "1", "release/data/b.idx": "22", "release/data/c.txt": "333",
		"release/data/sub/d.idx": "4444", "secret": "out of the release",
	} {
		if err := os.WriteFile(filepath.Join(top, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"data/link.in": "a.idx", "data/link.out": "../../secret", "up": ".."} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestGlob_FindsFilesOnce(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	got, err := pagecache.Glob(dir, []string{"data/*.idx", "data/b*", "a*", "data/link.in", "data/*/*"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"app", "data/a.idx", "data/b.idx", "data/link.in", "data/sub/d.idx"}
	for i := range want {
		want[i] = filepath.Join(dir, want[i])
	}
	if !slices.Equal(got.Paths, want) || got.Bytes != 5+1+2+1+4 {
		t.Errorf("got %d bytes in %q", got.Bytes, got.Paths)
	}
}

func TestGlob_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := tree(t)
	for pattern, want := range map[string]string{
		"data/*.idy":      `"data/*.idy" in ` + dir + `: no file matches`,
		"data":            "no file matches",
		"/etc/passwd":     "no path relative to the release",
		"../secret":       "no path relative to the release",
		"data/../../*":    "no path relative to the release",
		"":                "no path relative to the release",
		"data/[a":         "syntax error in pattern",
		"data/link.out":   "no file matches",
		"data/link.*":     "escapes",
		"*":               "escapes",
		"up/secret":       "no file matches",
		"up/*":            "no file matches",
		"data/link.out/*": "no file matches",
	} {
		_, err := pagecache.Glob(dir, []string{pattern})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v; want %q", pattern, err, want)
		}
	}
}

func FuzzGlob_StaysInTheTree(f *testing.F) {
	for _, seed := range []string{"data/*.idx", "*", "*/*", "up/*", "../*", "data/link.*", "[", "./app", "*/../*"} {
		f.Add(seed)
	}
	dir := tree(f)
	f.Fuzz(func(t *testing.T, pattern string) {
		files, err := pagecache.Glob(dir, []string{pattern})
		if err != nil {
			return
		}
		for _, path := range files.Paths {
			target, err := filepath.EvalSymlinks(path)
			if err != nil {
				t.Fatalf("%q matches %q: %v", pattern, path, err)
			}
			if !strings.HasPrefix(target, dir+"/") {
				t.Fatalf("%q matches %q, which is %q", pattern, path, target)
			}
		}
	})
}
