package main

import (
	"strings"

	"switchd/acl"
)

type aclCmd struct {
	Role     acl.Role `arg:"" help:"agent, controller, author, publisher, operator, approver, bypass, viewer or upstream."`
	Node     []string `help:"Consul node of an agent; for others the nodes whose Consul agents they ask, any if not set." placeholder:"NAME"`
	Service  []string `help:"Services that the rights are for; all if not set, but for an agent." placeholder:"NAME"`
	Gate     []string `help:"Gates of the services that an approver or a bypass is for; all if not set." placeholder:"NAME"`
	Accessor string   `help:"Accessor ID of the token that is to get an approver's or a bypass's policy." placeholder:"UUID"`
	Mesh     []string `help:"Names in Consul's mesh that a controller or an operator switches." placeholder:"NAME"`
	Key      []string `help:"Keys outside of the environment that a controller's gates wait for." placeholder:"KEY"`
	Pull     bool     `help:"Have a controller take over releases from the environment before."`
}

func (c *aclCmd) Help() string {
	var roles strings.Builder
	for _, role := range acl.Roles() {
		roles.WriteString("\n" + string(role) + ": " + role.Does())
	}
	return `Prints the least policy of a role in an environment, with the reason of each rule, and asks nobody. A token may have several:

    switchd acl viewer --env prod | consul acl policy create -name switchd-prod-viewer -rules -
` + roles.String()
}

func (c *aclCmd) Run(a *app) error {
	if c.Role == acl.Agent && len(c.Service) == 0 {
		return &usageError{"name the services that the node is to run with --service"}
	}
	policy, err := acl.For(acl.Grant{
		Role: c.Role, Env: a.flags.Env, Nodes: c.Node, Services: c.Service, Gates: c.Gate,
		Accessor: c.Accessor, Mesh: c.Mesh, Keys: c.Key, Pull: c.Pull,
	})
	if err != nil {
		return &usageError{err.Error()}
	}
	a.printf("%s", policy)
	return nil
}
