package pagecache

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Resident returns how many of a file's pages are in the page cache, and how
// many it has. The kernel tells that only of files that this user owns or may
// write, and says of others that all are (mincore(2)).
func Resident(path string) (pages, total int, err error) {
	f, size, err := open(path)
	if err != nil {
		return 0, 0, fmt.Errorf("look what is cached: %w", err)
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	const stretch = 1 << 30
	for off := int64(0); off < size; off += stretch {
		in, err := resident(f, off, min(stretch, size-off))
		if err != nil {
			return 0, 0, fmt.Errorf("look what is cached of %s: %w", path, err)
		}
		pages += in.count()
		total += len(in)
	}
	return pages, total, nil
}

// residency has one byte a page, whose lowest bit tells that it is cached.
type residency []byte

// resident looks at n bytes of a file from off, which is a multiple of the
// page size, on. Beyond the file's end nothing is cached.
//
// mincore(2), not cachestat(2): that is the faster one, but it came with Linux
// 6.5 and only counts.
func resident(f *os.File, off, n int64) (residency, error) {
	if n == 0 {
		return nil, nil
	}
	var pages residency
	err := control(f, func(fd int) error {
		// Without any right the mapping can't even be read by accident.
		mapped, err := unix.Mmap(fd, off, int(n), unix.PROT_NONE, unix.MAP_SHARED)
		if err != nil {
			return fmt.Errorf("map it: %w", err)
		}
		defer unix.Munmap(mapped) //nolint:errcheck // It is mapped.
		pages = make(residency, pagesOf(n))
		if err := mincore(mapped, pages); err != nil {
			return fmt.Errorf("mincore: %w", err)
		}
		return nil
	})
	return pages, err
}

func (r residency) count() int {
	n := 0
	for _, page := range r {
		n += int(page & 1)
	}
	return n
}

// missing calls do with each run of pages that are not cached, as offset and
// length in bytes.
func (r residency) missing(do func(off, n int64) error) error {
	size := int64(os.Getpagesize())
	for i := 0; i < len(r); i++ {
		first := i
		for i < len(r) && r[i]&1 == 0 {
			i++
		}
		if i == first {
			continue
		}
		if err := do(int64(first)*size, int64(i-first)*size); err != nil {
			return err
		}
	}
	return nil
}

// pagesOf returns how many pages n bytes take.
func pagesOf(n int64) int64 {
	size := int64(os.Getpagesize())
	return (n + size - 1) / size
}
