package rollout

import (
	"fmt"
	"time"

	"switchd/pools"
	"switchd/spec"
)

// Reason says why an operation was refused; each has an exit status of its
// own in the CLI.
type Reason int

// The reasons of a refusal.
const (
	UnknownVersion Reason = iota + 1
	AlreadyLive
	Busy      // another rollout runs
	Unhealthy // the pool can't serve
	NothingToDo
	UnknownGate
	Forbidden   // a policy forbids the version
	NotApprover // the spec names others
	NotEligible // the environment before this one does not let it through
)

// Refusal is an operation that was asked for and not done. Nothing was
// changed.
type Refusal struct {
	Reason Reason
	Text   string
}

// Error is the sentence for the person who asked.
func (r *Refusal) Error() string { return r.Text }

func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{Reason: reason, Text: fmt.Sprintf(format, args...)}
}

// Promote begins a rollout of a version to the idle pool, which goes around the
// gates that are bypassed.
func Promote(s Situation, id, version, by string, now time.Time, bypasses ...Bypass) (*Change, error) {
	name := s.Spec.Name
	if r := s.Record; r != nil && !r.Phase.Ended() {
		hint := "wait for its end, or `switchd rollback " + name + "`"
		if r.Phase == Halted {
			hint = "`switchd resume " + name + "` or `switchd rollback " + name + "` first"
		}
		return nil, refuse(Busy, "%s %s is being rolled out to %s (phase %s, begun by %s); %s", name, r.Version, r.Pool, r.Phase, r.By, hint)
	}
	if err := s.permits(version); err != nil {
		return nil, err
	}
	proven, err := s.upstream(version, by, bypasses, now.UTC())
	if err != nil {
		return nil, err
	}
	if !s.Released {
		return nil, refuse(UnknownVersion, "%s has no release %s; `switchd publish %s %s PATH` makes one", name, version, name, version)
	}
	if s.Live != nil && s.Live.Version == version {
		return nil, refuse(AlreadyLive, "%s %s is live already, on %s", name, version, s.Live.Pool)
	}
	pool := spec.Blue
	var generation uint64
	if s.Live != nil {
		pool, generation = spec.Other(s.Live.Pool), s.Live.Generation
	}
	now = now.UTC()
	record := &Record{
		ID: id, Service: name, Version: version, Pool: pool, From: s.Live.Side(),
		By: by, At: now, Phase: Queued, Entered: now, Generation: generation,
	}
	if s.Record != nil {
		record.Index = s.Record.Index
	}
	p := plan{Situation: s, record: record, now: now}
	p.setDeadline(string(Queued))
	record.note(now, fmt.Sprintf("promoted by %s: %s to %s; live is %s", by, version, pool, s.Live.Side()))
	if proven != nil {
		record.Gates = append(record.Gates, *proven)
		record.note(now, proven.Name+": "+string(proven.Outcome), proven.Why)
	}
	s.Record = record
	bypasses, err = GoAround(s, bypasses...)
	if err != nil {
		return nil, err
	}
	for _, b := range bypasses {
		record.note(now, b.words())
	}
	return &Change{Record: record, Saw: s.Live.Read(), Bypasses: bypasses, What: "promote"}, nil
}

