package acl_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/acl"
	"switchd/consul"
	"switchd/testenv/devconsul"
)

const (
	manager = "11111111-2222-4333-8444-555555555555"
	mine    = "a0000000-0000-4000-8000-000000000001" // the accessor of each token that is tried
	theirs  = "a0000000-0000-4000-8000-000000000002"

	env     = "prod"
	node    = "server" // of the only Consul agent; others are in the catalog only
	another = "web-b2"
	page    = "../docs/SECURITY.md"
)

// granted are the grants that are tried, as the page has their columns.
func granted() []acl.Grant {
	nodes, web := []string{node}, []string{"web"}
	return []acl.Grant{
		{Role: acl.Agent, Nodes: nodes, Services: web},
		{Role: acl.Controller, Nodes: nodes},
		{Role: acl.Controller, Nodes: nodes, Mesh: web, Keys: []string{"elsewhere"}, Pull: true},
		{Role: acl.Author, Nodes: nodes},
		{Role: acl.Publisher, Nodes: nodes, Services: web},
		{Role: acl.Operator, Nodes: nodes, Services: web, Mesh: web},
		{Role: acl.Approver, Accessor: mine, Services: web},
		{Role: acl.Bypass, Accessor: mine, Services: web, Gates: []string{"owner"}},
		{Role: acl.Viewer},
		{Role: acl.Upstream},
	}
}

// thing is what rights are tried on. A try says whether it is allowed.
type thing struct {
	name        string
	read, write func(context.Context, *api.Client) error
}

// things are all kinds of what there is in a Consul, as the page has its rows.
func things() []thing {
	own, other := consul.Keys{Env: env}, consul.Keys{Env: "staging"}
	all := []thing{
		kv(own.Environment()), kv(own.Spec("web")), kv(own.Spec("shop")), kv(own.ZoneFile("0")),
		kv(own.Release("web", "2.0.0")), kv(own.Release("shop", "2.0.0")),
		kv(own.Live("web")), kv(own.Live("shop")), kv(own.Names()), kv(own.Serial()), kv(own.Answering("web")),
		kv(own.Rollout("web")), kv(own.Rollout("shop")), kv(own.History("web", "r1")), kv(own.Order("web")), kv(own.Order("shop")),
		kv(own.Staging("web", "2.0.0", node)), kv(own.Staging("web", "2.0.0", another)), kv(own.Staging("shop", "2.0.0", node)),
		kv(own.Slot("web", "blue", 0)), kv(own.Slot("shop", "blue", 0)),
		kv(own.Presence() + node), kv(own.Presence() + another),
		kv(own.Lease()), kv(own.Operators() + "s1"),
		kv(own.Consent(mine, "web", "owner")), kv(own.Consent(mine, "shop", "owner")), kv(own.Consent(theirs, "web", "owner")),
		kv(own.Bypass(mine, "web", "owner")), kv(own.Bypass(mine, "web", "security")), kv(own.Bypass(theirs, "web", "owner")),
		kv(own.Train("t1")), kv(own.Notice("web")), kv(own.Eligible("web")), kv(own.Upstream()),
		kv(consul.Root + "prod2/live/web"), kv("elsewhere"),
	}
	for _, key := range []string{
		other.Environment(), other.Release("web", "2.0.0"), other.Live("web"), other.Rollout("web"), other.Order("web"), other.Slot("web", "blue", 0),
		other.Staging("web", "2.0.0", node), other.Presence() + node, other.Lease(), other.Consent(mine, "web", "owner"), other.Bypass(mine, "web", "owner"),
	} {
		all = append(all, kv(key))
	}
	return append(all,
		session(node), session(another),
		registration("web"), registration("shop"), registration("switchd"),
		resolver("web"), resolver("shop"), intention("web"),
		nodes(), consulAgent(), tokens(),
	)
}

