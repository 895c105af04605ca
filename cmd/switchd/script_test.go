package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/rogpeppe/go-internal/testscript"

	"switchd/consul"
	"switchd/replica"
	"switchd/testenv/devconsul"
	"switchd/testenv/script"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

func TestMain(m *testing.M) {
	script.Main(m, map[string]func(){"switchd": main})
}

// TestCommands_WithoutConsul runs the scripts in which nobody answers at
// CONSUL_HTTP_ADDR.
func TestCommands_WithoutConsul(t *testing.T) {
	t.Parallel()
	runScripts(t, "offline", func(env *testscript.Env) error {
		setup(env, "127.0.0.1:1")
		return nil
	})
}

// TestCommands_WithConsul gives each script an empty Consul of its own, from a
// few that are emptied after each.
func TestCommands_WithConsul(t *testing.T) {
	t.Parallel()
	const parallel = 2
	free := make(chan *devconsul.Lone, parallel)
	for range parallel {
		free <- devconsul.Start(t, nil)
	}
	runScripts(t, "consul", func(env *testscript.Env) error {
		server := <-free
		env.Defer(func() {
			if err := empty(server.Client().API()); err != nil {
				t.Errorf("empty Consul: %v", err)
			}
			free <- server
		})
		setup(env, server.Addr())
		env.Values[clientKey{}] = server.Client()
		return nil
	})
}

// TestCommands_WithACLs has the tokens of a manager, of one who may read only,
// of one who may do all but write to KV, and of two approvers.
func TestCommands_WithACLs(t *testing.T) {
	t.Parallel()
	const manager = "11111111-2222-3333-4444-555555555555"
	server := devconsul.Start(t, map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny", "tokens": map[string]any{"initial_management": manager},
	}})
	client, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: manager})
	if err != nil {
		t.Fatal(err)
	}
	const reads = `key_prefix "switchd/" { policy = "read" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`
	reader := makeToken(t, client.API(), "reader", reads)
	observer := makeToken(t, client.API(), "observer", reads+` session_prefix "" { policy = "write" }`)
	alice, bob := makeApprover(t, client.API(), "alice"), makeApprover(t, client.API(), "bob")
	runScripts(t, "acl", func(env *testscript.Env) error {
		setup(env, server.Addr())
		env.Setenv("MANAGER", manager)
		env.Setenv("READER", reader)
		env.Setenv("OBSERVER", observer)
		env.Setenv("ALICE", alice)
		env.Setenv("BOB", bob)
		env.Values[clientKey{}] = client
		return nil
	})
}

func makeToken(t *testing.T, client *api.Client, name, rules string) string {
	t.Helper()
	policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := client.ACL().TokenCreate(&api.ACLToken{Description: name, Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token.SecretID
}

// makeApprover makes a token that may read the environment "stage" and approve
// in its own name.
func makeApprover(t *testing.T, client *api.Client, name string) string {
	t.Helper()
	token, _, err := client.ACL().TokenCreate(&api.ACLToken{Description: name}, nil)
	if err != nil {
		t.Fatal(err)
	}
	policy, _, err := client.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: `key_prefix "switchd/stage/" { policy = "read" }
		key_prefix "switchd/stage/approvals/` + token.AccessorID + `/" { policy = "write" }`}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token.Policies = []*api.ACLTokenPolicyLink{{ID: policy.ID}}
	if _, _, err := client.ACL().TokenUpdate(token, nil); err != nil {
		t.Fatal(err)
	}
	return token.SecretID
}

type clientKey struct{}

func setup(env *testscript.Env, addr string) {
	env.Setenv("CONSUL_HTTP_ADDR", addr)
	env.Setenv("SWITCHD_ENV", "prod")
	env.Setenv("TZ", "UTC")
	env.Values[serverKey{}] = &background{}
	script.Hurry(env)
}

func runScripts(t *testing.T, dir string, setup func(*testscript.Env) error) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", dir), Setup: setup, UpdateScripts: *update,
		RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": script.Exits(mask), "kv": kv, "nodes": nodes, "replica": awaitReplica, "json": jsonValue,
			"serving": serving, "chain": chain, "tell": tell, "owner": owner, "alert": sendAlert,
		},
	})
}

// mask puts fixed words for what differs from run to run.
func mask(ts *testscript.TestScript, text string) string {
	for _, m := range []struct{ varies, word string }{
		{regexp.QuoteMeta(ts.Getenv("WORK")), "WORK"},
		{regexp.QuoteMeta(ts.Getenv("CONSUL_HTTP_ADDR")), "CONSUL"},
		{regexp.QuoteMeta(account()), "ACCOUNT"},
		{`\d{8}T\d{6}-[0-9a-f]{8}`, "ID"},
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "UUID"},
		{`\b[0-9a-f]{12}\b`, "DIGEST"},
		{`\b[0-9A-F]{16}\b`, "KEYID"},
		{`\+013\+\d{5}`, "+013+TAG"},
		{`written in [0-9.]+m?s`, "written in TIME"},
		{`since \d+[dhms](\d+[hms])?`, "since SPAN"},
		{`\d+[dhms](\d+[hms])? ago`, "SPAN ago"},
		{`(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d \(SPAN ago\)`, "MOMENT"},
		{`until (\S+ )?\S+ \(in \d+[dhms](\d+[hms])?\)`, "until TIME"},
		{`127\.0\.0\.1:\d{5}`, "ADDR"},
	} {
		text = regexp.MustCompile(m.varies).ReplaceAllString(text, m.word)
	}
	return text
}

