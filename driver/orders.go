package driver

import (
	"context"
	"sync"
	"time"

	"switchd/consul"
)

// KeepOrders has the order of each service say what its records say, until ctx
// ends: what is missing is written, and an edit made by hand, to it or to what
// it is derived from, is followed or put back.
func (w *World) KeepOrders(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	changed := w.watchServices(ctx, &watching, w.Keys.Specs(), w.Keys.Lives(), w.Keys.Rollouts(), w.Keys.Orders())
	again := make(map[string]bool) // services that it did not work for
	retry := time.NewTicker(time.Second)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case service := <-changed:
			again[service] = !w.derive(ctx, service)
		case <-retry.C:
			for service, due := range again {
				if !due || w.derive(ctx, service) {
					delete(again, service)
				}
			}
		}
	}
}

// watchServices sends the name of a service each time that its key under one
// of the folders changes, until ctx ends.
func (w *World) watchServices(ctx context.Context, watching *sync.WaitGroup, folders ...string) chan string {
	changed := make(chan string)
	for _, folder := range folders {
		watching.Go(func() {
			known := make(map[string]uint64) // index by key
			w.Consul.WatchPrefix(ctx, folder, func(seen consul.Seen[[]consul.Entry]) {
				if seen.Err != nil {
					return // Active says so
				}
				for _, e := range consul.Differ(known, seen.Value) {
					send(ctx, changed, consul.Base(e.Key))
				}
			})
		})
	}
	return changed
}

// derive tells whether the order is right now.
func (w *World) derive(ctx context.Context, service string) bool {
	changed, err := w.Derive(ctx, w.Fence, service)
	switch {
	case err != nil:
		// Another writer was faster, and has written the order along, or Consul
		// is away.
		w.Log.DebugContext(ctx, "order not derived", "service", service, "error", err)
	case changed:
		w.Metrics.righted("order", service)
		w.Log.WarnContext(ctx, "the agents' order was not what the records say; put right", "service", service)
	}
	return err == nil
}
