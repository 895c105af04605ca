package spec

import "fmt"

// Tightening is something of a service that a policy has made stricter. Policies
// only tighten: a value that is stricter already stays.
type Tightening struct {
	Policy string `json:"policy"`
	Owner  string `json:"owner,omitempty"`
	// What is the path of the value, such as "bake"; From and To are what the
	// service's files say, and what holds. From is empty for what a policy adds.
	What string `json:"what"`
	From string `json:"from,omitempty"`
	To   string `json:"to"`
	File string `json:"file"`
	Line int    `json:"line"`
}

// String is one line for people, such as
// "bake  10m0s -> 1h0m0s   (policy safety, policy.hcl:3, owner platform)".
func (t Tightening) String() string {
	change := t.To
	if t.From != "" {
		change = t.From + " -> " + t.To
	}
	return fmt.Sprintf("%s  %s   (policy %s, %s)", t.What, change, t.Policy, t.origin())
}

func (t Tightening) origin() Origin { return Origin{File: t.File, Line: t.Line, Owner: t.Owner} }
