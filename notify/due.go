package notify

import (
	"slices"
	"time"

	"switchd/spec"
)

const (
	// Grace is how long a rollout waits before that is told: most waits are over
	// sooner.
	Grace = 10 * time.Second
	// stale is how old what only was may be to be told yet. A replica that has
	// just been told whom to notify doesn't tell the past.
	stale = time.Hour
)

// Due are the notices to be delivered now, by what was told so far, and when there
// will be others although nothing changes; the zero time: never.
func Due(f Facts, told Memory, now time.Time) (due []Notice, wake time.Time) {
	for _, e := range Events(f) {
		if !slices.Contains(f.Spec.Notify.Events, e.Name) {
			continue
		}
		for _, to := range recipients(f.Spec, e) {
			k := Key{Rollout: f.Record.ID, Event: e.Name, About: e.About, Since: e.Since, To: to}
			at, again := dueAt(f.Spec, e, k, told)
			switch {
			case at.IsZero(), !e.Standing && now.Sub(e.Since) > stale:
			case at.After(now):
				if wake.IsZero() || at.Before(wake) {
					wake = at
				}
			default:
				due = append(due, f.notice(e, k, again, now))
			}
		}
	}
	return due, wake
}

// dueAt is when a notice is to be told, or told again; the zero time: no more.
func dueAt(s spec.Service, e Event, k Key, told Memory) (at time.Time, again bool) {
	last, was := told.Of(k)
	switch remind := reminds(s, e); {
	case was && (!e.Standing || remind <= 0):
		return time.Time{}, false
	case was:
		return last.At.Add(remind), true
	case e.Name == spec.EventWaiting:
		return e.Since.Add(Grace), false
	default:
		return e.Since, false
	}
}

// reminds is how often what still is so is told again, 0 for never.
func reminds(s spec.Service, e Event) time.Duration {
	if e.Gate != nil && e.Gate.Kind == spec.GateWait {
		for _, w := range s.Waits {
			if w.Name == e.Gate.Name && w.Remind > 0 {
				return w.Remind.Std()
			}
		}
	}
	return s.Notify.Remind.Std()
}

// recipients are the names of those who are told: who the spec names, or else
// whose service it is and who has asked for the gate.
func recipients(s spec.Service, e Event) []string {
	if len(s.Notify.To) > 0 {
		return s.Notify.To
	}
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(s.Owner)
	if e.Gate != nil {
		add(e.Gate.Owner)
	}
	return names
}
