package pagecache_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"switchd/pagecache"
)

func TestReader_LeavesCachedWhatWasCachedBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "file")
	page := os.Getpagesize()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(0, 3<<20), rapid.SampledFrom([]int{0, 1, page, 1 << 20, 2 << 20, 1<<20 + 1})).Draw(rt, "size")
		writeFile(t, path, size)
		f, err := os.Open(path)
		if err != nil {
			rt.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // Opened for reading.
		// Pages alone, without what the kernel reads ahead.
		if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM); err != nil {
			rt.Fatal(err)
		}
		cached := rapid.SliceOfNDistinct(rapid.IntRange(0, max(0, (size-1)/page)), 0, 20, rapid.ID).Draw(rt, "cached")
		if size == 0 {
			cached = nil
		}
		for _, i := range cached {
			if _, err := f.ReadAt(make([]byte, 1), int64(i*page)); err != nil {
				rt.Fatal(err)
			}
		}
		wantResident(t, path, len(cached))

		r, err := pagecache.NewReader(f)
		if err != nil {
			rt.Fatal(err)
		}
		upTo := rapid.IntRange(0, size+1).Draw(rt, "read up to")
		got := make([]byte, upTo)
		n, err := io.ReadFull(r, got)
		if n != min(upTo, size) || err != nil && upTo <= size {
			rt.Fatalf("read %d of %d: %v", n, size, err)
		}
		if !bytes.Equal(got[:n], content(n)) {
			rt.Fatal("read other bytes than are in the file")
		}
		if err := r.Close(); err != nil {
			rt.Fatal(err)
		}
		wantResident(t, path, len(cached))
		if _, err := r.Read(got); !errors.Is(err, os.ErrClosed) {
			rt.Fatalf("after Close: got %v", err)
		}
	})
}

func TestReader_ReadsAsAReaderShould(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "file")
	writeFile(t, path, 2<<20+5)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	r, err := pagecache.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, want); err != nil {
		t.Error(err)
	}
}

func TestReader_SurvivesAFileThatShrinks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(diskDir(t), "file")
	writeFile(t, path, 3<<20)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	r, err := pagecache.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 1<<20+1)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("got %d, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
