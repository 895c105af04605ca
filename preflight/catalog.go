package preflight

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"golang.org/x/mod/semver"

	"switchd/acl"
	"switchd/consul"
	"switchd/replica"
)

// testedConsul is the oldest version that switchd is tested with.
const testedConsul = "v1.22"

// sessionTTL is how long the session of a test would live on if this process
// died in the middle.
const sessionTTL = consul.MinSessionTTL

// catalog looks at Consul, and at the rights that package acl grants to an
// agent: each is tried by a call that changes nothing.
func catalog(ctx context.Context, needs Needs) []Finding {
	client := needs.Consul
	self, err := about(ctx, client)
	switch {
	case errors.Is(err, consul.ErrDenied):
		return []Finding{reach(client, nil), right(acl.Rule{Resource: "agent", Name: orHost(needs.Node), Access: acl.Read}, err)}
	case err != nil:
		return []Finding{reach(client, err)}
	}
	findings := []Finding{reach(client, nil), version(self.Config.Version)}
	if needs.Env == "" {
		return findings
	}
	node := cmp.Or(needs.Node, self.Config.NodeName)
	policy, err := acl.For(acl.Grant{Role: acl.Agent, Env: needs.Env, Nodes: []string{node}, Services: needs.Services})
	if err != nil {
		return append(findings, untold("Consul's rights", "names that rules can be made for", "", err))
	}
	if len(needs.Services) == 0 {
		findings = append(findings, untold("Consul's rights to services", "", "name the services that this node is to run behind `agent check`",
			fmt.Errorf("the token sees none that %s is in a pool of", node)))
	}
	nodes := seesNode(ctx, client, self.Config.NodeName)
	for _, rule := range policy.Rules {
		if rule.Resource == "service" && rule.Access == acl.Read && nodes != nil {
			continue // Who sees no node sees no service on it either.
		}
		findings = append(findings, right(rule, try(ctx, client, self.Config.NodeName, rule, nodes)))
	}
	return findings
}

// try tries what a rule allows. Whether nodes are seen is known already.
func try(ctx context.Context, client *consul.Client, node string, rule acl.Rule, nodes error) error {
	key := rule.Name
	switch rule.Resource {
	case "agent":
		return nil // It has told its name.
	case "node_prefix":
		return nodes
	case "session":
		return makesSession(ctx, client)
	case "service":
		if rule.Access == acl.Read {
			return seesReplicas(ctx, client)
		}
		return writesService(ctx, client, node, rule.Name)
	case "key_prefix":
		key += ".preflight"
	}
	if rule.Access == acl.Write {
		return writesKey(ctx, client, key)
	}
	_, err := client.Get(ctx, key)
	return err
}

// orHost is the node's name, or what Consul calls a node by default.
func orHost(node string) string {
	if node != "" {
		return node
	}
	host, err := os.Hostname()
	if err != nil {
		return "NODE"
	}
	return host
}

// agentSelf is what /v1/agent/self tells.
type agentSelf struct {
	Config struct{ NodeName, Version string }
}

func about(ctx context.Context, client *consul.Client) (agentSelf, error) {
	var self agentSelf
	if _, err := client.Self(ctx); err != nil {
		return self, err
	}
	ctx, cancel := context.WithTimeout(ctx, consul.CallTimeout)
	defer cancel()
	if _, err := client.API().Raw().Query("/v1/agent/self", &self, (&api.QueryOptions{}).WithContext(ctx)); err != nil {
		return self, fmt.Errorf("ask Consul for its version: %w", err)
	}
	return self, nil
}

func reach(client *consul.Client, err error) Finding {
	if err == nil {
		return ok("Consul", "answers at "+client.Addr())
	}
	return Finding{
		Level: Missing, What: "Consul", Have: err.Error(), Need: "this node's Consul agent to answer",
		Fix: fmt.Sprintf("systemctl start consul, or name its address instead of %s: CONSUL_HTTP_ADDR or --http-addr", client.Addr()),
	}
}

