package warmup

import (
	"context"
	"fmt"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"switchd/gate"
	"switchd/spec"
)

// node is one node on its way from cold to warm.
type node struct {
	target  Target
	report  func(line string)
	decided func(gate.Outcome) // called once, when the outcome is known

	cold    window // the ramp
	judge   judge
	outcome gate.Outcome
	why     string // of a failure
}

// warm puts load on the node until ctx ends.
func (n *node) warm(ctx context.Context, cfg spec.Warmup, vars spec.Vars) {
	load := startLoad(ctx, cfg, vars, n.target)
	defer load.stop()

	if !collect(ctx, load.results, &n.cold, time.After(cfg.Ramp.Std())) {
		return
	}
	n.report(fmt.Sprintf("%s: ramp: %s", n.target.Name, &n.cold))
	ticker := time.NewTicker(cfg.Window.Std())
	defer ticker.Stop()
	for {
		w, began := new(window), time.Now()
		if !collect(ctx, load.results, w, ticker.C) {
			return // a window that was cut off says nothing
		}
		w.close(cfg.Rate, time.Since(began))
		n.take(w)
	}
}

// take judges a closed window. What is decided stays decided.
func (n *node) take(w *window) {
	if n.outcome != gate.Unknown {
		return
	}
	n.outcome = n.judge.add(w)
	line := fmt.Sprintf("%s: window %d: %s", n.target.Name, n.judge.seen, w)
	switch n.outcome {
	case gate.Pass:
		line += "; steady"
	case gate.Fail:
		n.why = n.judge.complaint()
		line += "; " + n.why
	case gate.Unknown:
		line += "; " + n.judge.missing()
	}
	n.report(line)
	if n.outcome != gate.Unknown {
		n.decided(n.outcome)
	}
}

// evidence lists the ramp, the first and the newest window.
func (n *node) evidence() []string {
	lines := []string{fmt.Sprintf("%s: ramp: %s", n.target.Name, &n.cold)}
	if n.judge.first != nil {
		newest := n.judge.recent[len(n.judge.recent)-1]
		lines = append(lines,
			fmt.Sprintf("%s: first window: %s", n.target.Name, n.judge.first),
			fmt.Sprintf("%s: window %d: %s", n.target.Name, n.judge.seen, newest))
	}
	return lines
}

// collect adds results to w until the end is signalled, and returns false if
// ctx or the load ended before.
func collect(ctx context.Context, results <-chan *vegeta.Result, w *window, end <-chan time.Time) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case r, ok := <-results:
			if !ok {
				return false
			}
			if ctx.Err() == nil {
				w.add(r)
			}
		case <-end:
			return true
		}
	}
}
