package artifact

import (
	"context"
	"net/http"
)

// Extract is what Unpack does before it makes the tree durable and puts it in
// place: for the fuzzer, which a sync of the disk each time would starve.
func Extract(ctx context.Context, archive, dir string, limits Limits) error {
	return extractFile(ctx, archive, zstandard, dir, limits)
}

// ContentRange reads what a PUT brings, for the fuzzer.
func ContentRange(header http.Header, size int64) (offset int64, asks bool, err error) {
	c, err := parseContentRange(header, size)
	return c.offset, c.asks, err
}
