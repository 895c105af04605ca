package rollout

import (
	"time"

	"switchd/spec"
)

// GateState is what became of one gate at one point of a rollout: the decision
// record.
type GateState struct {
	Name  string `json:"name"`
	Kind  string `json:"kind"` // spec.GateApproval and so on, GateUpstream, or "smoke", "warmup" and "analysis"
	Owner string `json:"owner,omitempty"`
	// Point is where it stands: one of spec.Points; before a step of the weights
	// with that, such as "weight 25"; "converge" before the old pool is rolled.
	// Smoke and warm-up stand at their phase, an analysis at "canary 25".
	Point string    `json:"point"`
	Since time.Time `json:"since"` // when the rollout came to it, or it was lost again
	// Until is when a window opens, or the gate's deadline; Then is what happens at
	// that.
	Until time.Time `json:"until,omitzero"`
	Then  string    `json:"then,omitempty"`
	// Patience is how long the gate is waited for while no window at the point is
	// shut; Until follows from it.
	Patience spec.Duration `json:"patience,omitempty"`
	Outcome  GateOutcome   `json:"outcome"`
	// Why is what is missing, or why it was decided so; By is who decided.
	Why string    `json:"why,omitempty"`
	By  []string  `json:"by,omitempty"`
	At  time.Time `json:"at,omitzero"` // of the decision
}

// GateOutcome is what became of a gate.
type GateOutcome string

// The outcomes of a gate.
const (
	GateWaits    GateOutcome = "waits"
	GatePassed   GateOutcome = "passed"
	GateDenied   GateOutcome = "denied"
	GateBypassed GateOutcome = "bypassed"
	GateExpired  GateOutcome = "expired" // its deadline has passed
	GateFailed   GateOutcome = "failed"  // of smoke, warm-up and analysis
)

// Consent is what one person says of one gate.
type Consent struct {
	Rollout string `json:"rollout"`
	Gate    string `json:"gate"`
	// Who is the accessor ID of the person's token, or the account where Consul
	// has no ACLs: it is the part of the key that Consul's ACL protects, and so
	// not written in the value.
	Who  string    `json:"-"`
	By   string    `json:"by"` // for people: a description of the token, and the account
	Deny bool      `json:"deny,omitempty"`
	Why  string    `json:"why,omitempty"`
	At   time.Time `json:"at"`
}

// Bypass is one person's decision that a rollout goes on without a gate.
type Bypass struct {
	Rollout string    `json:"rollout"`
	Gate    string    `json:"gate"`
	Who     string    `json:"-"` // as that of Consent
	By      string    `json:"by"`
	Why     string    `json:"why"`
	At      time.Time `json:"at"`
}
