// Package rollout is the engine: a pure planner over a persisted phase record,
// and the loop that observes, plans and applies. It decides what is to happen
// and never how it is done.
package rollout

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"switchd/pools"
)

// Phase is where a rollout is.
type Phase string

// The phases of a rollout, in their order, and the ways in which it can end or
// stand still.
const (
	Queued     Phase = "queued"
	Staging    Phase = "staging"
	Rolling    Phase = "rolling"
	Smoke      Phase = "smoke"
	Warmup     Phase = "warmup"
	Canary     Phase = "canary"
	Switching  Phase = "switching"
	Draining   Phase = "draining"
	Baking     Phase = "baking"
	Converging Phase = "converging"
	Done       Phase = "done"

	Halted     Phase = "halted"
	Failed     Phase = "failed"
	RolledBack Phase = "rolledback"
)

// Phases are the phases that a rollout which goes well runs through.
func Phases() []Phase {
	return []Phase{Queued, Staging, Rolling, Smoke, Warmup, Canary, Switching, Draining, Baking, Converging, Done}
}

// Ended tells whether nothing more will happen.
func (p Phase) Ended() bool { return p == Done || p == Failed || p == RolledBack }

// past is the phase as the end of a sentence.
func (p Phase) past() string {
	if p == RolledBack {
		return "was rolled back"
	}
	return "has " + map[Phase]string{Done: "ended", Failed: "failed"}[p]
}

// Known tells whether p is one of the phases.
func (p Phase) Known() bool {
	return slices.Contains(Phases(), p) || p == Halted || p == Failed || p == RolledBack
}

// Record is the rollout's persisted state: only what reality can't show. All
// times are absolute, so that any replica can go on with it.
type Record struct {
	ID      string     `json:"id"`
	Service string     `json:"service"`
	Version string     `json:"version"`
	Pool    string     `json:"pool"`          // where the version goes
	From    pools.Side `json:"from,omitzero"` // what was live; empty for a service's first release
	By      string     `json:"by"`
	At      time.Time  `json:"at"`

	Phase   Phase     `json:"phase"`
	Entered time.Time `json:"entered"`
	// Deadline is when Then happens if the phase has not ended; zero in a
	// phase that ends by itself or has ended.
	Deadline time.Time `json:"deadline,omitzero"`
	Then     string    `json:"then,omitempty"`
	Wait     *Wait     `json:"wait,omitempty"`

	// Members are the nodes that staged the version and are to run it.
	Members []string `json:"members,omitempty"`
	// LeftOut are nodes of the pool that were away, with the reason.
	LeftOut []string `json:"left_out,omitempty"`
	// Step is the canary's place in the spec's weights; StepAt is when its
	// weight was set.
	Step   int       `json:"step,omitempty"`
	StepAt time.Time `json:"step_at,omitzero"`
	// Generation is the live record's as this rollout last saw or wrote it.
	// Another one means that somebody else changed it.
	Generation uint64 `json:"generation"`
	// Settled is from when on no cache holds what it was told before the
	// service's name was armed; zero until all that answer for the name were
	// seen to give it the short TTL.
	Settled time.Time `json:"settled,omitzero"`
	// Below is since when the pool that users are on is below its quorum.
	Below      time.Time `json:"below,omitzero"`
	SwitchedAt time.Time `json:"switched_at,omitzero"`
	ProvedAt   time.Time `json:"proved_at,omitzero"`
	Halt       *Halt     `json:"halt,omitempty"`
	// Approvals are what former versions of switchd have written where there are
	// consents now. They count.
	Approvals []Approval `json:"approvals,omitempty"`
	// Gates are those that the rollout has come to, the newest of them, in that
	// order.
	Gates []GateState `json:"gates,omitempty"`
	// Held tells that the rollout stands at a point whose gates don't all pass.
	// Deadline and Then are those of the gate that runs out first, then; both are
	// zero while nothing but windows is waited for.
	Held *Held `json:"held,omitempty"`
	// Train is the train that has begun the rollout, if one has.
	Train string `json:"train,omitempty"`
	// Observed is what share of the users the new pool was measured to have.
	Observed *Observed `json:"observed,omitempty"`
	// Evidence is what the analysis has found so far, so that another process
	// goes on with it; see gate.Verdict.State. When the rollout has ended, only its
	// history has it.
	Evidence json.RawMessage `json:"evidence,omitempty"`
	// Outcome is one sentence on why the rollout ended as it did.
	Outcome  string  `json:"outcome,omitempty"`
	Timeline []Event `json:"timeline"`

	// Index is the record's ModifyIndex in Consul, for CAS.
	Index uint64 `json:"-"`
}

// Wait is what a rollout waits for: nothing waits in silence.
type Wait struct {
	For   string    `json:"for"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Then  string    `json:"then"`
}

// Held says at which point a rollout is held.
type Held struct {
	Point string    `json:"point"` // as GateState has it
	Since time.Time `json:"since"`
	// Left is what was left of the phase's own time, which runs on when the
	// gates pass; 0: the phase has no deadline.
	Left time.Duration `json:"left,omitempty"`
}

// Halt says who stopped a rollout, where and why.
type Halt struct {
	Phase Phase     `json:"phase"` // to be resumed
	By    string    `json:"by"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
}

