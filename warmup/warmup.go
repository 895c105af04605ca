// Package warmup puts load on the nodes of a pool before users do, until each
// of them answers with a steady latency: caches are filled, code is compiled,
// connections are open.
package warmup

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchd/gate"
	"switchd/spec"
)

// Target is one node to be warmed.
type Target struct {
	Name string
	// URL is the base that the path is appended to, such as
	// http://10.0.0.2:8080.
	URL string
	// Host is sent as the Host header. Empty means the host of the URL.
	Host string
}

// Run puts load on all nodes at the same time, ramped up to cfg.Rate, and keeps
// it there until the latency of every node is steady as cfg defines it; then it
// passes. Errors on the ramp are a cold node's right and don't count; it fails
// when a node is steady with too many errors or too slowly, and has been for
// cfg.Windows windows more. If ctx ends first, the verdict is unknown and says
// which node isn't steady. Either way the load has ended when Run returns, at
// the latest a second after ctx.
//
// progress, if not nil, gets one line per node and window, one at a time.
func Run(ctx context.Context, cfg spec.Warmup, vars spec.Vars, targets []Target, progress func(line string)) gate.Verdict {
	switch {
	case len(targets) == 0:
		return gate.Undecided("there is no node to warm up")
	case cfg.Rate < 1:
		return gate.Failed("warmup: rate must be at least 1, got %d", cfg.Rate)
	case cfg.Window <= 0:
		return gate.Failed("warmup: window must be above 0, got %s", cfg.Window)
	}

	start := time.Now()
	loadCtx, end := context.WithCancel(ctx)
	defer end()
	var pending atomic.Int64
	pending.Store(int64(len(targets)))

	var mu sync.Mutex
	nodes := make([]*node, len(targets))
	var group sync.WaitGroup
	for i, target := range targets {
		n := &node{target: target, judge: judge{cfg: cfg}}
		n.report = func(line string) {
			mu.Lock()
			defer mu.Unlock()
			if progress != nil {
				progress(line)
			}
		}
		// A node that is warm stays under load until all are, since it may
		// share what it needs with them. One that fails ends it for all.
		n.decided = func(o gate.Outcome) {
			if pending.Add(-1) == 0 || o == gate.Fail {
				end()
			}
		}
		nodes[i] = n
		group.Go(func() { n.warm(loadCtx, cfg, vars) })
	}
	group.Wait()

	v := verdict(ctx, nodes, time.Since(start))
	for _, n := range nodes {
		v.Evidence = append(v.Evidence, n.evidence()...)
	}
	v.Took = time.Since(start)
	return v
}

// verdict sums the nodes up.
func verdict(ctx context.Context, nodes []*node, took time.Duration) gate.Verdict {
	var failed, missing []string
	for _, n := range nodes {
		switch n.outcome {
		case gate.Fail:
			failed = append(failed, fmt.Sprintf("%s: %s", n.target.Name, n.why))
		case gate.Unknown:
			missing = append(missing, fmt.Sprintf("%s: %s", n.target.Name, n.judge.missing()))
		case gate.Pass:
		}
	}
	switch {
	case len(failed) > 0:
		return gate.Failed("warm-up of %s", strings.Join(failed, "; "))
	case len(missing) > 0:
		return gate.Undecided("the warm-up was ended (%v) after %s, %s",
			context.Cause(ctx), took.Round(100*time.Millisecond), strings.Join(missing, "; "))
	}
	return gate.Passed("every node is steady (%d of %d), after %s", len(nodes), len(nodes), took.Round(100*time.Millisecond))
}
