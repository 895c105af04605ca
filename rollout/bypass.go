package rollout

import (
	"cmp"
	"fmt"
	"slices"

	"switchd/gate"
	"switchd/spec"
)

// GoAround makes a person's wish to go on without gates the bypasses of the
// rollout under way, each to be written under that person's name. The quorum is
// no gate: nothing goes around it.
func GoAround(s Situation, bypasses ...Bypass) ([]Bypass, error) {
	if s.Record == nil || s.Record.Phase.Ended() {
		return nil, refuse(NothingToDo, "no rollout of %s is under way, there is no gate to bypass", s.Spec.Name)
	}
	known := s.gateNames()
	done := make([]Bypass, 0, len(bypasses))
	for _, b := range bypasses {
		if !slices.Contains(known, b.Gate) {
			return nil, refuse(UnknownGate, "%s has no gate %q that could be bypassed; its gates: %s", s.Spec.Name, b.Gate, list(known))
		}
		if !s.toCome(b.Gate) {
			return nil, refuse(NothingToDo, "%s %s is past its gate %s: it is in phase %s", s.Spec.Name, s.Record.Version, b.Gate, s.Record.Phase)
		}
		if slices.ContainsFunc(done, func(d Bypass) bool { return d.Gate == b.Gate }) {
			continue // named twice
		}
		b.Rollout, b.Why, b.By = s.Record.ID, clip(b.Why), clip(b.By)
		done = append(done, b)
	}
	return done, nil
}

// gateNames are all gates of the service that can be bypassed.
func (s Situation) gateNames() []string {
	names := GateNames(s.Spec)
	if s.Eligible != nil {
		names = append(names, s.Eligible.Upstream)
	}
	return names
}

// GateNames are the gates of a service of which people can say something.
func GateNames(s spec.Service) []string {
	var names []string
	if len(s.Smoke) > 0 {
		names = append(names, string(JobSmoke))
	}
	if s.Warmup != nil {
		names = append(names, string(JobWarmup))
	}
	if s.Analysis != nil {
		names = append(names, string(JobAnalysis))
	}
	for _, g := range s.Gates() {
		names = append(names, g.Name)
	}
	return names
}

// toCome tells whether a gate is ahead of the rollout, or it is at it.
func (s Situation) toCome(name string) bool {
	if until, own := map[string]Phase{string(JobSmoke): Smoke, string(JobWarmup): Warmup, string(JobAnalysis): Canary}[name]; own {
		return slices.Index(Phases(), s.phase()) <= slices.Index(Phases(), until)
	}
	gates := s.Spec.Gates()
	i := slices.IndexFunc(gates, func(g spec.Gate) bool { return g.Name == name })
	return i < 0 || s.ahead(gates[i])
}

// bypass is the one of a gate, if there is one. Of several, the first one
// counts.
func (p *plan) bypass(name string) (Bypass, bool) {
	var first Bypass
	found := false
	for _, b := range p.Bypasses {
		if b.Rollout == p.record.ID && b.Gate == name && (!found || b.At.Before(first.At)) {
			first, found = b, true
		}
	}
	return first, found
}

// goneAround tells whether a gate that is a job was bypassed, and takes that
// down once.
func (p *plan) goneAround(kind JobKind, label string, verdict gate.Verdict) bool {
	b, ok := p.bypass(string(kind))
	if !ok {
		return false
	}
	state := p.decided(string(kind), label, GateBypassed, cmp.Or(b.Why, noReason), person(b.Who, b.By))
	facts := []string{"without it: " + verdict.Outcome.String()}
	if verdict.Why != "" {
		facts[0] += ", " + verdict.Why
	}
	p.record.note(p.now, state.String(), append(append(facts, verdict.Evidence...), p.healthFacts()...)...)
	return true
}

// words are the bypass for the timeline.
func (b Bypass) words() string {
	return fmt.Sprintf("bypass of %s asked for by %s: %s", b.Gate, person(b.Who, b.By), b.Why)
}

// permits refuses a version that a policy forbids.
func (s Situation) permits(version string) error {
	if why := s.Spec.Forbids(version); why != "" {
		return refuse(Forbidden, "%s %s is forbidden: %s; promote another version, or have the policy changed", s.Spec.Name, version, why)
	}
	return nil
}
