package driver

import (
	"context"
	"fmt"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/rollout"
)

// drain waits for the end of the old pool's traffic: first for as long as
// caches may lead there, and then, where the spec has a query, until it is
// measured.
func (w *World) drain(ctx context.Context, s rollout.Situation, progress func(string)) gate.Verdict {
	least := s.Spec.LeastAfter()
	// Until the proof, something may have told caches of the old pool.
	since := s.Record.ProvedAt
	if since.IsZero() {
		since = s.Record.SwitchedAt
	}
	if left := time.Until(since.Add(least)); left > 0 {
		progress(fmt.Sprintf("caches may lead to the old pool for %s after the proof of the switch", least))
		select {
		case <-ctx.Done():
			return gate.Undecided("ended before %s were over, for which caches may lead to the old pool", least)
		case <-time.After(left):
		}
	}
	if s.Spec.Drain.Query == "" {
		return gate.Passed("%s are over, for which caches may lead to the old pool; no query for the traffic is declared", least)
	}
	prometheus, verdict := w.prometheus(ctx, s.Spec)
	if prometheus == nil {
		return verdict
	}
	return analysis.Drained(ctx, s.Spec.Drain, vars(s, s.Record.From.Pool), prometheus, progress)
}
