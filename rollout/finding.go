package rollout

import (
	"cmp"
	"fmt"
	"time"

	"switchd/gate"
	"switchd/spec"
	"switchd/window"
)

// finding is what a gate says now.
type finding struct {
	outcome GateOutcome
	why     string
	by      []string
	facts   []string
	// changes is when time alone may change it; zero: never.
	changes time.Time
}

// find asks a gate.
func (p *plan) find(g spec.Gate) finding {
	if b, ok := p.bypass(g.Name); ok {
		return finding{
			outcome: GateBypassed, why: cmp.Or(b.Why, noReason), by: []string{person(b.Who, b.By)},
			facts: []string{"without it: " + p.without(g)},
		}
	}
	switch g.Kind {
	case spec.GateApproval:
		return p.findApproval(*g.Approval)
	case spec.GateWindow:
		return p.findWindow(*g.Window)
	default:
		return p.findJob(g)
	}
}

// noReason is said for a person who gave none.
const noReason = "no reason was given"

// without is what a gate would say that is bypassed. What looks at the world isn't
// looked at any more: its last look counts.
func (p *plan) without(g spec.Gate) string {
	var f finding
	switch g.Kind {
	case spec.GateApproval:
		f = p.findApproval(*g.Approval)
	case spec.GateWindow:
		f = p.findWindow(*g.Window)
	default:
		return cmp.Or(p.Jobs[p.gateJob(g)].Why, "it was not looked at")
	}
	text := string(f.outcome)
	if f.outcome == GateDenied {
		text += " by " + list(f.by)
	}
	return text + ": " + f.why
}

func (p *plan) findApproval(a spec.Approval) finding {
	t := p.Tally(a, p.now)
	if len(t.Denied) > 0 {
		no := t.Denied[0]
		return finding{outcome: GateDenied, why: cmp.Or(no.Why, noReason), by: []string{person(no.Who, no.By)}}
	}
	f := finding{outcome: GateWaits, by: t.People(), changes: t.Expires}
	f.why = fmt.Sprintf("%d of %d", len(f.by), t.Need)
	if len(f.by) > 0 {
		f.why += ", by " + list(f.by)
	}
	for _, c := range t.Ahead {
		f.why += fmt.Sprintf("; that of %s is dated %s, and does not count before then: a clock is wrong", person(c.Who, c.By), c.At.UTC().Format(time.RFC3339))
	}
	for _, c := range t.Given {
		fact := fmt.Sprintf("%s approved at %s", person(c.Who, c.By), c.At.UTC().Format(time.RFC3339))
		if c.Why != "" {
			fact += ": " + c.Why
		}
		f.facts = append(f.facts, fact)
	}
	if len(t.Given) >= t.Need {
		f.outcome = GatePassed
	}
	return f
}

func (p *plan) findWindow(w spec.Window) finding {
	state, err := window.At(w, p.now)
	switch {
	case err != nil:
		return finding{outcome: GateWaits, why: err.Error()}
	case state.Open:
		return finding{outcome: GatePassed, why: state.Why, changes: state.Changes}
	case state.Changes.IsZero():
		return finding{outcome: GateWaits, why: state.Why}
	}
	why := fmt.Sprintf("%s; it opens at %s", state.Why, state.Changes.UTC().Format(time.RFC3339))
	return finding{outcome: GateWaits, why: why, changes: state.Changes}
}

// findJob asks a gate that looks at the world. What it says is what the job
// under way says: a pass of an earlier look doesn't count.
func (p *plan) findJob(g spec.Gate) finding {
	job := p.gateJob(g)
	p.look = append(p.look, job)
	v := p.Jobs[job]
	if v.Outcome == gate.Pass {
		return finding{outcome: GatePassed, why: v.Why, facts: v.Evidence}
	}
	return finding{outcome: GateWaits, why: cmp.Or(v.Why, "it is being looked at"), facts: v.Evidence}
}

func (p *plan) gateJob(g spec.Gate) Job {
	job := p.job(JobGate)
	job.Step, job.Gate = p.record.Step, g.Name
	return job
}
