package driver

import (
	"context"

	"switchd/consul"
)

// KeepOrders has the order of each service say what its records say, until ctx
// ends: what is missing is written, and an edit made by hand is put back.
func (w *World) KeepOrders(ctx context.Context) {
	services, err := w.Services(ctx)
	if err != nil {
		w.Log.WarnContext(ctx, "read the services", "error", err)
	}
	for _, s := range services {
		w.derive(ctx, s.Name)
	}
	known := make(map[string]uint64) // index by key
	w.Consul.WatchPrefix(ctx, w.Keys.Orders(), func(seen consul.Seen[[]consul.Entry]) {
		if seen.Err != nil {
			return // Active says so
		}
		now := make(map[string]uint64, len(seen.Value))
		for _, e := range seen.Value {
			if now[e.Key] = e.Index; known[e.Key] != e.Index {
				w.derive(ctx, consul.Base(e.Key))
			}
		}
		for key := range known {
			if _, there := now[key]; !there {
				w.derive(ctx, consul.Base(key))
			}
		}
		known = now
	})
}

func (w *World) derive(ctx context.Context, service string) {
	switch changed, err := w.Derive(ctx, w.Fence, service); {
	case err != nil:
		// Another writer was faster, and has written the order along, or Consul
		// is away and the next look is the watch's.
		w.Log.DebugContext(ctx, "order not derived", "service", service, "error", err)
	case changed:
		w.Log.WarnContext(ctx, "the agents' order was not what the records say; put right", "service", service)
	}
}