// kv tries a key in each way in which it can be written.
func kv(key string) thing {
	pair := &api.KVPair{Key: key, Value: []byte("tried")}
	return thing{
		name: "`" + strings.TrimPrefix(strings.ReplaceAll(strings.ReplaceAll(key, mine, "MINE"), theirs, "THEIRS"), consul.Root) + "`",
		read: func(ctx context.Context, c *api.Client) error {
			_, _, err := c.KV().Get(key, reading(ctx))
			return err
		},
		write: func(ctx context.Context, c *api.Client) error {
			_, putErr := c.KV().Put(pair, writing(ctx))
			txnErr := transact(ctx, c, &api.TxnOp{KV: &api.KVTxnOp{Verb: api.KVSet, Key: key, Value: pair.Value}})
			_, deleteErr := c.KV().Delete(key, writing(ctx))
			return alike(putErr, txnErr, deleteErr)
		},
	}
}

func session(on string) thing {
	return thing{
		name: "session on `" + on + "`",
		read: func(ctx context.Context, c *api.Client) error {
			return seen(c.Session().Node(on, reading(ctx)))
		},
		write: func(ctx context.Context, c *api.Client) error {
			_, _, err := c.Session().CreateNoChecks(&api.SessionEntry{Node: on, TTL: "10s"}, writing(ctx))
			return err
		},
	}
}

// registration tries to register a service where it is not: on another node,
// past that node's Consul agent.
func registration(service string) thing {
	return thing{
		name: "service `" + service + "`",
		read: func(ctx context.Context, c *api.Client) error {
			return seen(c.Health().Service(service, "", false, reading(ctx)))
		},
		write: func(ctx context.Context, c *api.Client) error {
			_, err := c.Catalog().Register(&api.CatalogRegistration{
				Node: another, Address: "192.0.2.2", Service: &api.AgentService{ID: service, Service: service, Port: 80},
			}, writing(ctx))
			return alike(err, c.Agent().ServiceRegisterOpts(&api.AgentServiceRegistration{ID: "tried-" + service, Name: service}, api.ServiceRegisterOpts{}.WithContext(ctx)))
		},
	}
}

func resolver(service string) thing {
	return thing{
		name: "service-resolver of `" + service + "`",
		read: func(ctx context.Context, c *api.Client) error {
			_, _, err := c.ConfigEntries().Get(api.ServiceResolver, service, reading(ctx))
			return err
		},
		write: func(ctx context.Context, c *api.Client) error {
			_, _, err := c.ConfigEntries().Set(&api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: service}, writing(ctx))
			return err
		},
	}
}

func intention(service string) thing {
	return thing{
		name: "intentions of `" + service + "`",
		write: func(ctx context.Context, c *api.Client) error {
			_, err := c.Connect().IntentionUpsert(&api.Intention{SourceName: "*", DestinationName: service, Action: api.IntentionActionDeny}, writing(ctx))
			return err
		},
	}
}

func nodes() thing {
	return thing{
		name: "nodes",
		read: func(ctx context.Context, c *api.Client) error {
			return seen(c.Catalog().Nodes(reading(ctx)))
		},
		write: func(ctx context.Context, c *api.Client) error {
			_, err := c.Catalog().Register(&api.CatalogRegistration{Node: "invented", Address: "192.0.2.9"}, writing(ctx))
			return err
		},
	}
}

func consulAgent() thing {
	return thing{
		name: "Consul's agent of `" + node + "`",
		read: func(ctx context.Context, c *api.Client) error {
			_, err := c.Raw().Query("/v1/agent/self", new(map[string]any), reading(ctx))
			return err
		},
		write: func(ctx context.Context, c *api.Client) error {
			_, err := c.Raw().Write("/v1/agent/reload", nil, nil, writing(ctx))
			return err
		},
	}
}

func tokens() thing {
	return thing{
		name: "ACL tokens and policies",
		read: func(ctx context.Context, c *api.Client) error {
			_, _, err := c.ACL().TokenList(reading(ctx))
			return err
		},
		write: func(ctx context.Context, c *api.Client) error {
			_, _, err := c.ACL().PolicyCreate(&api.ACLPolicy{Name: "tried", Rules: `operator = "write"`}, writing(ctx))
			return err
		},
	}
}

