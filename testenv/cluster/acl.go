package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
)

// The roles that Options.Policies has rules for.
const (
	RoleAgent    = "agent"
	RoleServe    = "serve"
	RoleOperator = "operator"
	RoleViewer   = "viewer"
)

// manager is the token that may do everything, where ACLs are on. It guards
// nothing but a test's own Consul on loopback.
const manager = "5f0b8f4e-6f3a-4f0e-9d39-1c5a4a1f7c11"

func (c *Cluster) manager() string {
	if c.Policies == nil {
		return ""
	}
	return manager
}

// grant makes a token for each role, and for each node's agent.
func (c *Cluster) grant(ctx context.Context) error {
	if c.Policies == nil {
		return nil
	}
	client, err := api.NewClient(&api.Config{Address: c.ConsulAddr(), Token: manager})
	if err != nil {
		return fmt.Errorf("grant rights: %w", err)
	}
	opts := (&api.WriteOptions{}).WithContext(ctx)
	give := func(name, rules string) error {
		policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, opts)
		if err != nil {
			return fmt.Errorf("make the policy of %s: %w", name, err)
		}
		token, _, err := client.ACL().TokenCreate(&api.ACLToken{Description: name, Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, opts)
		if err != nil {
			return fmt.Errorf("make the token of %s: %w", name, err)
		}
		c.tokens[name] = token.SecretID
		return nil
	}
	for _, role := range []string{RoleServe, RoleOperator, RoleViewer} {
		if err := give(role, c.Policies[role]); err != nil {
			return err
		}
	}
	for _, pool := range []string{"blue", "green"} {
		for i := range c.Nodes {
			node := nodeName(pool, i)
			if err := give(RoleAgent+"-"+node, strings.ReplaceAll(c.Policies[RoleAgent], "{{node}}", node)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Token is the token of a role, "" where ACLs are off.
func (c *Cluster) Token(role string) string { return c.tokens[role] }
