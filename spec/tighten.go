package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// tightener has a service keep what policies ask for. It never loosens: what is
// stricter already stays as it is.
type tightener struct {
	s *Service
	c *compiler // of the service
	p *policy   // the one that asks
	// was is what the service's files say of what has become stricter.
	was map[string]was
}

type was struct {
	value string
	place string
}

// tighten applies all policies that cover the service. Where a service can't
// have what is asked of it, the error names both places.
func (c *compiler) tighten(s *Service, policies []policy) {
	t := &tightener{s: s, c: c, was: make(map[string]was)}
	own := len(s.Approvals)
	declared := make(map[string]bool, own) // by the service itself
	for _, a := range s.Approvals {
		declared[a.Name] = true
	}
	before := len(c.diags)
	for i := range policies {
		t.p = &policies[i]
		if !t.p.covers(s.Name) {
			continue
		}
		t.values()
		t.versions()
		t.gates()
		for i := range s.Approvals {
			if a := &s.Approvals[i]; declared[a.Name] {
				larger(t, join("approval."+a.Name, "min_approvers"), "min_approvers", &a.MinApprovers, t.p.minApprovers)
			}
		}
	}
	if len(s.Tightened) == 0 || len(c.diags) > before {
		return
	}
	slices.SortStableFunc(s.Tightened, func(a, b Tightening) int { return byParts(a.What, b.What) })
	t.recheck(s.validateRoll, "roll.quorum", "roll.max_unavailable")
	t.recheck(func(at scope) {
		s.Roll.validate(scope{c: c, path: "roll"})
		s.validateDeadlines(at)
	}, "roll.min_healthy_time", "roll.stagger", "roll.max_unavailable")
	t.recheck(s.validateGates, GateApproval)
}

// values are those that are one number or one time.
func (t *tightener) values() {
	asked, roll := &t.p.roll, &t.s.Roll
	larger(t, "bake", "bake", &t.s.Bake, t.p.bake)
	larger(t, "roll.min_healthy_time", "roll.min_healthy_time", &roll.MinHealthyTime, asked.minHealthyTime)
	larger(t, "roll.canary_nodes", "roll.canary_nodes", &roll.CanaryNodes, asked.canaryNodes)
	larger(t, "roll.stagger", "roll.stagger", &roll.Stagger, asked.stagger)
	if most := asked.maxFailures; most != nil && *most < roll.MaxFailures {
		set(t, "roll.max_failures", "roll.max_failures", &roll.MaxFailures, *most)
	}
	t.count("roll.quorum", &roll.Quorum, asked.quorum, Count.AtLeast, func(a, b int) int { return max(a, b) })
	t.count("roll.max_unavailable", &roll.MaxUnavailable, asked.maxUnavailable, Count.AtMost, func(a, b int) int { return min(a, b) })
}

// larger has a value be as large as asked.
func larger[T int | Duration](t *tightener, path, asked string, to *T, least T) {
	if least > *to {
		set(t, path, asked, to, least)
	}
}

// set changes a value; asked is its path in the policy.
func set[T any](t *tightener, path, asked string, to *T, value T) {
	from := fmt.Sprint(*to)
	*to = value
	t.tightened(path, asked, from, fmt.Sprint(value))
}

// count has a number of nodes be as strict as both say, in pools of any size
// that this service may have.
func (t *tightener) count(path string, to *Count, asked Count, in func(Count, int) int, stricter func(a, b int) int) {
	if asked == (Count{}) {
		return
	}
	same := func(a, b Count) bool {
		if a == b {
			return true
		}
		for _, pool := range t.s.Pools {
			least, most := 1, maxNodes
			if n := len(pool.Nodes); n > 0 {
				least, most = n, n
			}
			for n := least; n <= most; n++ {
				if in(a, n) != in(b, n) {
					return false
				}
			}
		}
		return true
	}
	both := to.with(asked, stricter)
	switch {
	case same(both, *to):
	case same(both, asked):
		set(t, path, path, to, asked)
	default:
		set(t, path, path, to, both)
	}
}

func (t *tightener) versions() {
	for _, pattern := range t.p.forbidden {
		if !slices.Contains(t.s.Forbidden, pattern) {
			t.s.Forbidden = append(t.s.Forbidden, pattern)
			own, at := t.c.origins[forbiddenVersions], t.c.places[forbiddenVersions]
			t.note(forbiddenVersions, forbiddenVersions, "", pattern)
			if own != (Origin{}) { // the others stay where they are
				t.c.origins[forbiddenVersions], t.c.places[forbiddenVersions] = own, at
			}
		}
	}
	slices.Sort(t.s.Forbidden)
}

