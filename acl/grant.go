package acl

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"switchd/spec"
)

// Grant says what rules are made for.
type Grant struct {
	Role Role
	// Env is the name of the environment.
	Env string
	// Nodes are the Consul nodes whose agents are asked, since a session belongs
	// to a node: one of an Agent, any for others if empty.
	Nodes []string
	// Services are those that the rights are for: the ones that an Agent runs, of
	// others all if empty.
	Services []string
	// Gates are those that an Approver or a Bypass is for; empty: all.
	Gates []string
	// Accessor is the accessor ID of the token that is to get the policy of an
	// Approver or a Bypass: what is written with it is filed under that.
	Accessor string
	// Mesh are the names in Consul's service mesh of services with a switch
	// "resolver", whose config entries a Controller and an Operator write.
	Mesh []string
	// Keys are those outside of the environment that a Controller's gates of
	// kind wait look at.
	Keys []string
	// Pull lets a Controller take over releases from another environment.
	Pull bool
}

// What names may look like that are put into keys and into HCL: a slash would
// make another key of one, a quote another policy.
var (
	namePattern     = regexp.MustCompile(`\A[0-9A-Za-z][0-9A-Za-z._-]{0,252}\z`)
	keyPattern      = regexp.MustCompile(`\A[0-9A-Za-z._-][0-9A-Za-z._/:@=+-]{0,511}\z`)
	accessorPattern = regexp.MustCompile(`\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`)
)

// field is one field of a grant.
type field struct {
	name    string // as a flag of `switchd acl` is called
	values  []string
	pattern *regexp.Regexp
	// means are the roles to which it means something, needs those that can't do
	// without it.
	means, needs []Role
}

func (g Grant) fields() []field {
	return []field{
		{"env", given(g.Env), namePattern, Roles(), Roles()},
		{"node", g.Nodes, namePattern, []Role{Agent, Controller, Author, Publisher, Operator}, []Role{Agent}},
		{"service", g.Services, namePattern, []Role{Agent, Publisher, Operator, Approver, Bypass}, nil},
		{"gate", g.Gates, namePattern, []Role{Approver, Bypass}, nil},
		{"accessor", given(g.Accessor), accessorPattern, []Role{Approver, Bypass}, []Role{Approver, Bypass}},
		{"mesh", g.Mesh, namePattern, []Role{Controller, Operator}, nil},
		{"key", g.Keys, keyPattern, []Role{Controller}, nil},
	}
}

func given(value string) []string {
	if value == "" {
		return nil
	}
	return []string{value}
}

// check tells what is missing, wrong or without a meaning.
func (g Grant) check() error {
	if !slices.Contains(Roles(), g.Role) {
		return fmt.Errorf("there is no role %q.%s The roles are %s", g.Role, spec.DidYouMean(g.Role, Roles()), list(Roles()))
	}
	for _, f := range g.fields() {
		switch {
		case len(f.values) == 0 && slices.Contains(f.needs, g.Role):
			return fmt.Errorf("the role %s needs --%s", g.Role, f.name)
		case len(f.values) > 0 && !slices.Contains(f.means, g.Role):
			return fmt.Errorf("--%s means nothing to the role %s, it is for %s", f.name, g.Role, list(f.means))
		}
		for _, v := range f.values {
			if !f.pattern.MatchString(v) {
				return fmt.Errorf("--%s: no rule can be made for %q, expected %s", f.name, v, f.pattern)
			}
		}
	}
	switch {
	case g.Role == Agent && len(g.Nodes) > 1:
		return fmt.Errorf("each node's agent has a policy of its own, got --node %s", strings.Join(g.Nodes, ","))
	case len(g.Gates) > 0 && len(g.Services) == 0:
		return fmt.Errorf("--gate needs --service: gates are a service's")
	case g.Pull && g.Role != Controller:
		return fmt.Errorf("--pull means nothing to the role %s, it is for %s", g.Role, Controller)
	}
	return nil
}

func list(roles []Role) string {
	names := make([]string, 0, len(roles))
	for _, r := range roles {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}
