// Package upstream says which releases the environment before this one has
// proven, and which of them this one takes next. The decisions are pure
// functions of what both environments hold; Source reads the other one, and
// Taker has its releases here.
package upstream

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"switchd/pools"
	"switchd/rollout"
)

// Side is what an environment holds of one service.
type Side struct {
	Live   *pools.Live       // nil: nothing is live
	Record *rollout.Record   // the rollout under way or the last one; nil: none
	Past   []*rollout.Record // ended ones, as far as they are known
}

// Standing is how far the live version of the environment before this one has
// come there. Its times are those of that environment's clock.
type Standing struct {
	Version string // what is live; empty: nothing
	Rollout string // what has made it live
	// Begun is when that rollout began, Done since when it is done and the version
	// live without a break; zero: it isn't, for what Missing says.
	Begun, Done time.Time
	Missing     string
}

// Stand judges what the environment before this one holds.
//
// The rollout that counts is the last one that led users to the live version: an
// earlier one that ended well proves nothing when a later one did not. Where
// users were on another version meanwhile, the time counts from when they came
// back. When that was, only the live record tells, which each later rollout
// touches: then it counts from there, which is later and never earlier.
func Stand(there Side) Standing {
	if there.Live == nil {
		return Standing{}
	}
	s := Standing{Version: there.Live.Version}
	switched := there.switched()
	at := last(switched, s.Version)
	if at < 0 {
		s.Missing = "its history has no rollout that made it live"
		return s
	}
	made := switched[at]
	s.Rollout, s.Begun = made.ID, made.At
	if made.Phase != rollout.Done {
		s.Missing = "its rollout there " + words(made)
		return s
	}
	s.Done = made.Entered
	if at < len(switched)-1 && there.Live.At.After(s.Done) {
		s.Done = there.Live.At
	}
	return s
}

// NeedsPast tells whether Stand needs the ended rollouts too: whether the last
// one is another than the one that led users to the live version.
func (s Side) NeedsPast() bool {
	return s.Live != nil && (s.Record == nil || s.Record.Version != s.Live.Version || s.Record.SwitchedAt.IsZero())
}

// switched are the rollouts that led users to their version, the first one
// first.
func (s Side) switched() []*rollout.Record {
	return slices.DeleteFunc(s.all(), func(r *rollout.Record) bool { return r.SwitchedAt.IsZero() })
}

// all are all rollouts that are known, the first one first.
func (s Side) all() []*rollout.Record {
	all := slices.Clone(s.Past)
	if s.Record != nil {
		all = slices.DeleteFunc(all, func(r *rollout.Record) bool { return r.ID == s.Record.ID })
		all = append(all, s.Record)
	}
	slices.SortStableFunc(all, func(a, b *rollout.Record) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return all
}

// last is the place of a version's last rollout, -1 if there is none.
func last(records []*rollout.Record, version string) int {
	for i, r := range slices.Backward(records) {
		if r.Version == version {
			return i
		}
	}
	return -1
}

// words are what became of a rollout, as the end of a sentence.
func words(r *rollout.Record) string {
	switch r.Phase {
	case rollout.Done:
		return "was done"
	case rollout.Failed:
		return "failed: " + r.Outcome
	case rollout.RolledBack:
		return "was rolled back: " + r.Outcome
	case rollout.Halted:
		return "is halted: " + r.Halt.Why
	default:
		return "is under way (" + string(r.Phase) + ")"
	}
}

// Older says why the version that there is isn't a newer one than what is live
// here; "" if it is. It is if its rollout there came after that of the version
// here. A version that was never there, such as a hotfix, was chosen here by
// somebody who knew what was there: only what was done there since is newer.
//
// done is the standing's time by this environment's clock.
func Older(there Side, s Standing, here Side, done time.Time) string {
	if here.Live == nil || here.Live.Version == s.Version {
		return ""
	}
	switched := there.switched()
	if i := last(switched, here.Live.Version); i >= 0 {
		if s.Begun.After(switched[i].At) {
			return ""
		}
		return fmt.Sprintf("%s, which is live here, came after it there", here.Live.Version)
	}
	chosen := here.Live.At
	all := here.all()
	if i := last(all, here.Live.Version); i >= 0 {
		chosen = all[i].At
	}
	if done.After(chosen) {
		return ""
	}
	return fmt.Sprintf("%s was chosen here after it was done there", here.Live.Version)
}