// gates adds those of the policy. An approval that the service has too is one
// that both ask for; any other gate of the same name is another one.
func (t *tightener) gates() {
	asked := &Service{Windows: t.p.windows, Waits: t.p.waits, Silences: t.p.silences}
	for _, g := range asked.Gates() {
		if !t.free(g.Kind, g.Name) {
			continue
		}
		switch g.Kind {
		case GateWindow:
			t.s.Windows = append(t.s.Windows, *g.Window)
		case GateWait:
			t.s.Waits = append(t.s.Waits, *g.Wait)
		case GateSilence:
			t.s.Silences = append(t.s.Silences, *g.Silence)
		}
		t.added(g)
	}
	for _, a := range t.p.approvals {
		if i := slices.IndexFunc(t.s.Approvals, func(own Approval) bool { return own.Name == a.Name }); i >= 0 {
			t.approval(&t.s.Approvals[i], a)
		} else if t.free(GateApproval, a.Name) {
			t.s.Approvals = append(t.s.Approvals, a)
			t.added(Gate{Hold: a.Hold, Name: a.Name, Kind: GateApproval, Approval: &a})
		}
	}
	slices.SortFunc(t.s.Windows, func(a, b Window) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.s.Waits, func(a, b WaitFor) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.s.Silences, func(a, b Silence) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(t.s.Approvals, func(a, b Approval) int { return strings.Compare(a.Name, b.Name) })
}

// free tells whether the service has no gate of the name, and complains if it has.
func (t *tightener) free(kind, name string) bool {
	gates := t.s.Gates()
	i := slices.IndexFunc(gates, func(g Gate) bool { return g.Name == name })
	if i < 0 {
		return true
	}
	at := scope{c: t.p.c}
	t.c.diags = append(t.c.diags, &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Name of a gate taken",
		Detail: fmt.Sprintf("Policy %q adds the %s %q to service %q, which has a gate of that name: the %s at %s. People approve and bypass gates by name, so each needs its own. Rename one of the two.",
			t.p.name, kind, name, t.s.Name, gates[i].Kind, place(scope{c: t.c}.where(join(gates[i].Kind, name)))),
		Subject: at.where(join(kind, name)).Ptr(),
	})
	return false
}

// approval makes one stricter: at all points, by more people, of fewer, for less
// time.
func (t *tightener) approval(own *Approval, asked Approval) {
	path := join(GateApproval, own.Name)
	at := slices.DeleteFunc(Points(), func(point string) bool {
		return !slices.Contains(own.At, point) && !slices.Contains(asked.At, point)
	})
	if len(at) > len(own.At) {
		t.list(join(path, "at"), &own.At, at)
	}
	larger(t, join(path, "min_approvers"), join(path, "min_approvers"), &own.MinApprovers, asked.MinApprovers)
	if asked.Expires > 0 && (own.Expires == 0 || asked.Expires < own.Expires) {
		set(t, join(path, "expires"), join(path, "expires"), &own.Expires, asked.Expires)
	}
	switch both := intersection(own.Approvers, asked.Approvers); {
	case len(asked.Approvers) == 0 || len(both) == len(own.Approvers) && len(both) > 0:
	case len(own.Approvers) == 0:
		t.list(join(path, "approvers"), &own.Approvers, asked.Approvers)
	case len(both) == 0:
		scope{c: t.c}.wrong(join(path, "approvers"), "Nobody may approve", "Policy %q (%s) lets others approve %q than service %q does: %s. Name at least one person in both.",
			t.p.name, scope{c: t.p.c}.said(join(path, "approvers")), own.Name, t.s.Name, quoted(asked.Approvers))
	default:
		t.list(join(path, "approvers"), &own.Approvers, both)
	}
}

// list changes a list.
func (t *tightener) list(path string, to *[]string, list []string) {
	from := strings.Join(*to, ", ")
	*to = slices.Clone(list)
	t.tightened(path, path, from, strings.Join(list, ", "))
}

func intersection(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// added says that the service has a gate of the policy.
func (t *tightener) added(g Gate) {
	path := join(g.Kind, g.Name)
	t.note(path, path, "", fmt.Sprintf("%s, at %s", g, strings.Join(g.At, ", ")))
	for below, origin := range t.p.c.origins {
		if strings.HasPrefix(below, path+".") {
			t.c.origins[below], t.c.places[below] = origin, t.p.c.places[below]
		}
	}
}

// tightened says that a value is another one. If several policies have raised it,
// the last one is the strictest.
func (t *tightener) tightened(path, asked, from, to string) {
	if first, again := t.was[path]; again {
		from = first.value
		t.s.Tightened = slices.DeleteFunc(t.s.Tightened, func(x Tightening) bool { return x.What == path })
	} else {
		t.was[path] = was{from, scope{c: t.c}.said(path)}
	}
	t.note(path, asked, from, to)
}

// note keeps who tightened what, and where: what holds comes from there now.
func (t *tightener) note(path, asked, from, to string) {
	origin := t.p.c.origins[asked]
	if origin == (Origin{}) { // a default of the policy's gate
		origin = t.p.c.origins[asked[:max(0, strings.LastIndexByte(asked, '.'))]]
	}
	t.c.origins[path], t.c.places[path] = origin, scope{c: t.p.c}.where(asked)
	t.s.Tightened = append(t.s.Tightened, Tightening{
		Policy: t.p.name, Owner: origin.Owner, What: path, From: from, To: to, File: origin.File, Line: origin.Line,
	})
}

// recheck validates what has become stricter, and adds to each complaint who has
// asked for it.
func (t *tightener) recheck(validate func(scope), about ...string) {
	before := len(t.c.diags)
	validate(scope{c: t.c})
	for _, d := range t.c.diags[before:] {
		for _, x := range t.s.Tightened {
			was, changed := t.was[x.What]
			if changed && slices.ContainsFunc(about, func(path string) bool { return x.What == path || strings.HasPrefix(x.What, path+".") }) {
				d.Detail += fmt.Sprintf(" Policy %q (%s) asks service %q (%s) for %s %s instead of %s (%s).",
					x.Policy, x.origin(), t.s.Name, place(t.c.home), x.What, x.To, was.value, was.place)
			}
		}
	}
}
