package spec

import "slices"

// The points of a rollout at which gates may stand. A rollout goes on when all
// gates of the point pass at the same moment.
const (
	PointRoll     = "roll"     // before nodes are replaced, in the idle pool and, after the bake, in the other one
	PointWeight   = "weight"   // before each step of the weights
	PointSwitch   = "switch"   // before the switch
	PointSwitched = "switched" // after the switch was proved, before the old pool drains
)

// Points are the points of a rollout, in their order.
func Points() []string { return []string{PointRoll, PointWeight, PointSwitch, PointSwitched} }

// The kinds of gates that a spec declares. Smoke tests, warm-up and analysis are
// gates too, which have phases of their own.
const (
	GateApproval = "approval"
	GateWait     = "wait"
	GateWindow   = "window"
	GateSilence  = "silence"
)

// Gate is one gate of any kind: exactly one of the pointers is set.
type Gate struct {
	Hold

	Name     string
	Kind     string
	Approval *Approval
	Wait     *WaitFor
	Window   *Window
	Silence  *Silence
}

// GatesAt are the service's gates at a point: windows first, as they tell when
// it goes on, then what is waited for, silences, and approvals last; each kind by
// name. The switch is the last step of the weights, so what stands before each of
// these stands before it too.
func (s *Service) GatesAt(point string) []Gate {
	return slices.DeleteFunc(s.Gates(), func(g Gate) bool {
		return !slices.Contains(g.At, point) && (point != PointSwitch || !slices.Contains(g.At, PointWeight))
	})
}

// Gates are all gates that the service declares, in the order of GatesAt.
func (s *Service) Gates() []Gate {
	var gates []Gate
	for i := range s.Windows {
		w := &s.Windows[i]
		gates = append(gates, Gate{Hold: w.Hold, Name: w.Name, Kind: GateWindow, Window: w})
	}
	for i := range s.Waits {
		w := &s.Waits[i]
		gates = append(gates, Gate{Hold: w.Hold, Name: w.Name, Kind: GateWait, Wait: w})
	}
	for i := range s.Silences {
		q := &s.Silences[i]
		gates = append(gates, Gate{Hold: q.Hold, Name: q.Name, Kind: GateSilence, Silence: q})
	}
	for i := range s.Approvals {
		a := s.Approvals[i].complete(s.Deadlines["approval"])
		gates = append(gates, Gate{Hold: a.Hold, Name: a.Name, Kind: GateApproval, Approval: &a})
	}
	return gates
}

// gateBlocks are those of all kinds.
func gateBlocks(approvals *[]Approval, waits *[]WaitFor, windows *[]Window, silences *[]Silence) []nested {
	return []nested{
		listed(GateApproval, labelRule(), approvals, defaultApproval, func(v Approval) string { return v.Name }),
		listed(GateWait, labelRule(), waits, defaultWait, func(v WaitFor) string { return v.Name }),
		listed(GateWindow, labelRule(), windows, defaultWindow, func(v Window) string { return v.Name }),
		listed(GateSilence, labelRule(), silences, defaultSilence, func(v Silence) string { return v.Name }),
	}
}

// String is what the gate asks for, for people, such as "2 approvers" or
// "key migrations/web is done".
func (g Gate) String() string {
	switch {
	case g.Approval != nil:
		return g.Approval.String()
	case g.Wait != nil:
		return g.Wait.String()
	case g.Window != nil:
		return g.Window.String()
	case g.Silence != nil:
		return g.Silence.String()
	}
	return g.Name
}

// builtIn are the names of what is no gate of the spec, but is named where gates
// are: who goes around one of the first three names it like any other, and
// nobody goes around the quorum.
func builtIn() []string { return []string{"smoke", "warmup", "analysis", "quorum"} }

// MaxGates bounds the gates of one service, as the rollout's record has room for the
// words of so many.
const MaxGates = 30

// validateGates looks at what gates can't have beside each other.
func (s *Service) validateGates(at scope) {
	taken := make(map[string]string) // name → path
	for _, g := range s.Gates() {
		path := join(g.Kind, g.Name)
		switch other, twice := taken[g.Name]; {
		case slices.Contains(builtIn(), g.Name):
			at.wrong(path, "Name of a gate taken", "The name %q stands for what every rollout has: %s. Give the %s another name.", g.Name, quoted(builtIn()), g.Kind)
		case twice:
			at.wrong(path, "Name of a gate taken", "Service %q has a gate %q already: the %s at %s. People approve and bypass gates by name, so each needs its own. Rename one of the two.",
				s.Name, g.Name, other, place(at.where(join(other, g.Name))))
		default:
			taken[g.Name] = g.Kind
		}
		if a := g.Approval; a != nil && len(a.Approvers) > 0 && a.MinApprovers > len(a.Approvers) {
			at.wrong(path, "Too few approvers", "The approval %q asks for %d different people (%s), and only %d may approve: it could never be given. Name more of them in approvers, or lower min_approvers.",
				g.Name, a.MinApprovers, at.said(path+".min_approvers"), len(a.Approvers))
		}
	}
}

// validatePoints looks whether the rollout comes to where the service's own gates
// stand. One of a policy, which knows nothing of weights, stands before the
// switch.
func (s *Service) validatePoints(at scope) {
	for _, g := range s.Gates() {
		if len(s.Weights) == 0 && slices.Contains(g.At, PointWeight) {
			at.wrong(join(g.Kind, g.Name)+".at", "No weights to stand before", "The %s %q stands before each step of the weights, and service %q has none. Add weights, such as: weights = [5, 25, 100], or let it stand at %q.",
				g.Kind, g.Name, s.Name, PointSwitch)
		}
	}
}

// settleGates holds those that look at alerts to somebody who can tell that none
// fires, for nothing heard is no silence, and leaves the name of the environment
// before this one to the gate that this is.
func (s *Service) settleGates(e Environment, at scope) {
	if n := len(s.Gates()); n > MaxGates {
		at.wrong("", "Too many gates", "Service %q has %d gates, with those of policies, and at most %d are possible. Let one gate do the work of several.", s.Name, n, MaxGates)
	}
	for _, g := range s.Gates() {
		path := join(g.Kind, g.Name)
		if g.Kind == GateSilence && e.Alerts == nil {
			at.wrong(path, "Nobody to ask for alerts",
				"Service %q may go on only while no alert fires (silence %q), and environment %q has no alerts block that says whom to ask. Add one, such as: alerts { alertmanager = [\"http://127.0.0.1:9093\"] }", s.Name, g.Name, e.Name)
		}
		if e.After != nil && g.Name == e.After.Environment {
			at.wrong(path, "Name of a gate taken", "The name %q stands for the environment that comes before %q. Give the %s another name.", g.Name, e.Name, g.Kind)
		}
	}
}
