package warmup

import (
	"context"
	"sync"

	"switchd/spec"
)

// Hold keeps the warm-up's load on all nodes until ctx ends, for whoever looks
// at them under it meanwhile. It judges nothing. The load has ended when Hold
// returns, at the latest a second after ctx.
func Hold(ctx context.Context, cfg spec.Warmup, vars spec.Vars, targets []Target) {
	var group sync.WaitGroup
	for _, target := range targets {
		group.Go(func() {
			load := startLoad(ctx, cfg, vars, target)
			defer load.stop()
			collect(ctx, load.results, new(window), nil)
		})
	}
	group.Wait()
}
