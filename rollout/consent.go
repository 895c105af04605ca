package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/spec"
)

// Approve makes what a person says of an approval the consent that is to be
// written under their name: it adds the rollout, and the gate if it is the only
// one that is open. It may be said before the rollout comes to the gate. What
// the person said before is taken back by it.
func Approve(s Situation, c Consent, now time.Time) (Consent, spec.Approval, error) {
	var none spec.Approval
	name, r := s.Spec.Name, s.Record
	if r == nil || r.Phase.Ended() {
		return c, none, refuse(NothingToDo, "no rollout of %s is under way, there is nothing to approve", name)
	}
	var declared, open, others []string // open: those that wait for this person
	approvals := make(map[string]spec.Gate)
	for _, g := range s.Spec.Gates() {
		if g.Kind != spec.GateApproval {
			continue
		}
		declared = append(declared, g.Name)
		approvals[g.Name] = g
		switch {
		case !s.ahead(g) || s.Tally(*g.Approval, now).Passes():
		case mayApprove(*g.Approval, c.Who):
			open = append(open, g.Name)
		default:
			others = append(others, g.Name)
		}
	}
	if c.Gate == "" {
		switch {
		case len(declared) == 0:
			return c, none, refuse(NothingToDo, "%s asks for no approval", name)
		case len(open) == 1:
			c.Gate = open[0]
		case len(declared) == 1:
			c.Gate = declared[0]
		case len(open) == 0 && len(others) > 0:
			return c, none, refuse(NotApprover, "%s %s waits for no approval of yours: others have to give %s", name, r.Version, strings.Join(others, ", "))
		case len(open) == 0:
			return c, none, refuse(NothingToDo, "%s %s has all its approvals", name, r.Version)
		default:
			return c, none, refuse(UnknownGate, "%s waits for several approvals (%s); name one with --gate", name, strings.Join(open, ", "))
		}
	}
	g, found := approvals[c.Gate]
	if !found {
		return c, none, refuse(UnknownGate, "%s asks for no approval %q; its approvals: %s", name, c.Gate, cmp.Or(strings.Join(declared, ", "), "none"))
	}
	a := *g.Approval
	if !mayApprove(a, c.Who) {
		return c, a, refuse(NotApprover, "%s is not among the approvers of %s, who are %s; one of them has to, or the spec has to name you", person(c.Who, c.By), a.Name, strings.Join(a.Approvers, ", "))
	}
	if !s.ahead(g) {
		return c, a, refuse(NothingToDo, "%s %s is past its approval %s: it is in phase %s", name, r.Version, a.Name, r.Phase)
	}
	tally := s.Tally(a, now)
	same := func(said Consent) bool { return said.Who == c.Who }
	switch {
	case c.Deny && slices.ContainsFunc(tally.Denied, same), !c.Deny && a.Expires == 0 && slices.ContainsFunc(tally.Given, same):
		return c, a, refuse(NothingToDo, "you have said so already: %s %s has %s of approval %s", name, r.Version, tally, a.Name)
	case !c.Deny && tally.Passes() && !slices.ContainsFunc(tally.Given, same):
		return c, a, refuse(NothingToDo, "%s %s has its approval %s, by %s", name, r.Version, a.Name, list(tally.People()))
	}
	c.Rollout, c.Why, c.By, c.At = r.ID, clip(c.Why), clip(c.By), now.UTC()
	return c, a, nil
}

// String is the tally for people, such as "1 of 2 consents".
func (t Tally) String() string {
	text := fmt.Sprintf("%d of %d consents", len(t.Given), t.Need)
	if len(t.Denied) > 0 {
		text += fmt.Sprintf(" and a refusal by %s", person(t.Denied[0].Who, t.Denied[0].By))
	}
	return text
}

// Late tells that a no came when the rollout had already gone on: the change behind
// the gate was on its way when it was said.
func (s Situation) Late(c Consent) bool {
	r := s.Record
	if !c.Deny || r == nil || r.ID != c.Rollout || r.Phase == Failed || r.Phase == RolledBack {
		return false
	}
	return r.Phase == Done || !s.toCome(c.Gate)
}

// phase is the rollout's phase, or the one in which it is halted.
func (s Situation) phase() Phase {
	if r := s.Record; r.Phase == Halted && r.Halt != nil {
		return r.Halt.Phase
	}
	return s.Record.Phase
}

// ahead tells whether the rollout will still come to a gate, or is at it.
func (s Situation) ahead(g spec.Gate) bool {
	r := s.Record
	at := slices.Index(Phases(), s.phase())
	before := func(p Phase) bool { return at < slices.Index(Phases(), p) }
	for _, point := range g.At {
		switch point {
		case spec.PointRoll:
			if before(Rolling) || before(Converging) && s.Spec.AfterBake == spec.AfterBakeUpgrade {
				return true
			}
		case spec.PointWeight, spec.PointSwitch:
			if r.SwitchedAt.IsZero() {
				return true
			}
		case spec.PointSwitched:
			if before(Draining) {
				return true
			}
		}
	}
	return false
}
