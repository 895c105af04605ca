package main

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"switchd/analysis"
	"switchd/gate"
	"switchd/spec"
)

// result is what was found about one canary.
type result struct {
	pool    *pool
	verdict gate.Verdict
}

// wrong says why the verdict must not be; "" if it may.
func (r result) wrong() string {
	switch {
	case r.pool.fault == "" && r.verdict.Outcome == gate.Fail:
		return "it runs the same version as the live pool"
	case r.pool.fault == "" && r.verdict.Outcome == gate.Unknown:
		return "nothing was found out in all the time"
	case r.pool.fault != "" && r.verdict.Outcome != gate.Fail:
		return "its fault was not found"
	case r.pool.fault != "" && !strings.Contains(r.verdict.Why, r.pool.fault):
		return "not for its " + r.pool.fault
	}
	return ""
}

// history is what the live pool's noise is estimated from: a bit more than the
// 72 looks that it takes.
const history = 80 * time.Second

// settings judge errors, latency and saturation as a spec would say it.
const settings = `
analysis {
  interval = "1s"
  looks    = %d
  settle   = "5s"
  history  = "%s"
  errors {
    exporter = "promhttp"
  }
  latency {
    exporter = "promhttp"
    edges    = ["25ms", "250ms"]
    harmless = 0.01
  }
  saturation {
    exporter = "promhttp"
    margin   = 4 # so short a history says little of noise that lasts
  }
}
`

// judge compares each canary with the live pool at the same time. A canary of
// the same version is looked at for the whole time, a fault until it is found.
func (w *world) judge(ctx context.Context, lasts time.Duration) iter.Seq[result] {
	return func(yield func(result) bool) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(history):
		}
		ctx, cancel := context.WithCancel(ctx)
		results := make(chan result)
		var judging sync.WaitGroup
		began := time.Now()
		for _, p := range w.canaries {
			judging.Go(func() {
				found := result{p, w.verdict(ctx, p, began, lasts)}
				select {
				case results <- found:
				case <-ctx.Done():
				}
			})
		}
		defer judging.Wait()
		defer cancel()
		for range w.canaries {
			select {
			case found := <-results:
				if !yield(found) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

func (w *world) verdict(ctx context.Context, p *pool, began time.Time, lasts time.Duration) gate.Verdict {
	source, err := analysis.NewPrometheus(w.prometheus)
	if err != nil {
		return gate.Undecided("%v", err)
	}
	config, err := spec.ParseAnalysis("settings", fmt.Appendf(nil, settings, int(lasts/time.Second), history))
	if err != nil {
		return gate.Undecided("%v", err)
	}
	const busy = 3 * time.Minute // a machine that is needs more looks to know
	ctx, cancel := context.WithTimeout(ctx, lasts+busy)
	defer cancel()
	return analysis.Watch(ctx, analysis.Task{
		Config: config, Vars: spec.Vars{Service: "web", Pool: p.name, Other: w.live.name, Version: "1"},
		Share: 50, Since: began, Began: began,
	}, source, func(gate.Verdict) {})
}
