package dnsfeed

import (
	"context"
	"fmt"
	"time"
)

// A watch takes a connection to Consul's agent for as long as it waits.
const (
	// others are the connections that a replica may have open besides those of
	// the services' health.
	others = 50
	// ample is what is advised for them, and for whoever else asks from this
	// machine.
	ample = 200
)

// room says it when Consul's agent allows this machine fewer connections than so
// many services need: it refuses those beyond, and what is refused is not always a
// service's watch.
func (s *state) room(ctx context.Context, services int) {
	allowed, err := s.feed.Consul.ConnectionLimit(ctx)
	for try := 1; err != nil && try < 10; try++ { // it may be away, or refuse already
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Second):
		}
		allowed, err = s.feed.Consul.ConnectionLimit(ctx)
	}
	if err != nil {
		s.feed.Log.WarnContext(ctx, "whether Consul's agent allows connections enough is not known", "services", services, "error", err)
		return
	}
	if allowed == 0 || services+others <= allowed {
		s.feed.Log.DebugContext(ctx, "Consul's agent allows connections enough", "services", services, "allowed", allowed)
		return
	}
	s.feed.Log.WarnContext(ctx, "Consul's agent allows too few connections for the health of all services, and will refuse some",
		"services", services, "allowed", allowed,
		"mend", fmt.Sprintf("set limits { http_max_conns_per_client = %d } in the agent's configuration, and reload it", services+ample))
}
