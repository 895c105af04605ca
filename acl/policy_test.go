package acl_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsimple"
	"pgregory.net/rapid"

	"switchd/acl"
	"switchd/consul"
)

// parsed are the rules that a policy's text comes to.
func parsed(t rapid.TB, text string) []string {
	t.Helper()
	type block struct {
		Name   string `hcl:"name,label"`
		Policy string `hcl:"policy"`
	}
	var file struct {
		Keys     []block `hcl:"key,block"`
		Prefixes []block `hcl:"key_prefix,block"`
		Session  []block `hcl:"session,block"`
		Sessions []block `hcl:"session_prefix,block"`
		Service  []block `hcl:"service,block"`
		Services []block `hcl:"service_prefix,block"`
		Nodes    []block `hcl:"node_prefix,block"`
		Agent    []block `hcl:"agent,block"`
		Agents   []block `hcl:"agent_prefix,block"`
	}
	if err := hclsimple.Decode("policy.hcl", []byte(text), nil, &file); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var rules []string
	for resource, blocks := range map[string][]block{
		"key": file.Keys, "key_prefix": file.Prefixes, "session": file.Session, "session_prefix": file.Sessions,
		"service": file.Service, "service_prefix": file.Services, "node_prefix": file.Nodes, "agent": file.Agent, "agent_prefix": file.Agents,
	} {
		for _, b := range blocks {
			rules = append(rules, fmt.Sprint(acl.Rule{Resource: resource, Name: b.Name, Access: b.Policy}))
		}
	}
	slices.Sort(rules)
	return rules
}

// wantText holds a policy's text to its rules.
func wantText(t rapid.TB, p acl.Policy) {
	t.Helper()
	want := make([]string, 0, len(p.Rules))
	for _, r := range p.Rules {
		want = append(want, r.String())
		if !strings.HasSuffix(r.Why, ".") || strings.Contains(r.Why, "\n") {
			t.Errorf("%s has the reason %q", r, r.Why)
		}
	}
	slices.Sort(want)
	if got := parsed(t, p.String()); !slices.Equal(got, want) {
		t.Errorf("the text\n%s\ncomes to\n%s", p, strings.Join(got, "\n"))
	}
}

// TestFor_StaysInItsEnvironment: whatever is granted, nothing can be reached of
// another environment, whose name may begin with the same letters, and every
// write is of a folder or key and never of everything.
func TestFor_StaysInItsEnvironment(t *testing.T) {
	t.Parallel()
	names := rapid.StringMatching(`[a-z0-9][a-z0-9._-]{0,8}`)
	some := func(t *rapid.T, what string, least int) []string {
		return rapid.SliceOfN(names, least, 3).Draw(t, what)
	}
	rapid.Check(t, func(t *rapid.T) {
		g := acl.Grant{Role: rapid.SampledFrom(acl.Roles()).Draw(t, "role"), Env: names.Draw(t, "env")}
		switch g.Role {
		case acl.Agent:
			g.Nodes, g.Services = []string{names.Draw(t, "node")}, some(t, "services", 0)
		case acl.Controller:
			g.Nodes, g.Mesh, g.Pull = some(t, "nodes", 0), some(t, "mesh", 0), rapid.Bool().Draw(t, "pull")
		case acl.Author:
			g.Nodes = some(t, "nodes", 0)
		case acl.Publisher, acl.Operator:
			g.Nodes, g.Services = some(t, "nodes", 0), some(t, "services", 0)
		case acl.Approver, acl.Bypass:
			g.Accessor, g.Services = mine, some(t, "services", 1)
			g.Gates = some(t, "gates", 0)
		case acl.Viewer, acl.Upstream:
		}
		p, err := acl.For(g)
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, p)
		own := consul.Keys{Env: g.Env}
		for _, r := range p.Rules {
			isKey := strings.HasPrefix(r.Resource, "key")
			switch {
			case isKey && !strings.HasPrefix(r.Name, own.Prefix()):
				t.Errorf("%s is of another environment", r)
			case isKey && r.Access == acl.Write && r.Name == own.Prefix():
				t.Errorf("%s is everything", r)
			case r.Name == "" && r.Access == acl.Write && r.Resource != "session_prefix":
				t.Errorf("%s is everything", r)
			}
			if (g.Role == acl.Viewer || g.Role == acl.Upstream) && r.Access != acl.Read {
				t.Errorf("a %s has %s", g.Role, r)
			}
		}
	})
}

// FuzzFor: a name either makes no policy, or one in which it is only a name.
func FuzzFor(f *testing.F) {
	for _, name := range []string{"web", `web" { policy = "write" } key_prefix "`, "web/../shop", "${node}", "a\nkey_prefix \"\" {}", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, g := range []acl.Grant{
			{Role: acl.Viewer, Env: name},
			{Role: acl.Agent, Env: env, Nodes: []string{name}, Services: []string{"web"}},
			{Role: acl.Operator, Env: env, Services: []string{name}, Mesh: []string{name}},
			{Role: acl.Controller, Env: env, Keys: []string{name}},
			{Role: acl.Approver, Env: env, Accessor: mine, Services: []string{"web"}, Gates: []string{name}},
			{Role: acl.Bypass, Env: env, Accessor: name},
		} {
			if p, err := acl.For(g); err == nil {
				wantText(t, p)
			}
		}
	})
}

func TestFor_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		grant acl.Grant
		want  string
	}{
		{acl.Grant{Role: "root", Env: env}, `there is no role "root". The roles are agent, controller, author, publisher, operator, approver, bypass, viewer, upstream`},
		{acl.Grant{Role: "opertor", Env: env}, `there is no role "opertor". Did you mean "operator"? The roles are agent,`},
		{acl.Grant{Role: acl.Viewer}, "the role viewer needs --env"},
		{acl.Grant{Role: acl.Agent, Env: env}, "the role agent needs --node"},
		{acl.Grant{Role: acl.Agent, Env: env, Nodes: []string{"a", "b"}}, "each node's agent has a policy of its own, got --node a,b"},
		{acl.Grant{Role: acl.Approver, Env: env}, "the role approver needs --accessor"},
		{acl.Grant{Role: acl.Approver, Env: env, Accessor: "alice"}, `--accessor: no rule can be made for "alice"`},
		{acl.Grant{Role: acl.Bypass, Env: env, Accessor: mine, Gates: []string{"owner"}}, "--gate needs --service: gates are a service's"},
		{acl.Grant{Role: acl.Viewer, Env: env, Services: []string{"web"}}, "--service means nothing to the role viewer, it is for agent, publisher, operator, approver, bypass"},
		{acl.Grant{Role: acl.Operator, Env: env, Pull: true}, "--pull means nothing to the role operator, it is for controller"},
		{acl.Grant{Role: acl.Controller, Env: "prod/"}, `--env: no rule can be made for "prod/"`},
	} {
		if _, err := acl.For(test.grant); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %s…", test.grant, err, test.want)
		}
	}
}
