package explain

import (
	"fmt"

	"switchd/rollout"
	"switchd/spec"
)

// can is what people can do now.
func (t teller) can() []Way {
	r, name := t.Record, t.Spec.Name
	var ways []Way
	if !r.Phase.Ended() {
		for _, g := range r.Waiting() {
			if g.Kind == spec.GateApproval {
				ways = append(ways,
					Way{"approve", fmt.Sprintf("switchd approve %s --gate %s", name, g.Name)},
					Way{"deny, which ends the rollout", fmt.Sprintf("switchd approve %s --gate %s --deny --why TEXT", name, g.Name)})
			}
			ways = append(ways, Way{"go around the gate, with a right of its own; it stays in the history",
				fmt.Sprintf("switchd promote %s %s --bypass %s --why TEXT", name, r.Version, g.Name)})
		}
		if r.Phase == rollout.Halted {
			ways = append(ways, Way{"go on", "switchd resume " + name})
		} else {
			ways = append(ways, Way{"stop it until it is resumed", "switchd halt " + name})
		}
	}
	if where := t.back(); where != "" {
		ways = append(ways, Way{where, "switchd rollback " + name})
	}
	return append(ways, Way{"see every decision and its facts", fmt.Sprintf("switchd history %s 1 -v", name)})
}

// back says what a rollback would do, "" if there is nothing to roll back.
func (t teller) back() string {
	r, l := t.Record, t.Live
	switch {
	case !r.Phase.Ended() && (l == nil || l.Pool != r.Pool):
		if l == nil {
			return "end the rollout"
		}
		return fmt.Sprintf("end the rollout; users stay on %s", l.Side())
	case l != nil && l.Previous.Pool != "":
		if !r.Phase.Ended() || r.Pool != l.Previous.Pool {
			return fmt.Sprintf("lead users back to %s, in one write", l.Previous)
		}
	}
	return ""
}