func version(have string) Finding {
	v := "v" + have
	switch {
	case !semver.IsValid(v):
		return untold("Consul's version", testedConsul, "", fmt.Errorf("it says %q", have))
	case semver.Compare(v, testedConsul+".0-0") < 0:
		return Finding{
			Level: Warning, What: "Consul's version", Have: have, Need: strings.TrimPrefix(testedConsul, "v") + ", which switchd is tested with",
			Fix: "upgrade Consul, or try it in staging",
		}
	}
	return ok("Consul's version", have)
}

// right is the finding of one rule of the token's policy. An error of another
// kind than ErrDenied tells nothing of the right.
func right(rule acl.Rule, err error) Finding {
	f := Finding{
		What: fmt.Sprintf("Consul's rights: %s %q", rule.Resource, rule.Name), Need: rule.String(),
		Fix: "add to the policy of the agent's token: " + rule.String(),
	}
	switch {
	case err == nil:
		return ok(f.What, "granted")
	case errors.Is(err, consul.ErrDenied):
		f.Level, f.Have = Missing, "denied"
		return f
	}
	return untold(f.What, f.Need, "", err)
}

// seesNode looks for the node in the catalog: what a token may not read is
// left out, without an error.
func seesNode(ctx context.Context, client *consul.Client, name string) error {
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Name == name {
			return nil
		}
	}
	return fmt.Errorf("%w: node %s is not in the catalog", consul.ErrDenied, name)
}

// seesReplicas looks for the replicas of switchd serve, from which releases
// come. Where there are none nobody can tell whether they would be seen.
func seesReplicas(ctx context.Context, client *consul.Client) error {
	ctx, cancel := context.WithTimeout(ctx, consul.CallTimeout)
	defer cancel()
	const action = "look for the replicas of switchd serve"
	replicas, meta, err := client.API().Health().Service(replica.Service, "", false, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", action, err)
	case meta.ResultsFilteredByACLs:
		return &consul.Error{Action: action, Kind: consul.ErrDenied}
	case len(replicas) == 0:
		return errors.New("no replica of switchd serve is registered, from which this node could get a release")
	}
	return nil
}

// makesSession makes a session and destroys it.
func makesSession(ctx context.Context, client *consul.Client) error {
	session, err := client.NewSession(ctx, consul.SessionOptions{Name: "switchd preflight", TTL: sessionTTL, LockDelay: time.Nanosecond, Delete: true})
	if err != nil {
		return err
	}
	return session.Close(ctx)
}

// writesKey asks to delete a key as it was at an index that no key ever has:
// Consul looks at the right first, and then finds nothing to do.
func writesKey(ctx context.Context, client *consul.Client, key string) error {
	err := client.Txn(ctx, "try the right to write "+key, consul.DeleteCAS(key, neverIndex))
	if errors.Is(err, consul.ErrConflict) {
		return nil
	}
	return err
}

// neverIndex is Raft's first entry, which Raft writes for itself.
const neverIndex = 1

// writesService does the same for an instance that is not there.
func writesService(ctx context.Context, client *consul.Client, node, service string) error {
	ctx, cancel := context.WithTimeout(ctx, consul.CallTimeout)
	defer cancel()
	action := "try the right to register " + service
	_, response, _, err := client.API().Txn().Txn(api.TxnOps{{Service: &api.ServiceTxnOp{
		Verb: api.ServiceDeleteCAS, Node: node,
		Service: api.AgentService{ID: ".preflight-" + service, Service: service, ModifyIndex: neverIndex},
	}}}, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return fmt.Errorf("%s: %w", action, err)
	}
	for _, e := range response.Errors {
		if strings.Contains(e.What, "Permission denied") {
			return &consul.Error{Action: action, Kind: consul.ErrDenied, Err: errors.New(e.What)}
		}
		if !strings.Contains(e.What, "index is stale") {
			return &consul.Error{Action: action, Err: errors.New(e.What)}
		}
	}
	return nil
}
