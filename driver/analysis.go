package driver

import (
	"context"
	"sync"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/rollout"
	"switchd/spec"
	"switchd/warmup"
)

// analysis judges the new version at its present share, with the evidence that
// the record has.
func (w *World) analysis(ctx context.Context, s rollout.Situation, report func(gate.Verdict)) gate.Verdict {
	prometheus, verdict := w.prometheus(ctx, s.Spec)
	if prometheus == nil {
		return verdict
	}
	task := analysis.Task{
		Config: *s.Spec.Analysis, Vars: vars(s, s.Record.Pool), LiveVersion: s.Record.From.Version,
		Share: s.Live.Share(s.Record.Pool), Step: s.Record.Step, Since: s.Record.Entered, Began: s.Record.At,
		State: s.Record.Evidence,
	}
	if !s.Record.StepAt.IsZero() {
		// Before then caches held what they were told earlier.
		task.Since = s.Record.StepAt.Add(s.Spec.Switch.InForce(true).Std())
	}
	if task.Compares() == spec.CompareWarmup && s.Spec.Warmup != nil {
		nodes, verdict := w.nodes(ctx, s)
		if nodes == nil {
			return verdict
		}
		loadCtx, end := context.WithCancel(ctx)
		var load sync.WaitGroup
		defer load.Wait()
		defer end()
		task.Since = time.Now() // before, nobody asked anything of the pool
		load.Go(func() { warmup.Hold(loadCtx, *s.Spec.Warmup, task.Vars, warmupTargets(nodes)) })
	}
	return analysis.Watch(ctx, task, prometheus, report)
}

func warmupTargets(nodes []node) []warmup.Target {
	targets := make([]warmup.Target, 0, len(nodes))
	for _, n := range nodes {
		targets = append(targets, warmup.Target{Name: n.name, URL: n.url})
	}
	return targets
}

// prometheus is the one that the spec names, nil with the reason if there is
// none.
func (w *World) prometheus(ctx context.Context, s spec.Service) (*analysis.Prometheus, gate.Verdict) {
	base := ""
	if s.Analysis != nil {
		base = s.Analysis.Prometheus
	}
	if base == "" {
		env, err := w.Environment(ctx)
		if err != nil {
			return nil, gate.Undecided("the environment can't be read: %v", err)
		}
		base = env.Prometheus
	}
	prometheus, err := analysis.NewPrometheus(base)
	if err != nil {
		return nil, gate.Failed("%v", err)
	}
	return prometheus, gate.Verdict{}
}
