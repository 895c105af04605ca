package driver

import (
	"context"
	"fmt"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/rollout"
)

// drain waits for the end of the old pool's traffic: measured where the spec
// has a query, and for three TTLs, which no cache should outlast, elsewhere.
func (w *World) drain(ctx context.Context, s rollout.Situation, progress func(string)) gate.Verdict {
	const ttls = 3
	settled := s.Record.SwitchedAt.Add(ttls * s.Spec.Switch.TTL.Std())
	if left := time.Until(settled); left > 0 {
		progress(fmt.Sprintf("%d TTLs of %s are not over", ttls, s.Spec.Switch.TTL))
		select {
		case <-ctx.Done():
			return gate.Undecided("ended before %d TTLs of %s were over", ttls, s.Spec.Switch.TTL)
		case <-time.After(left):
		}
	}
	if s.Spec.Drain.Query == "" {
		return gate.Passed("%d TTLs of %s are over; no query for the traffic is declared", ttls, s.Spec.Switch.TTL)
	}
	prometheus, verdict := w.prometheus(ctx, s.Spec)
	if prometheus == nil {
		return verdict
	}
	return analysis.Drained(ctx, s.Spec.Drain, vars(s, s.Record.From.Pool), prometheus, progress)
}
