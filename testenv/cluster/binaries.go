package cluster

import "context"

// Build builds the programs of this checkout into a folder, for whoever runs
// them without a cluster.
func Build(ctx context.Context, dir string) (Binaries, error) { return build(ctx, dir) }