// kv works on the keys of the script's environment in Consul:
//
//	kv put KEY FILE   # writes a file's text, with NOW and LATER as times
//	kv get KEY        # prints a value, with indents
//	kv list           # prints every key with the index of its last change
//	kv await KEY TEXT # returns when a value has a text in it
func kv(ts *testscript.TestScript, _ bool, args []string) {
	out := ts.Stdout() // even if nothing is written to it
	store := ts.Value(clientKey{}).(*consul.Client).API().KV()
	prefix := consul.Keys{Env: ts.Getenv("SWITCHD_ENV")}.Prefix()
	switch args[0] {
	case "put":
		now := time.Now().UTC()
		text := strings.NewReplacer("NOW", now.Format(time.RFC3339), "LATER", now.Add(time.Hour).Format(time.RFC3339)).Replace(ts.ReadFile(args[2]))
		_, err := store.Put(&api.KVPair{Key: prefix + args[1], Value: []byte(text)}, nil)
		ts.Check(err)
	case "get":
		pair, _, err := store.Get(prefix+args[1], nil)
		ts.Check(err)
		if pair == nil {
			ts.Fatalf("there is no %s", args[1])
		}
		_, _ = out.Write(pair.Value)
	case "await":
		awaitValue(ts, store, prefix+args[1], args[2])
	case "list":
		pairs, _, err := store.List(prefix, nil)
		ts.Check(err)
		for _, p := range pairs {
			_, _ = fmt.Fprintf(out, "%s %d\n", p.Key, p.ModifyIndex)
		}
	default:
		ts.Fatalf("kv: unknown action %q", args[0])
	}
}

func awaitValue(ts *testscript.TestScript, store *api.KV, key, text string) {
	index, end := uint64(0), time.Now().Add(time.Minute)
	for time.Now().Before(end) {
		pair, meta, err := store.Get(key, &api.QueryOptions{WaitIndex: index, WaitTime: 10 * time.Second})
		ts.Check(err)
		if pair != nil && strings.Contains(string(pair.Value), text) {
			return
		}
		index = meta.LastIndex
	}
	ts.Fatalf("%s has no %q after a minute", key, text)
}

// nodes registers a service's instances of a pool on nodes:
//
//	nodes passing|critical SERVICE POOL VERSION NODE...
func nodes(ts *testscript.TestScript, _ bool, args []string) {
	client := ts.Value(clientKey{}).(*consul.Client)
	state, service, pool, version := args[0], args[1], args[2], args[3]
	output := map[string]string{"passing": "HTTP GET: 200 OK", "critical": "connection refused"}[state]
	for _, node := range args[4:] {
		_, err := client.API().Catalog().Register(&api.CatalogRegistration{
			Node: node, Address: "127.0.0.1",
			Service: &api.AgentService{
				ID: service + "-" + pool, Service: service, Port: 8080,
				Tags: []string{pool}, Meta: map[string]string{"pool": pool, "version": version},
			},
			Checks: api.HealthChecks{
				// Not Consul's own serfHealth: once a minute it removes nodes that
				// have it and aren't in its gossip.
				{Node: node, CheckID: "alive", Name: "alive", Status: api.HealthPassing},
				{Node: node, CheckID: "health", Name: "GET /healthz", Status: state, Output: output, ServiceID: service + "-" + pool},
			},
		}, nil)
		ts.Check(err)
	}
}

// awaitReplica returns when Consul holds replicas of the environment for
// healthy:
//
//	replica [NUMBER]
func awaitReplica(ts *testscript.TestScript, _ bool, args []string) {
	want := 1
	if len(args) > 0 {
		var err error
		want, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	client := ts.Value(clientKey{}).(*consul.Client).API()
	index, end := uint64(0), time.Now().Add(time.Minute)
	for time.Now().Before(end) {
		entries, meta, err := client.Health().Service(replica.Service, "", true, &api.QueryOptions{WaitIndex: index, WaitTime: time.Minute})
		ts.Check(err)
		if len(replica.FromHealth(entries, ts.Getenv("SWITCHD_ENV"))) >= want {
			return
		}
		index = meta.LastIndex
	}
	ts.Fatalf("not enough replicas after a minute")
}

// jsonValue compares a value in the last command's standard output, which is
// JSON, by a path of names and numbers:
//
//	json PATH WANT
func jsonValue(ts *testscript.TestScript, _ bool, args []string) {
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &value))
	for part := range strings.SplitSeq(args[0], ".") {
		switch v := value.(type) {
		case map[string]any:
			value = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			ts.Check(err)
			if i >= len(v) {
				ts.Fatalf("%s: there are %d only", args[0], len(v))
			}
			value = v[i]
		default:
			ts.Fatalf("%s: %v has no %q", args[0], value, part)
		}
	}
	if got := fmt.Sprint(value); got != args[1] {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}

// empty removes what a script has left in Consul.
func empty(client *api.Client) error {
	if _, err := client.KV().DeleteTree(consul.Root, nil); err != nil {
		return err
	}
	services, err := client.Agent().Services() // Replicas that were killed.
	if err != nil {
		return err
	}
	for id := range services {
		if err := client.Agent().ServiceDeregister(id); err != nil {
			return err
		}
	}
	found, _, err := client.Catalog().Nodes(nil)
	if err != nil {
		return err
	}
	for _, node := range found {
		if node.Node == "server" {
			continue
		}
		if _, err := client.Catalog().Deregister(&api.CatalogDeregistration{Node: node.Node}, nil); err != nil {
			return err
		}
	}
	return nil
}
