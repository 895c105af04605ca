package acl

// Role is a part that somebody has in an environment. A token may have several
// of them, with a policy each.
type Role string

// The roles.
const (
	Agent      Role = "agent"
	Controller Role = "controller"
	Author     Role = "author"
	Publisher  Role = "publisher"
	Operator   Role = "operator"
	Approver   Role = "approver"
	Bypass     Role = "bypass"
	Viewer     Role = "viewer"
	Upstream   Role = "upstream"
)

// Roles are all roles.
func Roles() []Role {
	return []Role{Agent, Controller, Author, Publisher, Operator, Approver, Bypass, Viewer, Upstream}
}

// Does says for what a role is.
func (r Role) Does() string {
	switch r {
	case Agent:
		return "agent run, on one node"
	case Controller:
		return "switchd serve"
	case Author:
		return "switchd apply"
	case Publisher:
		return "switchd publish and releases prune"
	case Operator:
		return "switchd promote, rollback, halt and resume"
	case Approver:
		return "switchd approve"
	case Bypass:
		return "switchd promote --bypass, beside operator"
	case Viewer:
		return "switchd status, history, explain and releases; Prometheus"
	case Upstream:
		return "the controller of the next environment, which reads here what it takes over"
	default:
		return ""
	}
}
