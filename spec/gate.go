package spec

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

// Hold is what gates of all kinds have.
type Hold struct {
	// At are the points at which the gate stands, in the order of Points.
	At []string `json:"at"`
	// Owner is that of the file that declares the gate, or of the policy that
	// adds it; whoever is asked and told.
	Owner string `json:"owner,omitempty"`
	// Deadline is the longest that the rollout waits for the gate; 0 for one that
	// ends by itself, which a window does.
	Deadline Deadline `json:"deadline,omitzero"`
}

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

// Approval is a named consent.
type Approval struct {
	Hold

	Name string `json:"name"`
	// MinApprovers is how many different people must approve.
	MinApprovers int `json:"min_approvers"`
	// Approvers are the accessor IDs of the tokens that may, or, on a Consul
	// without ACLs, the names of accounts; empty: all whom Consul lets.
	Approvers []string `json:"approvers,omitempty"`
	// Expires is how long an approval holds; 0: as long as the rollout is
	// under way.
	Expires Duration `json:"expires,omitempty"`
}

// WaitFor waits until something outside holds. Exactly one of Key, Service, URL
// and Command is set.
type WaitFor struct {
	Hold

	Name string `json:"name"`
	// Key is a key of Consul's KV, which must have Value, or be there and not
	// empty if that is "".
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
	// Service is one in Consul of which Passing instances must pass.
	Service string `json:"service,omitempty"`
	Passing int    `json:"passing,omitempty"`
	// URL must answer a GET with Status, and a body that Body matches if it is
	// not "": a regular expression, RE2.
	URL    string `json:"url,omitempty"`
	Status int    `json:"status,omitempty"`
	Body   string `json:"body,omitempty"`
	// Command must exit with status 0. Its first word is the name of a program
	// in the directory that replicas allow (serve --gate-commands).
	Command []string `json:"command,omitempty"`
	// Every is the time between two tries of a URL or command, Timeout the
	// longest that one of them takes. Keys and services are watched.
	Every   Duration `json:"every"`
	Timeout Duration `json:"timeout"`
	// Remind is how often the owner is told again while it waits.
	Remind Duration `json:"remind"`
}

// Window lets a rollout go on at some times only.
type Window struct {
	Hold

	Name string `json:"name"`
	// Days are "mon" to "sun"; empty: all.
	Days []string `json:"days,omitempty"`
	// From and To are times of day, such as "09:00"; To may be "24:00", and
	// before From: then it is over midnight, and belongs to the day it begins
	// on. Both empty: the whole day.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// TimeZone is a name of the IANA time zone database, such as
	// "Europe/Berlin"; "UTC" if not set.
	TimeZone string   `json:"time_zone"`
	Freezes  []Freeze `json:"freezes,omitempty"` // sorted by name
}

// Freeze is a time in which nothing goes on, whatever the window says.
type Freeze struct {
	Name string `json:"name"`
	// From and To are dates or dates with times of day of the window's time zone,
	// such as "2026-12-23" or "2026-12-23T18:00". A date as To is that whole
	// day.
	From string `json:"from"`
	To   string `json:"to"`
	Why  string `json:"why"`
}

// Silence holds while an alert fires that meets all matchers.
type Silence struct {
	Hold

	Name string `json:"name"`
	// Match are matchers as Alertmanager writes them, as those of Alert.
	Match []string `json:"match"`
	// For is how long nothing may have fired.
	For Duration `json:"for,omitempty"`
}

// GatesAt are the service's gates at a point: windows first, as they tell when
// it goes on, then what is waited for, silences, and approvals last; each kind by
// name.
func (s *Service) GatesAt(point string) []Gate {
	var gates []Gate
	for _, g := range s.Gates() {
		for _, at := range g.At {
			if at == point {
				gates = append(gates, g)
			}
		}
	}
	return gates
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
		a := &s.Approvals[i]
		gates = append(gates, Gate{Hold: a.Hold, Name: a.Name, Kind: GateApproval, Approval: a})
	}
	return gates
}
