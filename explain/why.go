package explain

import (
	"fmt"
	"slices"
	"strings"

	"switchd/rollout"
	"switchd/status"
)

// lastDecisions is how many of a rollout's decisions are told; `switchd history`
// has them all.
const lastDecisions = 6

// why tells the last decisions, and what the last one with facts was made on.
func (t teller) why() (told, facts []string) {
	r := t.Record
	for _, e := range r.Timeline[max(0, len(r.Timeline)-lastDecisions):] {
		told = append(told, sentence(fmt.Sprintf("%s, in %s: %s", t.moment(e.At), e.Phase, e.What)))
	}
	for _, e := range slices.Backward(r.Timeline) {
		if len(e.Facts) > 0 {
			facts = e.Facts
			break
		}
	}
	for _, g := range r.Gates {
		if g.Outcome == rollout.GateWaits {
			continue
		}
		text := fmt.Sprintf("Gate %s (%s, at %s) %s", g.Name, g.Kind, g.Point, g.Outcome)
		if len(g.By) > 0 {
			text += " by " + strings.Join(g.By, " and ")
		}
		if waited := g.At.Sub(g.Since); !g.At.IsZero() && waited > 0 {
			text += " after " + status.Span(waited)
		}
		if g.Why != "" {
			text += ": " + g.Why
		}
		told = append(told, sentence(text))
	}
	return told, facts
}
