// Package smoke does the first checks of a new version: a few HTTP requests on
// each node and through the pool's name, each with what it must answer.
package smoke

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"switchd/gate"
	"switchd/spec"
)

// defaultConcurrency is how many checks are done at the same time.
const defaultConcurrency = 8

// maxEvidence bounds the lines of a verdict.
const maxEvidence = 50

// Option changes how Run goes about it.
type Option func(*options)

type options struct {
	concurrency int
}

// Concurrency sets how many checks are done at the same time; 8 if not set.
func Concurrency(n int) Option {
	return func(o *options) { o.concurrency = max(1, n) }
}

// result is what became of one check.
type result struct {
	check     *check
	tries     int
	complaint string // "" if the answer was right
	err       error  // not nil if ctx ended before it was known
}

// Run does each check on each target. It passes if every answer was right, and
// fails if one was wrong after its retries, or if a check is written wrongly.
// All checks are done even if one fails, so that the evidence is whole. If ctx
// ends before all is known, or there is nothing to check, the verdict is
// unknown.
func Run(ctx context.Context, checks []spec.Smoke, vars spec.Vars, targets []Target, opts ...Option) gate.Verdict {
	o := options{concurrency: defaultConcurrency}
	for _, opt := range opts {
		opt(&o)
	}
	switch {
	case len(targets) == 0:
		return gate.Undecided("there is no target to smoke-test")
	case len(checks) == 0:
		return gate.Undecided("there is no smoke check to do")
	}

	start := time.Now()
	clients := make([]*http.Client, len(targets))
	for i, target := range targets {
		clients[i] = target.client()
	}
	var results []result
	for _, s := range checks {
		for i, target := range targets {
			c, err := prepare(s, vars, target, clients[i])
			if err != nil {
				return gate.Failed("%v", err)
			}
			results = append(results, result{check: c})
		}
	}

	var group errgroup.Group
	group.SetLimit(o.concurrency)
	for i := range results {
		group.Go(func() error {
			r := &results[i]
			if r.err = ctx.Err(); r.err == nil {
				r.tries, r.complaint, r.err = r.check.run(ctx)
			}
			return nil
		})
	}
	_ = group.Wait() // the results hold what happened

	v := verdict(ctx, results)
	v.Took = time.Since(start)
	return v
}

// verdict sums the results up.
func verdict(ctx context.Context, results []result) gate.Verdict {
	var passed, unknown int
	var wrong []string
	for _, r := range results {
		switch {
		case r.err != nil:
			unknown++
		case r.complaint == "":
			passed++
		default:
			wrong = append(wrong, fmt.Sprintf("%s: %s%s", r.check, r.complaint, after(r.tries)))
		}
	}

	var v gate.Verdict
	switch {
	case unknown > 0:
		v = gate.Undecided("the smoke test was ended (%v) after %d of %d checks, of which %d failed",
			context.Cause(ctx), len(results)-unknown, len(results), len(wrong))
	case len(wrong) == 1:
		v = gate.Failed("%s", wrong[0])
	case len(wrong) > 1:
		v = gate.Failed("%s, and %d more of %d checks failed", wrong[0], len(wrong)-1, len(results))
	default:
		v = gate.Passed("every smoke check passed (%d of %d)", passed, len(results))
	}
	v.Evidence = evidence(results, wrong)
	return v
}

// evidence lists what was wrong first, since that is what is looked for.
func evidence(results []result, wrong []string) []string {
	lines := wrong
	for _, r := range results {
		switch {
		case r.err != nil && r.complaint != "":
			lines = append(lines, fmt.Sprintf("%s: not finished, at last: %s", r.check, r.complaint))
		case r.err != nil:
			lines = append(lines, fmt.Sprintf("%s: not finished", r.check))
		case r.complaint == "":
			lines = append(lines, fmt.Sprintf("%s: passed%s", r.check, after(r.tries)))
		}
	}
	if more := len(lines) - maxEvidence; more > 0 {
		lines = append(lines[:maxEvidence:maxEvidence], fmt.Sprintf("and %d more", more))
	}
	return lines
}

// after tells of retries, and is silent if there were none.
func after(tries int) string {
	if tries < 2 {
		return ""
	}
	return fmt.Sprintf(", after %d tries", tries)
}
