package pagecache_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"switchd/pagecache"
)

func TestLoad_BringsFilesIntoTheCache(t *testing.T) {
	t.Parallel()
	dir := diskDir(t)
	paths := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "empty")}
	sizes := []int{20<<20 + 1, 1, 0}
	want := pagecache.Loaded{}
	for i, path := range paths {
		writeFile(t, path, sizes[i])
		want.Bytes += int64(sizes[i])
		want.Total += (sizes[i] + os.Getpagesize() - 1) / os.Getpagesize()
	}
	want.Pages = want.Total
	if got, err := pagecache.Load(t.Context(), paths...); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestLoad_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "a")
	writeFile(t, path, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pagecache.Load(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestLoad_NamesAFileThatIsMissing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "missing")
	_, err := pagecache.Load(t.Context(), path)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	wantError(t, err, path)
}