func reading(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func writing(ctx context.Context) *api.WriteOptions { return (&api.WriteOptions{}).WithContext(ctx) }

var errDenied = errors.New("denied")

// denied tells a refusal from any other answer.
func denied(err error) bool {
	status, ok := errors.AsType[api.StatusError](err)
	return errors.Is(err, errDenied) || ok && status.Code == http.StatusForbidden
}

// seen takes an answer from which everything was left out for a refusal.
func seen[T any](found []T, _ *api.QueryMeta, err error) error {
	if err == nil && len(found) == 0 {
		return errDenied
	}
	return err
}

func transact(ctx context.Context, c *api.Client, op *api.TxnOp) error {
	ok, response, _, err := c.Txn().Txn(api.TxnOps{op}, reading(ctx))
	if err == nil && !ok {
		if strings.Contains(response.Errors[0].What, "Permission denied") {
			return errDenied
		}
		return errors.New(response.Errors[0].What)
	}
	return err
}

// alike is what came of several ways to do the same, of which all or none must
// be allowed.
func alike(errs ...error) error {
	for _, err := range errs {
		if denied(err) != denied(errs[0]) {
			return fmt.Errorf("one way is closed, another is not: %v", errs)
		}
	}
	return errors.Join(errs...)
}

// TestRights_AreThoseOfThePage tries each role's policy on each thing that there
// is, on a Consul that denies what isn't granted, and compares what was allowed
// with the table that operators read.
func TestRights_AreThoseOfThePage(t *testing.T) {
	t.Parallel()
	server := devconsul.Start(t, map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": manager, "agent": manager},
	}})
	as := func(token string) *api.Client {
		client, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: token})
		if err != nil {
			t.Fatal(err)
		}
		return client.API()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	furnish(ctx, t, as(manager))

	heading, rule := []string{"what"}, []string{"---"}
	rows := make([][]string, len(things()))
	for i, what := range things() {
		rows[i] = []string{what.name}
	}
	for _, g := range granted() {
		title := string(g.Role)
		if g.Pull {
			title += " with all"
		}
		heading, rule = append(heading, title), append(rule, "---")
		g.Env = env
		client := as(grant(ctx, t, as(manager), g))
		for i, what := range things() {
			rows[i] = append(rows[i], try(ctx, t, client, g.Role, what))
		}
	}
	var table strings.Builder
	for _, row := range slices.Concat([][]string{heading, rule}, rows) {
		fmt.Fprintln(&table, "| "+strings.Join(row, " | ")+" |")
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), table.String()) {
		t.Errorf("%s does not have this table:\n%s", page, table.String())
	}
}

// furnish makes what can't be read where it isn't.
func furnish(ctx context.Context, t *testing.T, c *api.Client) {
	t.Helper()
	for _, service := range []string{"web", "shop", "switchd"} {
		_, err := c.Catalog().Register(&api.CatalogRegistration{
			Node: another, Address: "192.0.2.2", Service: &api.AgentService{ID: service, Service: service, Port: 80},
		}, writing(ctx))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, on := range []string{node, another} {
		if _, _, err := c.Session().CreateNoChecks(&api.SessionEntry{Node: on}, writing(ctx)); err != nil {
			t.Fatal(err)
		}
	}
}

// grant makes a token with a grant's policy.
func grant(ctx context.Context, t *testing.T, c *api.Client, g acl.Grant) string {
	t.Helper()
	policy, err := acl.For(g)
	if err != nil {
		t.Fatal(err)
	}
	made, _, err := c.ACL().PolicyCreate(&api.ACLPolicy{Name: strings.ToLower(rand.Text()), Rules: policy.String()}, writing(ctx))
	if err != nil {
		t.Fatalf("%v; the policy is\n%s", err, policy)
	}
	token, _, err := c.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: made.ID}}}, writing(ctx))
	if err != nil {
		t.Fatal(err)
	}
	return token.SecretID
}

// try tells what a role may do with a thing, as the page says it.
func try(ctx context.Context, t *testing.T, c *api.Client, role acl.Role, what thing) string {
	t.Helper()
	allowed := func(do func(context.Context, *api.Client) error) bool {
		if do == nil {
			return false
		}
		err := do(ctx, c)
		status, ok := errors.AsType[api.StatusError](err)
		if err != nil && !denied(err) && (!ok || status.Code != http.StatusNotFound) {
			t.Errorf("%s, %s: %v", role, what.name, err)
		}
		return !denied(err)
	}
	// First what is read: what was written can be gone.
	read := allowed(what.read)
	switch write := allowed(what.write); {
	case write && (read || what.read == nil):
		return "write"
	case write:
		return "write only"
	case read:
		return "read"
	default:
		return ""
	}
}
