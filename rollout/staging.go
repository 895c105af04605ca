package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/spec"
)

func (p *plan) queued() Decision {
	if !p.Released {
		return p.fail(fmt.Sprintf("release %s of %s is gone", p.record.Version, p.record.Service))
	}
	if len(p.Blockers) > 0 {
		return p.wait("for " + strings.Join(p.Blockers, " and ") + ", which this service depends on")
	}
	return p.enter(Staging)
}

// staging waits until all nodes of the pool that are alive have the version,
// but for those that may fail.
func (p *plan) staging() Decision {
	var staged, missing, stuck, away []string
	broken := p.broken(p.record.Pool)
	for _, m := range p.Members[p.record.Pool] {
		report := p.Reports[m.Node]
		fits := report.Rollout == p.record.ID
		switch {
		case fits && report.State == Broken:
			// counted above
		case fits && report.State != Fetching:
			staged = append(staged, m.Node)
		case !m.Alive:
			away = append(away, m.Node)
		case fits && report.Why != "":
			stuck = append(stuck, m.Node) // a full disk, say; it goes on trying
		default:
			missing = append(missing, m.Node)
		}
	}
	quorum := p.Quorum(p.record.Pool)
	// Those that can't get the version are waited for, unless all others have it
	// and so many may fail.
	if len(missing) > 0 || len(staged) < quorum || len(broken)+len(stuck) > p.Spec.Roll.MaxFailures {
		missing, stuck = append(missing, stuck...), nil
	}
	switch {
	case len(broken) > p.Spec.Roll.MaxFailures:
		return p.fail(p.tooMany(broken, "could not stage "+p.record.Version))
	case len(missing) > 0:
		return p.wait(fmt.Sprintf("for %s to stage %s (%d of %d nodes have)%s",
			list(missing), p.record.Version, len(staged), len(p.Members[p.record.Pool]), p.reasons(missing)))
	case len(staged) < quorum:
		return p.wait(fmt.Sprintf("for nodes of pool %s: %d of its quorum of %d are there (away: %s)", p.record.Pool, len(staged), quorum, list(away)))
	}
	if d, held := p.hold(spec.PointRoll, p.Spec.GatesAt(spec.PointRoll)); held {
		return d
	}
	if d, waits := p.lingering(); waits {
		return d
	}
	p.record.Members, p.record.LeftOut = staged, slices.Concat(away, broken, stuck)
	if len(away) > 0 {
		p.record.note(p.now, "left out, away from the start: "+list(away))
	}
	if len(broken) > 0 {
		p.record.note(p.now, "left out: "+p.tooMany(broken, "could not stage "+p.record.Version))
	}
	if len(stuck) > 0 {
		p.record.note(p.now, "left out: "+p.tooMany(stuck, "does not get "+p.record.Version))
	}
	return p.enter(Rolling)
}

// rolling waits until the agents have replaced all members that are alive.
// They decide by themselves whose turn it is. A node that failed runs its
// former version again and is done with; too many of them end the rollout.
func (p *plan) rolling(pool string, members []string) Decision {
	var running, open, busy, away []string
	broken := p.broken(pool)
	for _, node := range members {
		report := p.Reports[node]
		ours := report.Rollout == p.record.ID
		in, found := p.Pools[pool].On(node)
		switch {
		case ours && report.State == Broken:
			// counted above
		case found && in.Passing && in.Version == p.record.Version:
			running = append(running, node)
		case p.alive(pool, node):
			open = append(open, node)
			if ours && report.State == Replacing {
				busy = append(busy, node)
			}
		default:
			away = append(away, node)
		}
	}
	if len(broken) > p.Spec.Roll.MaxFailures {
		why := p.tooMany(broken, "failed with "+p.record.Version)
		if p.record.Phase == Converging {
			why = fmt.Sprintf("%s is live on %s, but %s did not converge: %s", p.record.Version, p.record.Pool, pool, why)
		}
		return p.fail(why)
	}
	if len(open) == 0 && len(running) >= p.Quorum(pool) {
		if len(broken) > 0 {
			p.record.note(p.now, "rolled but for those that may fail: "+p.tooMany(broken, "failed with "+p.record.Version))
		}
		if p.record.Phase == Converging {
			return p.finish("both pools run " + p.record.Version)
		}
		if len(away) > 0 {
			p.record.note(p.now, "left out, away since it was staged: "+list(away))
		}
		p.leaveOut(running)
		return p.enter(Smoke)
	}
	what := fmt.Sprintf("for %s to run %s (%d of %d nodes do", list(open), p.record.Version, len(running), len(members))
	if len(busy) > 0 {
		what += "; now " + list(busy)
	}
	if len(broken) > 0 {
		what += "; failed: " + list(broken)
	}
	return p.wait(what + ")" + p.reasons(open))
}

// leaveOut keeps those members that run the version for the gates to look at.
// The others are left out: they catch up by themselves.
func (p *plan) leaveOut(running []string) {
	for _, node := range p.record.Members {
		if !slices.Contains(running, node) {
			p.record.LeftOut = append(p.record.LeftOut, node)
		}
	}
	p.record.Members = running
}

// broken are the nodes on which the version has failed, as the agents count
// them: those that were left out count, and those that came later.
func (p *plan) broken(pool string) []string {
	var nodes []string
	for node, r := range p.Reports {
		if r.Rollout == p.record.ID && r.State == Broken && (r.Pool == pool || r.Pool == "") {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// tooMany says what failed on which nodes, with the first one's reason.
func (p *plan) tooMany(nodes []string, what string) string {
	why := fmt.Sprintf("%s %s: %s", nodes[0], what, p.Reports[nodes[0]].Why)
	if more := nodes[1:]; len(more) > 0 {
		why += fmt.Sprintf(" (and %s; max_failures is %d)", list(more), p.Spec.Roll.MaxFailures)
	}
	return why
}

// reasons is what the first of the nodes says that keeps it, if anything.
func (p *plan) reasons(nodes []string) string {
	for _, node := range nodes {
		if r := p.Reports[node]; r.Rollout == p.record.ID && r.Why != "" {
			return "; " + node + ": " + r.Why
		}
	}
	return ""
}

// lingering waits until caches have forgotten that the pool had users: a moment
// ago it may have been rolled back, or a canary. Until then, the rollback's own
// TTL leads some of them to nodes that the roll is about to stop.
func (p *plan) lingering() (Decision, bool) {
	if p.Live == nil || p.Live.Generation <= 1 || p.record.From.Pool == "" {
		return Decision{}, false // it never had any
	}
	left := p.Live.At
	if left.After(p.record.Entered) {
		left = p.record.Entered // the clock of who wrote it is ahead
	}
	until := left.Add(max(p.Spec.LeastAfter(), p.Spec.Switch.Settles()))
	if !p.now.Before(until) {
		return Decision{}, false
	}
	if end := until.Add(time.Minute); !p.record.Deadline.IsZero() && p.record.Deadline.Before(end) {
		p.record.Deadline = end // it is no delay of the nodes
	}
	d := p.waitUntil(fmt.Sprintf("for caches to forget that they were led to %s until %s", p.record.Pool, left.UTC().Format(time.TimeOnly)), until, goesOn)
	d.Wake = until
	return d, true
}
