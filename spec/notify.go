package spec

// Notify says who is told of a service's rollouts, and of what. The addresses and
// their secrets are in a file of the replicas (serve --notify-file), by name.
type Notify struct {
	// To are names in that file; empty: the service's owner, and the owner of
	// what is waited for.
	To []string `json:"to,omitempty"`
	// Events are what is told.
	Events []string `json:"events"`
	// Remind is how often a wait is told again; 0: never.
	Remind Duration `json:"remind"`
}

// What can be told.
const (
	EventBegun      = "begun"
	EventWaiting    = "waiting" // for a gate or a person
	EventSwitched   = "switched"
	EventDone       = "done"
	EventHalted     = "halted"
	EventFailed     = "failed"
	EventRolledBack = "rolledback"
)

// Events are all that can be told, in their order.
func Events() []string {
	return []string{EventBegun, EventWaiting, EventSwitched, EventDone, EventHalted, EventFailed, EventRolledBack}
}

func (n *Notify) form() form {
	return form{attrs: []attr{
		texts("to", &n.To, wordRule(), true),
		ordered(texts("events", &n.Events, oneOf(Events()...), true), &n.Events, Events()),
		span("remind", &n.Remind, 0),
	}}
}
