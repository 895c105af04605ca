package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"switchd/rollout"
	"switchd/spec"
)

// GateAhead is the outcome of a gate that the rollout has not come to.
const GateAhead rollout.GateOutcome = "ahead"

// Gate is one gate of a rollout, at one of the points at which it stands.
type Gate struct {
	rollout.GateState

	// Given are those who have approved so far, Need is how many have to, and
	// Refused are those who said no; of an approval that is ahead or waited for.
	Given   []string `json:"given,omitempty"`
	Need    int      `json:"need,omitempty"`
	Refused []string `json:"refused,omitempty"`
	// Now tells that the rollout is held by it.
	Now bool `json:"now,omitempty"`
}

// gatesOf are the gates that the rollout has come to, in that order, and then
// those that are ahead of it.
func gatesOf(s rollout.Situation) []Gate {
	r := s.Record
	approvals := make(map[string]spec.Approval)
	for _, g := range s.Spec.Gates() {
		if g.Approval != nil {
			approvals[g.Name] = *g.Approval
		}
	}
	complete := func(g Gate) Gate {
		if a, ok := approvals[g.Name]; ok && g.Kind == spec.GateApproval && (g.Now || g.Outcome == GateAhead) {
			tally := s.Tally(a, time.Now())
			g.Given, g.Need, g.Refused = tally.People(), tally.Need, tally.Refusers()
		}
		return g
	}
	var gates []Gate
	for _, state := range r.Gates {
		gates = append(gates, complete(Gate{GateState: state, Now: r.Waits(state)}))
	}
	if r.Phase.Ended() {
		return gates
	}
	for _, g := range s.Spec.Gates() {
		if slices.ContainsFunc(r.Gates, func(state rollout.GateState) bool { return state.Name == g.Name }) {
			continue
		}
		gates = append(gates, complete(Gate{GateState: rollout.GateState{
			Name: g.Name, Kind: g.Kind, Owner: g.Owner, Point: strings.Join(g.At, ", "), Outcome: GateAhead,
		}}))
	}
	return gates
}

// lastGates are the gates with what was last known of each.
func lastGates(gates []Gate) []Gate {
	var last []Gate
	for _, g := range gates {
		i := slices.IndexFunc(last, func(former Gate) bool { return former.Name == g.Name })
		if i >= 0 {
			last = slices.Delete(last, i, i+1)
		}
		last = append(last, g)
	}
	return last
}

// Line says in words what became of the gate. Times of day are in now's location.
func (g Gate) Line(now time.Time) string {
	text := g.Title() + " " + string(g.Outcome)
	if g.Point != g.Name {
		text += " at " + g.Point
	}
	if g.Need > 0 {
		text += fmt.Sprintf(": %d of %d", len(g.Given), g.Need)
		if len(g.Given) > 0 {
			text += " by " + strings.Join(g.Given, ", ")
		}
		if len(g.Refused) > 0 {
			text += "; refused by " + strings.Join(g.Refused, ", ")
		}
		return text + g.end(now)
	}
	if len(g.By) > 0 && g.Outcome != rollout.GateWaits && g.Kind != spec.GateApproval || g.Outcome == rollout.GateDenied {
		text += " by " + strings.Join(g.By, ", ")
	}
	if !g.At.IsZero() {
		text += fmt.Sprintf(" %s ago", Span(now.Sub(g.At)))
	}
	if g.Why != "" {
		text += ": " + g.Why
	}
	return text + g.end(now)
}

// end says what happens to a wait, and when.
func (g Gate) end(now time.Time) string {
	if !g.Now || g.Until.IsZero() {
		return ""
	}
	return fmt.Sprintf("; until %s (%s), then %s", Clock(g.Until, now), left(g.Until.Sub(now)), g.Then)
}

// look is how a gate is painted.
func (g Gate) look() style {
	switch {
	case g.Now, g.Outcome == rollout.GateBypassed:
		return notable
	case g.Outcome == rollout.GateDenied, g.Outcome == rollout.GateExpired, g.Outcome == rollout.GateFailed:
		return bad
	case g.Outcome == rollout.GatePassed:
		return good
	default:
		return plain
	}
}
