package pagecache

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Loaded tells what Load has done.
type Loaded struct {
	Bytes int64 // read
	Pages int   // of them in the page cache afterwards
	Total int   // pages that the files have
}

// Load reads files to their ends, so that they are in the page cache. Where
// memory is short the kernel may have let go of some pages again: Pages is then
// less than Total. It ends with ctx between two reads of a mebibyte.
//
// Plain reads do: to map the files and have the kernel populate the mapping
// (MADV_POPULATE_READ, Linux 5.14) is hardly faster.
func Load(ctx context.Context, paths ...string) (Loaded, error) {
	var all Loaded
	buf := make([]byte, 1<<20)
	for _, path := range paths {
		n, err := load(ctx, path, buf)
		all.Bytes += n
		if err != nil {
			return all, fmt.Errorf("load into the page cache: %w", err)
		}
		pages, total, err := Resident(path)
		if err != nil {
			return all, err
		}
		all.Pages += pages
		all.Total += total
	}
	return all, nil
}

func load(ctx context.Context, path string, buf []byte) (read int64, err error) {
	f, _, err := open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // Opened for reading.
	for {
		if err := ctx.Err(); err != nil {
			return read, fmt.Errorf("%s: %w", path, err)
		}
		n, err := f.Read(buf)
		read += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			return read, nil
		case err != nil:
			return read, err
		}
	}
}
