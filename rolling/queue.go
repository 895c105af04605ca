package rolling

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"switchd/consul"
	"switchd/rollout"
	"switchd/spec"
)

// reported is one node's report with its place in the order of arrival.
type reported struct {
	node    string
	created uint64
	rollout.Report
}

// reportsOf reads the reports of one rollout, in the order in which they came;
// ties by name. They are bound to sessions, so a dead agent's goes away by
// itself.
func reportsOf(keys consul.Keys, service string, entries []consul.Entry, want Want) []reported {
	var all []reported
	for _, e := range entries {
		node, version, ok := keys.SplitStaging(service, e.Key)
		if !ok || version != want.Version {
			continue
		}
		if report, ok := reportOf(e, want); ok {
			all = append(all, reported{node: node, created: e.Created, Report: report})
		}
	}
	slices.SortFunc(all, func(a, b reported) int {
		return cmp.Or(cmp.Compare(a.created, b.created), strings.Compare(a.node, b.node))
	})
	return all
}

// reportOf reads an entry; false: it is no report of the rollout.
func reportOf(entry consul.Entry, want Want) (rollout.Report, bool) {
	var r rollout.Report
	err := json.Unmarshal(entry.Value, &r)
	return r, err == nil && r.Rollout == want.Reason
}

// waits tells whether an entry is the report of a node that waits for its turn.
func waits(entry consul.Entry, want Want) bool {
	r, ok := reportOf(entry, want)
	return ok && (r.State == rollout.Staged || r.State == rollout.Waiting)
}

// turn is what a look at the queue comes to.
type turn struct {
	// limit is how many nodes may be down at a time.
	limit int
	// hold is why nobody may go now; empty: somebody may.
	hold string
	// after is the node that must have taken its slot before this one; empty: it
	// is this one's turn.
	after string
	begun bool // whether any node has gone already
}

// lookAt tells whose turn it is: first staged, first to go. While the canary
// nodes have not all been proven, one node goes at a time.
func lookAt(reports []reported, node, pool string, r spec.Roll, maxUnavailable int) turn {
	t := turn{limit: maxUnavailable}
	proven, failed := 0, 0
	var waiting []string
	for _, rep := range reports {
		if rep.Pool != pool && rep.Pool != "" {
			continue
		}
		switch rep.State {
		case rollout.Running:
			proven++
		case rollout.Broken:
			failed++
		case rollout.Staged, rollout.Waiting:
			waiting = append(waiting, rep.node)
			continue
		case rollout.Replacing:
		default:
			continue
		}
		t.begun = true
	}
	if proven < r.CanaryNodes {
		t.limit = 1
	}
	if failed > r.MaxFailures {
		t.hold = fmt.Sprintf("%d nodes failed, max_failures is %d", failed, r.MaxFailures)
	}
	if i := slices.Index(waiting, node); i > 0 {
		t.after = waiting[i-1]
	}
	return t
}

// await wakes the unit when a key, or one of those under a prefix, changes.
// Whoever is not at the head of the queue watches the one node whose going
// brings it there, so that a thousand nodes that wait do not all wake for each
// of them.
func (u *unit) await(ctx context.Context, key string) {
	if u.watching != nil && u.watchedFor == key {
		return
	}
	u.unwatch()
	ctx, u.watching = context.WithCancel(ctx)
	u.watchedFor = key
	if strings.HasSuffix(key, "/") {
		u.watches.Go(func() {
			u.agent.Consul.WatchPrefix(ctx, key, func(seen consul.Seen[[]consul.Entry]) { u.pokeIf(seen.Changed) })
		})
		return
	}
	u.watches.Go(func() {
		u.agent.Consul.WatchKey(ctx, key, func(seen consul.Seen[consul.Entry]) { u.pokeIf(seen.Changed) })
	})
}

func (u *unit) pokeIf(changed bool) {
	if changed {
		u.poke()
	}
}

func (u *unit) unwatch() {
	if u.watching != nil {
		u.watching()
		u.watching = nil
	}
}
