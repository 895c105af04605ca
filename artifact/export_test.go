package artifact

import "context"

// Extract is what Unpack does before it makes the tree durable and puts it in
// place: for the fuzzer, which a sync of the disk each time would starve.
func Extract(ctx context.Context, archive, dir string, limits Limits) error {
	return extractFile(ctx, archive, zstandard, dir, limits)
}