// Rollback leads users back, in one write: before the switch by ending the
// rollout and taking its weight away, afterwards by making the former pool
// live again, as long as that pool can serve.
func Rollback(s Situation, by, why string, now time.Time) (*Change, error) {
	name := s.Spec.Name
	if s.Live == nil {
		if s.Record == nil || s.Record.Phase.Ended() {
			return nil, refuse(NothingToDo, "nothing of %s is live, there is nothing to roll back", name)
		}
	}
	if why == "" {
		why = "rolled back by " + by
	}
	now = now.UTC()
	p := plan{Situation: s, now: now}
	if s.Record != nil {
		p.record = s.Record.clone()
	}
	running := p.record != nil && !p.record.Phase.Ended()
	if running && (s.Live == nil || s.Live.Pool != p.record.Pool) {
		// Users were never moved, so ending the rollout is all there is to
		// do. The live record is written nevertheless: a new generation
		// fences off whatever still acts on the old one.
		var live *pools.Live
		if s.Live != nil {
			live = s.Live.Next(by, now)
			live.Rollout, live.RolledBack, live.Why = p.record.ID, true, why
			p.record.Generation = live.Generation
		}
		p.end(RolledBack, why)
		p.record.note(now, why, p.healthFacts()...)
		return &Change{Record: p.record, Live: live, Saw: s.Live.Read(), What: "roll back"}, nil
	}
	back := s.Live.Previous
	if running && back.Pool == "" {
		// A first release that could not be proved: users can't be led
		// elsewhere, but the rollout must not stand in the way of the next.
		p.end(Failed, fmt.Sprintf("%s; there is no former release, %s stays live", why, s.Live.Side()))
		p.record.note(now, p.record.Outcome, p.healthFacts()...)
		return p.commit("end the rollout").Change, nil
	}
	if r := s.Record; r != nil && !running && r.Pool == back.Pool {
		return nil, refuse(NothingToDo, "the rollout of %s to %s, which %s, has taken the former release's place; %s stays live",
			r.Version, r.Pool, r.Phase.past(), s.Live.Side())
	}
	if back.Pool == "" {
		return nil, refuse(NothingToDo, "%s has no former release to roll back to; %s is live", name, s.Live.Side())
	}
	serves := func(now map[string]pools.Pool) error {
		if err := s.canServe(now, back); err != nil {
			return refuse(Unhealthy, "not rolled back: %v; %s stays live", err, s.Live.Side())
		}
		return nil
	}
	if err := serves(s.Pools); err != nil {
		return nil, err
	}
	live := s.Live.Next(by, now)
	live.Pool, live.Version, live.Previous = back.Pool, back.Version, pools.Side{}
	live.RolledBack, live.Why, live.Rollout = true, why, s.Live.Rollout
	change := &Change{Live: live, Saw: s.Live.Read(), Ready: serves, What: "roll back to " + back.String()}
	if running {
		p.record.Generation = live.Generation
		p.end(RolledBack, why)
		p.record.note(now, why, p.healthFacts()...)
		change.Record = p.record
	}
	return change, nil
}

// StopRollout halts a rollout until it is resumed. Users go back to the live
// pool in the same write.
func StopRollout(s Situation, by, why string, now time.Time) (*Change, error) {
	if s.Record == nil || s.Record.Phase.Ended() {
		return nil, refuse(NothingToDo, "no rollout of %s is under way, there is nothing to halt", s.Spec.Name)
	}
	if s.Record.Phase == Halted {
		return nil, refuse(NothingToDo, "the rollout of %s %s is halted already, by %s: %s", s.Spec.Name, s.Record.Version, s.Record.Halt.By, s.Record.Halt.Why)
	}
	if why == "" {
		why = "asked to"
	}
	p := plan{Situation: s, record: s.Record.clone(), now: now.UTC()}
	return p.stop(by, why).Change, nil
}

// Resume goes on where a rollout was halted, with a new deadline. A canary
// begins its step again.
func Resume(s Situation, by string, now time.Time) (*Change, error) {
	if s.Record == nil || s.Record.Phase != Halted {
		return nil, refuse(NothingToDo, "no rollout of %s is halted, there is nothing to resume", s.Spec.Name)
	}
	p := plan{Situation: s, record: s.Record.clone(), now: now.UTC()}
	halt := p.record.Halt
	want := p.record.From
	if !p.record.SwitchedAt.IsZero() {
		want = p.record.Target()
	}
	if s.Live.Side() != want {
		return nil, refuse(Unhealthy, "not resumed: %s is live, and the rollout of %s was made for %s; `switchd rollback %s` ends it",
			s.Live.Side(), p.record.Version, want, s.Spec.Name)
	}
	p.record.Halt, p.record.StepAt = nil, time.Time{}
	p.record.Phase, p.record.Entered, p.record.Wait = halt.Phase, p.now, nil
	p.setDeadline(string(halt.Phase))
	p.record.note(p.now, "resumed by "+by)
	return p.commit("resume").Change, nil
}
