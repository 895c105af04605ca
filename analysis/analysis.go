// Package analysis judges a new version on Prometheus while it has its share of
// the traffic: a few queries, each with its bounds, looked at again and again.
// What Prometheus can't tell counts neither for nor against the version.
package analysis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/gate"
	"switchd/spec"
)

// concurrentQueries bounds the metrics that are asked for at the same time.
const concurrentQueries = 4

// Run looks at every metric once an interval, the first time after one. It fails
// as soon as a metric has more failed looks than its limit forgives, or when a
// query is wrong, since waiting can't help that. It passes when every metric
// has its passing looks and no newer failed one. If ctx ends before either, the
// verdict is unknown and says what is missing.
//
// progress, if not nil, gets one line per metric and look, from one goroutine.
func Run(ctx context.Context, cfg spec.Analysis, vars spec.Vars, q Querier, progress func(line string)) gate.Verdict {
	if err := validate(cfg); err != nil {
		return gate.Failed("%v", err)
	}
	a := &run{cfg: cfg, pool: vars.Pool, querier: q, progress: progress, start: time.Now()}
	for _, m := range cfg.Metrics {
		m.Query, m.Traffic = vars.Expand(m.Query), vars.Expand(m.Traffic)
		a.courses = append(a.courses, &course{metric: m, wanted: cfg.Looks, pool: vars.Pool})
	}

	ticker := time.NewTicker(cfg.Interval.Std())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.ended(ctx)
		case <-ticker.C:
		}
		if v := a.look(ctx); v.Outcome != gate.Unknown {
			return v
		}
	}
}

// validate refuses what can never be answered with a pass.
func validate(cfg spec.Analysis) error {
	if cfg.Interval <= 0 {
		return fmt.Errorf("analysis: interval must be above 0, got %s", cfg.Interval)
	}
	if cfg.Looks < 1 {
		return fmt.Errorf("analysis: looks must be at least 1, got %d", cfg.Looks)
	}
	if len(cfg.Metrics) == 0 {
		return errors.New("analysis: there is no metric to look at")
	}
	for _, m := range cfg.Metrics {
		if m.Min == nil && m.Max == nil {
			return fmt.Errorf("metric %q has neither min nor max", m.Name)
		}
	}
	return nil
}

// run is one analysis.
type run struct {
	cfg      spec.Analysis
	pool     string
	querier  Querier
	progress func(string)
	courses  []*course
	start    time.Time
	looks    int
}

// look looks at every metric as of the same moment and returns the verdict so
// far. A look that ctx ended is not counted.
func (a *run) look(ctx context.Context) gate.Verdict {
	at := time.Now()
	looks := make([]look, len(a.courses))
	var group errgroup.Group
	group.SetLimit(concurrentQueries)
	for i, c := range a.courses {
		group.Go(func() (err error) {
			looks[i], err = lookAt(ctx, a.querier, c.metric, at)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return a.verdict(gate.Failed("%v", err))
	}
	if ctx.Err() != nil {
		return gate.Verdict{}
	}

	a.looks++
	outcomes := make([]gate.Outcome, len(a.courses))
	for i, c := range a.courses {
		c.add(looks[i])
		outcomes[i] = c.outcome()
		if a.progress != nil {
			a.progress(fmt.Sprintf("look %d: %s", a.looks, c.standing()))
		}
	}
	switch overall(outcomes) {
	case gate.Fail:
		return a.failed()
	case gate.Pass:
		return a.verdict(gate.Passed("%s within bounds%s, %s", a.names(), a.ofPool(), a.after()))
	case gate.Unknown:
	}
	return gate.Verdict{}
}

// failed names every metric that fails, with its value and its bound.
func (a *run) failed() gate.Verdict {
	var complaints []string
	for _, c := range a.courses {
		if c.outcome() == gate.Fail {
			complaints = append(complaints, c.complaint())
		}
	}
	return a.verdict(gate.Failed("%s, %s", strings.Join(complaints, "; "), a.after()))
}

// ended names what is missing for a pass when the time is over.
func (a *run) ended(ctx context.Context) gate.Verdict {
	var missing []string
	for _, c := range a.courses {
		if c.outcome() != gate.Pass {
			missing = append(missing, c.standing())
		}
	}
	return a.verdict(gate.Undecided("the analysis was ended (%v) %s: %s",
		context.Cause(ctx), a.after(), strings.Join(missing, "; ")))
}

// verdict adds the evidence: where each metric stands, and what was asked.
func (a *run) verdict(v gate.Verdict) gate.Verdict {
	for _, c := range a.courses {
		v.Evidence = append(v.Evidence, c.standing(), c.query())
	}
	v.Took = time.Since(a.start)
	return v
}

// after says how much the verdict rests on.
func (a *run) after() string {
	looks := "looks"
	if a.looks == 1 {
		looks = "look"
	}
	return fmt.Sprintf("after %d %s in %s", a.looks, looks, span(time.Since(a.start)))
}

func (a *run) names() string {
	names := make([]string, len(a.courses))
	for i, c := range a.courses {
		names[i] = c.metric.Name
	}
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1] + " are"
}

func (a *run) ofPool() string {
	if a.pool == "" {
		return ""
	}
	return " on " + a.pool
}
