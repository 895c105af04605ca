package status

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"

	"switchd/rollout"
	"switchd/spec"
)

// Of is the status of one service in a situation.
func Of(s rollout.Situation) Service {
	service := Service{Name: s.Spec.Name, Owner: s.Spec.Owner, Pools: make(map[string]Pool), Eligible: s.Eligible}
	if l := s.Live; l != nil {
		service.Live = &Live{
			Pool: l.Pool, Version: l.Version, Weights: l.Weights, Generation: l.Generation,
			Since: l.At, By: l.By, Why: l.Why, RolledBack: l.RolledBack, Previous: l.Previous,
		}
	}
	for _, colour := range colours() {
		service.Pools[colour] = poolOf(s, colour)
	}
	if s.Record != nil {
		service.Rollout = rolloutOf(s)
	}
	return service
}

// colours are both pools' names in the order in which they are shown.
func colours() []string { return []string{spec.Blue, spec.Green} }

func poolOf(s rollout.Situation, colour string) Pool {
	pool := s.Pools[colour]
	p := Pool{
		Live: s.Live != nil && s.Live.Pool == colour, Share: s.Live.Share(colour),
		Quorum: s.Quorum(colour), Passing: pool.Passing(""), Nodes: []Node{},
	}
	switch {
	case s.Record.RollsOn(colour):
		p.Wanted = s.Record.Version
	case p.Live:
		p.Wanted = s.Live.Version
	default:
		p.Wanted = conform(s, colour)
	}
	for _, in := range pool {
		n := Node{
			Node: in.Node, Address: net.JoinHostPort(in.Address, strconv.Itoa(in.Port)),
			Version: in.Version, Passing: in.Passing, Why: in.Why,
		}
		if p.Wanted != "" && in.Version != p.Wanted {
			n.Stale, n.Reason = true, fmt.Sprintf("runs %s, is to run %s", cmp.Or(in.Version, "an unknown version"), p.Wanted)
		}
		p.Nodes = append(p.Nodes, n)
	}
	for _, m := range s.Members[colour] {
		if _, registered := pool.On(m.Node); registered {
			continue
		}
		why := "nothing is registered"
		if !m.Alive {
			why = "away: Consul does not hold the node for alive"
		}
		p.Nodes = append(p.Nodes, Node{Node: m.Node, Why: why})
	}
	slices.SortFunc(p.Nodes, func(a, b Node) int { return cmp.Compare(a.Node, b.Node) })
	if s.Record.Stages(colour) {
		for i := range p.Nodes {
			p.Nodes[i].Agent = doing(s.Reports[p.Nodes[i].Node], s.Record)
		}
	}
	return p
}

// conform is what the nodes of a pool at rest turn to: what most of them run,
// if that can be told without more; "" otherwise.
func conform(s rollout.Situation, colour string) string {
	order := rollout.OrderOf(s.Record, s.Live)
	if order.Keep.Pool == colour {
		return order.Keep.Version
	}
	if order.Rollout != "" {
		return ""
	}
	if popular := s.Pools[colour].Popular(order.Avoid); len(popular) == 1 {
		return popular[0]
	}
	return ""
}

// doing says in words what an agent reports of a rollout.
func doing(report rollout.Report, r *rollout.Record) string {
	if report.Rollout != r.ID || report.State == rollout.Running {
		return ""
	}
	text := string(report.State) + " " + r.Version
	if report.State == rollout.Waiting {
		text = "waiting to run " + r.Version
	}
	switch {
	case report.Why != "":
		text += ": " + report.Why
	case report.Progress != nil:
		text += ": " + report.Progress.String()
	case report.State == rollout.Staged && r.RollsOn(report.Pool):
		text += ", waits for its turn"
	}
	return text
}

func rolloutOf(s rollout.Situation) *Rollout {
	r := s.Record
	out := &Rollout{
		ID: r.ID, Version: r.Version, Pool: r.Pool, From: r.From, By: r.By, Begun: r.At,
		Phase: r.Phase, Entered: r.Entered, Reached: reached(r), Deadline: r.Deadline, Then: r.Then,
		Gates: gatesOf(s), Halt: r.Halt, Outcome: r.Outcome, LeftOut: r.LeftOut, SwitchedAt: r.SwitchedAt, ProvedAt: r.ProvedAt,
	}
	if set := s.Live.Share(r.Pool); set > 0 && r.SwitchedAt.IsZero() && r.Observed != nil {
		out.Share = &Share{Set: set, Measured: r.Observed.Percent, At: r.Observed.At}
	}
	switch {
	case r.Phase == rollout.Halted && r.Halt != nil:
		out.Wait = &Wait{For: fmt.Sprintf("for `switchd resume %s` or `switchd rollback %s`", r.Service, r.Service), Since: r.Halt.At}
	case r.Wait != nil:
		out.Wait = &Wait{For: r.Wait.For, Since: r.Wait.Since, Until: r.Wait.Until, Then: r.Wait.Then}
	}
	if out.Wait != nil {
		out.Wait.Reason = r.WaitReason()
	}
	if r.Phase == rollout.Baking {
		out.BakeUntil = r.Entered.Add(s.Spec.Bake.Std())
	}
	return out
}

// reached is the last phase of the rollout's way that its timeline shows.
func reached(r *rollout.Record) rollout.Phase {
	if onTheWay(r.Phase) {
		return r.Phase
	}
	if r.Phase == rollout.Halted && r.Halt != nil {
		return r.Halt.Phase
	}
	for _, e := range slices.Backward(r.Timeline) {
		if onTheWay(e.Phase) {
			return e.Phase
		}
	}
	return rollout.Queued
}

func onTheWay(p rollout.Phase) bool { return slices.Contains(rollout.Phases(), p) }

// Majority is the version that most of the pool's nodes run, empty if none is
// registered, and the number of nodes that run another one.
func (p Pool) Majority() (version string, others int) {
	versions := make(map[string]int)
	registered := 0
	for _, n := range p.Nodes {
		if n.Version != "" {
			versions[n.Version]++
			registered++
		}
	}
	for v, n := range versions {
		if n > versions[version] || n == versions[version] && v > version {
			version = v
		}
	}
	return version, registered - versions[version]
}
