package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/consul/api"

	"switchd/acl"
)

// Person is somebody with a token of their own, where ACLs are on.
type Person struct {
	Name     string
	Accessor string
	Roles    []acl.Role
}

// People are those of whom commands are typed. Operations may do nothing but
// operate; who approves, may nothing else; and only Duty may go around gates.
func People() []Person {
	return []Person{
		{Name: "author", Accessor: "a0000000-0000-4000-8000-000000000001", Roles: []acl.Role{acl.Author}},
		{Name: "publisher", Accessor: "a0000000-0000-4000-8000-000000000002", Roles: []acl.Role{acl.Publisher}},
		{Name: "operator", Accessor: "a0000000-0000-4000-8000-000000000003", Roles: []acl.Role{acl.Operator}},
		{Name: "viewer", Accessor: "a0000000-0000-4000-8000-000000000004", Roles: []acl.Role{acl.Viewer}},
		{Name: "alice", Accessor: "a0000000-0000-4000-8000-000000000005", Roles: []acl.Role{acl.Approver}},
		{Name: "bob", Accessor: "a0000000-0000-4000-8000-000000000006", Roles: []acl.Role{acl.Approver}},
		{Name: "duty", Accessor: "a0000000-0000-4000-8000-000000000007", Roles: []acl.Role{acl.Operator, acl.Bypass}},
	}
}

// typist is who types a command, unless somebody else is named.
func typist(args []string) string {
	if len(args) == 0 {
		return "viewer"
	}
	switch args[0] {
	case "apply":
		return "author"
	case "publish", "releases":
		return "publisher"
	case "approve":
		return "alice"
	case "promote", "rollback", "halt", "resume":
		return "operator"
	default:
		return "viewer"
	}
}

// controller is the name of the token of `switchd serve`.
const controller = "controller"

// manager is the token that may do everything, where ACLs are on. It guards
// nothing but a test's own Consul on loopback.
const manager = "5f0b8f4e-6f3a-4f0e-9d39-1c5a4a1f7c11"

func (c *Cluster) manager() string {
	if !c.ACLs {
		return ""
	}
	return manager
}

// grant makes a token for each process and person, with the policies that
// `switchd acl` prints.
func (c *Cluster) grant(ctx context.Context) error {
	if !c.ACLs {
		return nil
	}
	client, err := api.NewClient(&api.Config{Address: c.ConsulAddr(), Token: manager})
	if err != nil {
		return fmt.Errorf("grant rights: %w", err)
	}
	if err := c.give(ctx, client, controller, "", []string{"controller", "--node", "consul", "--mesh", "web"}); err != nil {
		return err
	}
	for _, p := range People() {
		var policies [][]string
		for _, role := range p.Roles {
			args := []string{string(role)}
			switch role {
			case acl.Operator:
				args = append(args, "--node", "consul", "--mesh", "web")
			case acl.Author, acl.Publisher:
				args = append(args, "--node", "consul")
			case acl.Approver, acl.Bypass:
				args = append(args, "--accessor", p.Accessor, "--service", "web")
			case acl.Agent, acl.Controller, acl.Viewer, acl.Upstream:
			}
			policies = append(policies, args)
		}
		if err := c.give(ctx, client, p.Name, p.Accessor, policies...); err != nil {
			return err
		}
	}
	for _, a := range c.Agents {
		if err := c.give(ctx, client, a.Node, "", []string{"agent", "--node", a.Node, "--service", "web"}); err != nil {
			return err
		}
	}
	return nil
}

// give makes one token, with the policies that `switchd acl` prints for some
// arguments.
func (c *Cluster) give(ctx context.Context, client *api.Client, name, accessor string, policies ...[]string) error {
	opts := (&api.WriteOptions{}).WithContext(ctx)
	token := &api.ACLToken{Description: name, AccessorID: accessor}
	for _, args := range policies {
		rules, err := c.Switchd(ctx, slices.Concat([]string{"acl", "--env", Env}, args)...)
		if err != nil {
			return err
		}
		policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: name + "-" + args[0], Rules: rules}, opts)
		if err != nil {
			return fmt.Errorf("make the policy %s of %s: %w", args[0], name, err)
		}
		token.Policies = append(token.Policies, &api.ACLTokenPolicyLink{ID: policy.ID})
	}
	made, _, err := client.ACL().TokenCreate(token, opts)
	if err != nil {
		return fmt.Errorf("make the token of %s: %w", name, err)
	}
	c.tokens[name] = made.SecretID
	return nil
}

// Token is that of a person or a node, "" where ACLs are off.
func (c *Cluster) Token(name string) string { return c.tokens[name] }

// As runs a command of the CLI as a person.
func (c *Cluster) As(ctx context.Context, person string, args ...string) (string, error) {
	return c.run(c.command(ctx, person, args...), args)
}
