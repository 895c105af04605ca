package spec

// Tightening is something of a service that a policy has made stricter. Policies
// only tighten: a value that is stricter already stays.
type Tightening struct {
	Policy string `json:"policy"`
	Owner  string `json:"owner,omitempty"`
	// What is the path of the value, such as "bake"; From and To are what the
	// service's files say, and what holds.
	What string `json:"what"`
	From string `json:"from,omitempty"`
	To   string `json:"to"`
	File string `json:"file"`
	Line int    `json:"line"`
}
