package zone

import "github.com/miekg/dns"

// Result is the answer to a question. Its records belong to the zone and are
// never to be modified.
type Result struct {
	Rcode         int
	Authoritative bool
	Answer        []dns.RR
	Authority     []dns.RR
	Additional    []dns.RR
	// Optional tells that Additional may be left out without truncation: it
	// is not the glue of a referral.
	Optional bool
	// Node is the exact match of the question, or else its closest encloser.
	Node  *Node
	Exact bool
	// Chosen is the index of the choice that was taken at Node, or -1.
	Chosen int
	// Random tells that a choice was taken elsewhere than at Node: the answer
	// is good for once.
	Random bool
	// Shared tells that no node of an overlay was touched whose unit is
	// another than Node's (the zone's own data counts as no unit): the answer
	// holds as long as Node stands in a zone with the same set of names.
	Shared bool
	// Cut is the delegation that the lookup ended at, or nil.
	Cut *Node
	// Denied is what has to be proven absent for DNSSEC, or nil.
	Denied *Denial
}

// Denial is what an answer says is not there.
type Denial struct {
	Kind Kind
	// Name is the name that is denied, or whose types are.
	Name Name
	// Types are those that exist at the name, in ascending order.
	Types []uint16
}

// Kind is what a Denial is about.
type Kind int

// The kinds of a denial.
const (
	// NoName: the name does not exist and no wildcard covers it.
	NoName Kind = iota + 1
	// NoData: the name exists, or a wildcard covers it, without the type.
	NoData
	// NoDS: the name is delegated to an unsigned zone.
	NoDS
)
