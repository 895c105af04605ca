package rollout

import (
	"fmt"
	"time"

	"switchd/gate"
	"switchd/pools"
	"switchd/spec"
)

// Situation is everything that a plan is made from: one service's facts at one
// moment.
type Situation struct {
	Spec   spec.Service
	Record *Record     // nil: there never was a rollout
	Live   *pools.Live // nil: nothing is live yet
	// Pools are the instances by colour, read consistently.
	Pools map[string]pools.Pool
	// Members are the nodes that each pool should have.
	Members map[string][]Member
	// Reports are what the nodes say of the record's version, by node.
	Reports map[string]Report
	// Released tells whether the record's version is published.
	Released bool
	// Blockers are dependencies that are under way themselves.
	Blockers []string
	// Consents and Bypasses are what people have said of this rollout's gates.
	Consents []Consent
	Bypasses []Bypass
	// Eligible is what is known of the environment before this one, while no
	// rollout is under way; nil: there is none, or releases need not have been in
	// it.
	Eligible *Eligibility
	// Jobs are the verdicts so far. One that has not decided is unknown and
	// says what is missing.
	Jobs map[Job]gate.Verdict
}

// Quorum is the number of nodes that must pass in a pool.
func (s Situation) Quorum(pool string) int {
	return s.Spec.Roll.Quorum.AtLeast(len(s.Members[pool]))
}

// canServe returns a pools.EmptyError unless enough nodes pass with the side's
// version.
func (s Situation) canServe(now map[string]pools.Pool, want pools.Side) error {
	return pools.CanServe(s.Spec.Name, now, want, s.Quorum(want.Pool))
}

// Member is a node that belongs to a pool.
type Member struct {
	Node  string
	Alive bool // Consul's failure detector holds it for alive
}

// Report is what a node's agent says of a version on its way.
type Report struct {
	Rollout string      `json:"rollout"`
	Pool    string      `json:"pool,omitempty"`
	State   ReportState `json:"state"`
	Why     string      `json:"why,omitempty"`
	// Progress is how far the fetch is, while it takes its time.
	Progress *Progress `json:"progress,omitempty"`
	At       time.Time `json:"at"`
}

// Progress is how far a release is on its way to a node, in bytes.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	Rate  int64 `json:"rate,omitempty"` // a second
	Peers int   `json:"peers,omitempty"`
}

// Left is how long it will take at this rate, 0 if that can't be told.
func (p Progress) Left() time.Duration {
	if p.Rate <= 0 || p.Done >= p.Total {
		return 0
	}
	return time.Duration(float64(p.Total-p.Done) / float64(p.Rate) * float64(time.Second))
}

// String is the progress for people, such as
// "43 % of 200.0 MiB, 12.1 MiB/s from 5 peers, 9s left".
func (p Progress) String() string {
	text := fmt.Sprintf("%d %% of %s", 100*p.Done/max(p.Total, 1), mebibytes(p.Total))
	if p.Rate > 0 {
		text += fmt.Sprintf(", %s/s", mebibytes(p.Rate))
	}
	if p.Peers > 0 {
		text += fmt.Sprintf(" from %d peers", p.Peers)
	}
	if left := p.Left(); left > 0 {
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return text
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// ReportState is where a node is with a version.
type ReportState string

// The states of a node.
const (
	Fetching  ReportState = "fetching"
	Staged    ReportState = "staged"
	Waiting   ReportState = "waiting" // for a slot or the quorum
	Replacing ReportState = "replacing"
	Running   ReportState = "running"
	Broken    ReportState = "failed"
)

// Job is a gate, or another look at the world that takes time, at one place of
// one rollout. It can be started again at any time.
type Job struct {
	Rollout string
	Kind    JobKind
	Step    int // of the canary
	// Attempt tells a job from the same one before a halt: it is the time, in
	// nanoseconds, at which the phase was entered. For JobArmed, which no phase
	// is about, it is the index of the live record that is armed.
	Attempt int64
	// Gate is the name of the gate, for JobGate.
	Gate string
}

// JobKind says what is looked at.
type JobKind string

// The kinds of jobs.
const (
	JobSmoke    JobKind = "smoke"
	JobWarmup   JobKind = "warmup"
	JobAnalysis JobKind = "analysis"
	JobArmed    JobKind = "armed" // whatever answers for the name gives it the short TTL
	JobProof    JobKind = "proof" // whatever users can be led by shows the new pool
	JobDrain    JobKind = "drain" // the old pool's traffic is over
	JobGate     JobKind = "gate"  // a gate of the spec that needs a look at the world: spec.GateWait and spec.GateSilence
	JobShare    JobKind = "share" // what share of the users the new pool is measured to have
)

// untilPassed tells whether a job is done again until it passes: it looks at
// what was written already, and what doesn't show it yet must be waited for.
func (k JobKind) untilPassed() bool { return k == JobArmed || k == JobProof }

// watches tells whether a job says what is so now, for as long as it is under
// way: a gate may be lost again until the rollout has gone on, and then nothing
// of what was seen counts any more.
func (k JobKind) watches() bool { return k == JobGate || k == JobShare }

// Decision is what a plan says is to be done now.
type Decision struct {
	// Change is to be committed, all or nothing; nil: nothing is to be
	// written.
	Change *Change
	// Jobs are to be under way, and no others.
	Jobs []Job
	// Wake is when to plan again even if nothing is seen to change; zero:
	// only then.
	Wake time.Time
}

// Change is one atomic write: the record, and the live record where it goes
// along. Their Index fields hold what they were read at.
type Change struct {
	Record *Record
	Live   *pools.Live // nil: stays
	// Bypasses are written along, each under its person's name.
	Bypasses []Bypass
	// Saw is the index of the live record that the change was made on; a
	// change that leaves the live record alone is held to it nevertheless.
	Saw uint64
	// Ready is what must still hold of reality when the change is made; nil:
	// nothing. It is asked with a fresh, consistent read.
	Ready func(map[string]pools.Pool) error
	// Minor marks a change that only says anew what is waited for, which may
	// be written a little later.
	Minor bool
	// What says the change in a few words, for logs.
	What string
}
