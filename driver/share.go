package driver

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/rollout"
)

// shareEvery is how often the share of the users is measured.
const shareEvery = 10 * time.Second

// share reports what share of the users the new pool is measured to have, until
// ctx ends. It decides nothing: a verdict is unknown, with a rollout.Observed as its
// state if that could be measured.
func (w *World) share(ctx context.Context, s rollout.Situation, report func(gate.Verdict)) gate.Verdict {
	if s.Spec.Drain.Query == "" {
		<-ctx.Done()
		return gate.Undecided("the share is not measured: drain has no query for the traffic of a pool")
	}
	ticker := time.NewTicker(shareEvery)
	defer ticker.Stop()
	for {
		report(w.measure(ctx, s))
		select {
		case <-ctx.Done():
			return gate.Undecided("measuring the share was ended")
		case <-ticker.C:
		}
	}
}

func (w *World) measure(ctx context.Context, s rollout.Situation) gate.Verdict {
	prometheus, verdict := w.prometheus(ctx, s.Spec)
	if prometheus == nil {
		return gate.Undecided("the share is not known: %s", verdict.Why)
	}
	share, err := analysis.MeasureShare(ctx, s.Spec.Drain.Query, vars(s, s.Record.Pool), vars(s, s.Record.From.Pool), prometheus)
	if err != nil {
		return gate.Undecided("the share is not known: %v", err)
	}
	observed := rollout.Observed{Percent: math.Round(100*share.Percent) / 100, At: share.At.UTC()}
	v := gate.Undecided("%.1f %% of %.1f requests/s go to %s", observed.Percent, share.Total, s.Record.Pool)
	if v.State, err = json.Marshal(observed); err != nil {
		return gate.Undecided("the share can't be told: %v", err)
	}
	return v
}
