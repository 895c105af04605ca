package pagecache_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"switchd/pagecache"
)

func TestResident_CountsCachedPages(t *testing.T) {
	t.Parallel()
	page := os.Getpagesize()
	path := filepath.Join(diskDir(t), "data")
	writeFile(t, path, 10*page+1)
	if pages, total, err := pagecache.Resident(path); err != nil || pages != 0 || total != 11 {
		t.Fatalf("evicted: got %d of %d, %v; want 0 of 11", pages, total, err)
	}
	if _, err := os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if pages, total, err := pagecache.Resident(path); err != nil || pages != 11 || total != 11 {
		t.Fatalf("read: got %d of %d, %v; want 11 of 11", pages, total, err)
	}
}

func TestResident_TakesEmptyAndSparseFiles(t *testing.T) {
	t.Parallel()
	dir := diskDir(t)
	for name, size := range map[string]int64{"empty": 0, "sparse": 3 << 30} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		pages, total, err := pagecache.Resident(path)
		if want := int(size) / os.Getpagesize(); err != nil || pages != 0 || total != want {
			t.Errorf("%s: got %d of %d, %v; want 0 of %d", name, pages, total, err, want)
		}
	}
}

// strange makes what is no file, by its kind.
func strange(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"directory": dir, "device": os.DevNull, "FIFO": fifo}
}

func TestFunctions_RefuseWhatIsNoFile(t *testing.T) {
	t.Parallel()
	pinner := newPinner(t)
	for kind, path := range strange(t) {
		_, _, residentErr := pagecache.Resident(path)
		_, loadErr := pagecache.Load(t.Context(), path)
		for name, err := range map[string]error{"Resident": residentErr, "Load": loadErr} {
			if !errors.Is(err, pagecache.ErrNotRegular) {
				t.Errorf("%s of a %s: got %v", name, kind, err)
			}
		}
		_, err := pinner.Start(deadline(t), "strange", []string{path})
		wantError(t, err, path+": not a regular file but a "+kind)
	}
}
