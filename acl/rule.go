// Package acl is who may do what in Consul: for each role the least rules that
// its work needs, as the text of a policy. It asks nobody; Consul enforces what
// it says.
package acl

import "fmt"

// What a rule allows. Write includes read.
const (
	Read  = "read"
	Write = "write"
)

// Rule is one rule of a policy.
// Source: https://developer.hashicorp.com/consul/docs/reference/acl/rule
type Rule struct {
	// Resource is such as "key", or "key_prefix" for all whose names begin
	// with Name.
	Resource string
	Name     string
	Access   string // Read or Write
	Why      string // a sentence for whoever grants it
}

// String is the rule as Consul reads it, without its reason.
func (r Rule) String() string {
	return fmt.Sprintf("%s %q { policy = %q }", r.Resource, r.Name, r.Access)
}
