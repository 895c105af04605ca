package driver

import (
	"context"
	"slices"
	"sync"

	"switchd/consul"
	"switchd/rollout"
)

// Active watches the environment and sends the names of the services that
// have a rollout under way, each time that something of them may have changed.
func (w *World) Active(ctx context.Context, names chan<- []string) {
	var mu sync.Mutex
	var active []string
	watches := make(map[string]context.CancelFunc) // of the health of active services
	send := func() {
		mu.Lock()
		list := append([]string(nil), active...)
		mu.Unlock()
		if len(list) == 0 {
			return
		}
		select {
		case names <- list:
		case <-ctx.Done():
		}
	}
	var watching sync.WaitGroup
	defer watching.Wait()
	for _, prefix := range []string{w.Keys.Lives(), w.Keys.AllStagings(), w.Keys.Specs(), w.Keys.Consents(), w.Keys.Bypasses()} {
		watching.Go(func() {
			w.Consul.WatchKeyChanges(ctx, prefix, send)
		})
	}
	var former []string // rollouts that were under way
	w.Consul.WatchPrefix(ctx, w.Keys.Rollouts(), func(seen consul.Seen[[]consul.Entry]) {
		if seen.Err != nil {
			w.Log.WarnContext(ctx, "consul is away; rollouts stand still", "error", seen.Err)
			return
		}
		var found, underWay []string
		for _, e := range seen.Value {
			record, err := rollout.ParseRecord(e.Value, e.Index)
			if err != nil {
				w.Log.ErrorContext(ctx, "rollout record can't be read", "key", e.Key, "error", err)
				continue
			}
			if record != nil && !record.Phase.Ended() {
				found = append(found, record.Service)
				underWay = append(underWay, record.ID)
			}
		}
		mu.Lock()
		active = found
		mu.Unlock()
		w.watchHealth(ctx, &watching, watches, found, send)
		send()
		// No rollout waits for this.
		if first := former == nil; first || slices.ContainsFunc(former, func(id string) bool { return !slices.Contains(underWay, id) }) {
			w.forgetConsents(ctx)
		}
		former = append([]string{}, underWay...)
	})
}

// forgetConsents deletes what people have said of rollouts that have ended. What
// is left when that fails does no harm, and goes at the next end of one.
func (w *World) forgetConsents(ctx context.Context) {
	if err := w.ForgetConsents(ctx, w.Fence); err != nil && ctx.Err() == nil {
		w.Log.WarnContext(ctx, "consents to ended rollouts not deleted", "error", err)
	}
}

// watchHealth watches the health of exactly the named services.
func (w *World) watchHealth(ctx context.Context, watching *sync.WaitGroup, watches map[string]context.CancelFunc, names []string, changed func()) {
	wanted := make(map[string]bool, len(names))
	for _, name := range names {
		wanted[name] = true
		if watches[name] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(ctx)
		watches[name] = cancel
		watching.Go(func() {
			w.Consul.WatchServiceChanges(ctx, name, changed)
		})
	}
	for name, cancel := range watches {
		if !wanted[name] {
			cancel()
			delete(watches, name)
		}
	}
}
