package rolling

import (
	"context"
	"fmt"
	"time"

	"switchd/pools"
)

// adopt rebuilds the unit's state where the journal was lost while its service
// ran on: what runs is found by its runtime, and which version that is the
// catalog still knows.
func (u *unit) adopt(ctx context.Context) error {
	if u.state.Running != nil || u.state.Move != nil || u.adopted || u.order == nil || !u.order.member {
		return nil
	}
	s := u.order.service
	rt, err := u.agent.runtime(s.Runtime.Kind)
	if err != nil {
		u.adopted = true // there is nothing to be found with; staging says so
		return nil
	}
	found, err := rt.Find(ctx, u.instance(s, Run{}))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		u.adopted = true
		return nil
	}
	now, err := pools.ReadNode(ctx, u.agent.Consul, u.service, u.agent.Node)
	if err != nil {
		return err
	}
	in, registered := now[u.pool]
	if !registered || in.Version == "" {
		// It runs on; the next version replaces it under the quorum.
		u.adopted = true
		u.log.WarnContext(ctx, "something runs that nobody knows the version of", "handles", found)
		return nil
	}
	m, err := u.agent.Releases.Release(ctx, u.service, in.Version)
	if err != nil {
		return fmt.Errorf("adopt %s: %w", in.Version, err)
	}
	u.adopted = true
	u.state.Service = s
	u.state.Running = &Run{Version: in.Version, Release: m.SHA256, Dir: u.agent.Stager.Dir(m), Handle: found[0]}
	u.save()
	if err := u.agent.journal.Hold(u.id, Held{Run: *u.state.Running, Service: s, Pool: u.pool}); err != nil {
		u.log.ErrorContext(ctx, "journal", "error", err)
	}
	u.lastStart = time.Now()
	u.log.InfoContext(ctx, "the journal knew of nothing; adopted what runs", "version", in.Version, "handle", found[0])
	u.watchEnd(ctx, rt, found[0])
	return nil
}