// Observed is a measured share, and when it was measured.
type Observed struct {
	Percent float64   `json:"percent"`
	At      time.Time `json:"at"`
}

// Approval is one consent that was given.
type Approval struct {
	Name string    `json:"name"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
}

// Event is one entry of the timeline.
type Event struct {
	At    time.Time `json:"at"`
	Phase Phase     `json:"phase"`
	What  string    `json:"what"`
	// Facts is a bounded snapshot of what the decision was made on.
	Facts []string `json:"facts,omitempty"`
}

// Bounds of what a record keeps. Consul takes 512 KiB a transaction, in which
// the record of an ended rollout stands twice, in base64, its evidence once.
const (
	maxTimeline = 104 << 10 // bytes
	maxEvidence = 96 << 10  // bytes
	maxGates    = 24 << 10  // bytes
	maxStates   = 100       // of gates
	maxFacts    = 20
	maxText     = 500 // bytes
)

// note appends to the timeline. When that is full, the oldest facts go first,
// and then the oldest events after the first one: how a rollout began is worth
// more than its middle.
func (r *Record) note(now time.Time, what string, facts ...string) {
	facts = slices.Clone(facts[:min(len(facts), maxFacts)])
	for i := range facts {
		facts[i] = clip(facts[i])
	}
	r.Timeline = append(r.Timeline, Event{At: now.UTC(), Phase: r.Phase, What: clip(what), Facts: facts})
	size := 0
	for _, e := range r.Timeline {
		size += e.size()
	}
	for i := 0; size > maxTimeline && i < len(r.Timeline)-1; i++ {
		size -= r.Timeline[i].size()
		r.Timeline[i].Facts = nil
		size += r.Timeline[i].size()
	}
	for size > maxTimeline && len(r.Timeline) > 2 {
		size -= r.Timeline[1].size()
		r.Timeline = slices.Delete(r.Timeline, 1, 2)
	}
}

// size is about what the event takes as JSON, and never less.
func (e Event) size() int {
	const frame = 100
	size := frame + quoted(e.What)
	for _, fact := range e.Facts {
		size += quoted(fact)
	}
	return size
}

// quoted is what a text takes as JSON, which may be six times its length: what
// health checks say is often HTML.
func quoted(text string) int {
	size := len(text) + len(`"",`)
	for _, c := range text {
		switch {
		case c == '"', c == '\\':
			size++
		case c < ' ', c == '<', c == '>', c == '&', c == utf8.RuneError, c == '\u2028', c == '\u2029':
			size += len(`\u0000`) - 1
		}
	}
	return size
}

// keep takes in a gate's state, and tells whether it is another one. A state
// that is too large is left out: after a restart, the gate begins anew.
func (r *Record) keep(state json.RawMessage) bool {
	if len(state) == 0 || len(state) > maxEvidence || bytes.Equal(state, r.Evidence) {
		return false
	}
	r.Evidence = state
	return true
}

func clip(text string) string { return Clip(text, maxText) }

// Clip bounds a text to so many bytes, between two characters.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const ellipsis = "…"
	end := most - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// clone copies the record deeply, so that a plan never changes what it was
// given.
func (r *Record) clone() *Record {
	c := *r
	c.Members, c.LeftOut = slices.Clone(r.Members), slices.Clone(r.LeftOut)
	c.Approvals, c.Timeline = slices.Clone(r.Approvals), slices.Clone(r.Timeline)
	c.Gates = slices.Clone(r.Gates)
	if r.Held != nil {
		h := *r.Held
		c.Held = &h
	}
	if r.Wait != nil {
		w := *r.Wait
		c.Wait = &w
	}
	if r.Halt != nil {
		h := *r.Halt
		c.Halt = &h
	}
	return &c
}

// Approved tells whether the named approval has passed somewhere.
func (r *Record) Approved(name string) bool {
	return slices.ContainsFunc(r.Approvals, func(a Approval) bool { return a.Name == name }) ||
		slices.ContainsFunc(r.Gates, func(g GateState) bool { return g.Name == name && g.Outcome == GatePassed })
}

// Target is where the rollout leads.
func (r *Record) Target() pools.Side { return pools.Side{Pool: r.Pool, Version: r.Version} }

// RollsOn tells whether the nodes of a pool are to roll to the rollout's
// version now.
func (r *Record) RollsOn(pool string) bool {
	if r == nil {
		return false
	}
	switch r.Phase {
	case Rolling, Smoke, Warmup, Canary, Switching, Draining, Baking:
		return pool == r.Pool
	case Converging:
		return true
	default:
		return false
	}
}

// Stages tells whether the nodes of a pool are to fetch the rollout's version.
func (r *Record) Stages(pool string) bool {
	if r == nil || r.Phase.Ended() || r.Phase == Halted || r.Phase == Queued {
		return false
	}
	return pool == r.Pool || r.Phase == Converging
}

// ParseRecord reads a record. It gives nil for an empty value.
func ParseRecord(value []byte, index uint64) (*Record, error) {
	if len(value) == 0 {
		return nil, nil //nolint:nilnil // no rollout yet is an ordinary state
	}
	var r Record
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("parse the rollout record: %w", err)
	}
	if !r.Phase.Known() {
		return nil, fmt.Errorf("rollout record %q: phase %q is not known to this version of switchd", r.ID, r.Phase)
	}
	r.Index = index
	return &r, nil
}
