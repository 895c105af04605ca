package pagecache_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"switchd/pagecache"
)

func TestWriter_WritesAllAndLeavesNothingCached(t *testing.T) {
	t.Parallel()
	dir := diskDir(t)
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "file")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // Read again below.
		off := rapid.Int64Range(0, 10_000).Draw(t, "offset")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 1<<20), 0, 30).Draw(t, "writes")
		want := make([]byte, off)
		var d pagecache.Dropper
		w := pagecache.NewWriter(f, off, &d)
		for i, n := range sizes {
			p := bytes.Repeat([]byte{byte(i + 1)}, n)
			if got, err := w.Write(p); got != n || err != nil {
				t.Fatalf("wrote %d of %d: %v", got, n, err)
			}
			want = append(want, p...)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		pages, total, err := pagecache.Resident(path)
		if err != nil || pages != 0 {
			t.Fatalf("%d of %d pages are cached: %v", pages, total, err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) == int(off) {
			want = nil // Nothing was written, the file is empty.
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("the file has other bytes than were written, %d and %d", len(got), len(want))
		}
	})
}

func TestWriter_KeepsFewPagesOnTheWay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // Not read again.
	var d pagecache.Dropper
	w := pagecache.NewWriter(f, 0, &d)
	p := make([]byte, 100_000)
	peak := 0
	for range 800 {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		pages, _, err := pagecache.Resident(path)
		if err != nil {
			t.Fatal(err)
		}
		peak = max(peak, pages)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if mib := peak * os.Getpagesize() >> 20; mib > 16 {
		t.Errorf("%d MiB of 80 were cached at once, want at most 16", mib)
	}
}

func TestDropper_TakesManySmallFilesThatAreClosed(t *testing.T) {
	t.Parallel()
	dir := diskDir(t)
	var d pagecache.Dropper
	const files = 1000
	for i := range files {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = pagecache.NewWriter(f, 0, &d).Write([]byte("small"))
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if open := openFiles(t, dir); open > 2*256 {
		t.Errorf("%d files are open", open)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if open := openFiles(t, dir); open > 0 {
		t.Errorf("%d files are open after Close", open)
	}
	for i := range files {
		wantResident(t, filepath.Join(dir, fmt.Sprint(i)), 0)
	}
}

// openFiles counts this process's descriptors below dir.
func openFiles(t *testing.T, dir string) (n int) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && filepath.Dir(target) == dir {
			n++
		}
	}
	return n
}

func TestDropper_ServesManyAtOnceAtAnyOffset(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "file")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // Read again below.
	const piece, pieces = 256<<10 - 1, 100
	var d pagecache.Dropper
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := worker; i < pieces; i += 4 {
				at := int64(i*37%pieces) * piece // 37 and 100 have no common factor.
				if _, err := f.WriteAt(make([]byte, piece), at); err != nil {
					t.Error(err)
				}
				if err := d.Add(f, at, piece); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	// A page of two pieces may be dirty again when the first one goes.
	if pages, _, err := pagecache.Resident(path); err != nil || pages > pieces {
		t.Errorf("%d pages are cached, %v", pages, err)
	}
	if err := d.Add(f, 0, 1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
}

func TestWriter_TellsThatTheDiskIsFull(t *testing.T) {
	t.Parallel()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close() //nolint:errcheck // A device.
	var d pagecache.Dropper
	if n, err := pagecache.NewWriter(full, 0, &d).Write([]byte("x")); n != 0 || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %d, %v", n, err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("nothing was written, but Close says %v", err)
	}
}
