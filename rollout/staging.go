package rollout

import (
	"fmt"
	"strings"
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

// staging waits until all nodes of the pool that are alive have the version.
func (p *plan) staging() Decision {
	var staged, missing, away []string
	for _, m := range p.Members[p.record.Pool] {
		report := p.Reports[m.Node]
		fits := report.Rollout == p.record.ID
		switch {
		case fits && report.State == Broken:
			return p.fail(fmt.Sprintf("%s could not stage %s: %s", m.Node, p.record.Version, report.Why))
		case fits && report.State != Fetching:
			staged = append(staged, m.Node)
		case !m.Alive:
			away = append(away, m.Node)
		default:
			missing = append(missing, m.Node)
		}
	}
	switch {
	case len(missing) > 0:
		return p.wait(fmt.Sprintf("for %s to stage %s (%d of %d nodes have)%s",
			list(missing), p.record.Version, len(staged), len(p.Members[p.record.Pool]), p.reasons(missing)))
	case len(staged) < p.Spec.Roll.Quorum:
		return p.wait(fmt.Sprintf("for nodes of pool %s: %d of its quorum of %d are there (away: %s)", p.record.Pool, len(staged), p.Spec.Roll.Quorum, list(away)))
	}
	p.record.Members, p.record.LeftOut = staged, away
	if len(away) > 0 {
		p.record.note(p.now, "left out, away from the start: "+list(away))
	}
	return p.enter(Rolling)
}

// rolling waits until the agents have replaced all members that are alive.
// They decide by themselves whose turn it is.
func (p *plan) rolling(pool string, members []string) Decision {
	var running int
	var open, busy []string
	for _, node := range members {
		report := p.Reports[node]
		if report.Rollout == p.record.ID && report.State == Broken {
			why := fmt.Sprintf("%s failed with %s: %s", node, p.record.Version, report.Why)
			if p.record.Phase == Converging {
				why = fmt.Sprintf("%s is live on %s, but %s did not converge: %s", p.record.Version, p.record.Pool, pool, why)
			}
			return p.fail(why)
		}
		in, found := p.Pools[pool].On(node)
		switch {
		case found && in.Passing && in.Version == p.record.Version:
			running++
		case p.alive(pool, node):
			open = append(open, node)
			if report.Rollout == p.record.ID && report.State == Replacing {
				busy = append(busy, node)
			}
		}
	}
	if len(open) == 0 && running >= p.Spec.Roll.Quorum {
		if p.record.Phase == Converging {
			return p.finish("both pools run " + p.record.Version)
		}
		return p.enter(Smoke)
	}
	what := fmt.Sprintf("for %s to run %s (%d of %d nodes do", list(open), p.record.Version, running, len(members))
	if len(busy) > 0 {
		what += "; now " + list(busy)
	}
	return p.wait(what + ")" + p.reasons(open))
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
