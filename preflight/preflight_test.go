package preflight_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"switchd/acl"
	"switchd/consul"
	"switchd/preflight"
	"switchd/testenv/devconsul"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// find returns the only finding of a name.
func find(t *testing.T, findings []preflight.Finding, what string) preflight.Finding {
	t.Helper()
	i := slices.IndexFunc(findings, func(f preflight.Finding) bool { return f.What == what })
	if i < 0 {
		t.Fatalf("there is no finding %q in %+v", what, findings)
	}
	return findings[i]
}

func wantLevel(t *testing.T, f preflight.Finding, level preflight.Level, parts ...string) {
	t.Helper()
	text := f.What + ": " + f.Have + "; " + f.Need + "; " + f.Fix
	if f.Level != level {
		t.Errorf("%q: level is %s, want %s", text, f.Level, level)
	}
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}

// mount mounts a tmpfs for the test, which needs root.
func mount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("preflight", dir, "tmpfs", flags, "size=1m"); err != nil {
		t.Fatalf("mount a tmpfs, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestCheck_FindsThisMachineFit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "not", "there", "yet")
	findings := preflight.Check(t.Context(), preflight.Needs{Data: data, Room: 1, OpenFiles: 10, Users: []string{"root"}})
	for what, part := range map[string]string{
		"data directory": "can be made in " + dir, "disk room": "free for " + data, "open files": "this process", "user root": "exists", "programs of releases": "run",
	} {
		wantLevel(t, find(t, findings, what), preflight.OK, part)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestCheck_LooksAtTheDisk(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	mount(t, data, unix.MS_NOEXEC)
	for _, folder := range []string{"logs", "releases"} {
		if err := os.Mkdir(filepath.Join(data, folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	needs := preflight.Needs{Data: data, Room: 2 << 20}
	findings := preflight.Check(t.Context(), needs)
	wantLevel(t, find(t, findings, "data directory"), preflight.OK)
	wantLevel(t, find(t, findings, "one file system"), preflight.OK)
	wantLevel(t, find(t, findings, "disk room"), preflight.Missing, "1024 KiB free", "2048 KiB")
	wantLevel(t, find(t, findings, "programs of releases"), preflight.Missing, "noexec")

	releases := filepath.Join(data, "releases")
	mount(t, releases, 0)
	wantLevel(t, find(t, preflight.Check(t.Context(), needs), "one file system"), preflight.Missing, "umount "+releases)
	if err := unix.Mount("", data, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantLevel(t, find(t, preflight.Check(t.Context(), needs), "data directory"), preflight.Missing, "read-only", "StateDirectory=switchd-agent")
}

func TestCheck_RefusesAFileAsDataDirectory(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{file, file + "/data"} {
		findings := preflight.Check(t.Context(), preflight.Needs{Data: data})
		wantLevel(t, find(t, findings, "data directory"), preflight.Missing, file, "--data")
	}
}

func TestCheck_TriesPorts(t *testing.T) {
	t.Parallel()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := listener.Addr().(*net.TCPAddr).AddrPort()
	foreign := netip.MustParseAddrPort("192.0.2.1:80") // RFC 5737: nobody's
	check := func() []preflight.Finding {
		return preflight.Check(t.Context(), preflight.Needs{Listen: []netip.AddrPort{taken, foreign}})
	}
	wantLevel(t, find(t, check(), "port "+taken.String()), preflight.Missing, "something listens there", "ss -Hltnp")
	wantLevel(t, find(t, check(), "port 192.0.2.1:80"), preflight.Missing, "no such address", "ip -brief address")
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	wantLevel(t, find(t, check(), "port "+taken.String()), preflight.OK)
}

func TestCheck_SaysThatConsulIsAway(t *testing.T) {
	t.Parallel()
	client, err := consul.NewClient(consul.Flags{HTTPAddr: "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	findings := preflight.Check(t.Context(), preflight.Needs{Consul: client, Env: "prod", Services: []string{"web"}})
	wantLevel(t, find(t, findings, "Consul"), preflight.Missing, "127.0.0.1:1", "systemctl start consul", "CONSUL_HTTP_ADDR")
	if i := slices.IndexFunc(findings, func(f preflight.Finding) bool { return strings.HasPrefix(f.What, "Consul's") }); i >= 0 {
		t.Errorf("of a Consul that is away it says %+v", findings[i])
	}
}

// rules are those of an agent on the node "server".
func rules(t *testing.T) []string {
	t.Helper()
	policy, err := acl.For(acl.Grant{Role: acl.Agent, Env: "prod", Nodes: []string{"server"}, Services: []string{"web"}})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, rule := range policy.Rules {
		out = append(out, rule.String())
	}
	return out
}

func TestCheck_TriesEachRightOfAnAgent(t *testing.T) {
	t.Parallel()
	const manager = "3f2b1c9a-5d7e-4a8b-9c6d-0e1f2a3b4c5d"
	server := devconsul.Start(t, map[string]any{"acl": map[string]any{
		"enabled": true, "default_policy": "deny",
		"tokens": map[string]string{"initial_management": manager, "agent": manager},
	}})
	client := func(token string) *consul.Client {
		c, err := consul.NewClient(consul.Flags{HTTPAddr: server.Addr(), Token: token})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	as := client(manager)
	write := (&api.WriteOptions{}).WithContext(t.Context())
	policy, _, err := as.API().ACL().PolicyCreate(&api.ACLPolicy{Name: "agent"}, write)
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := as.API().ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLTokenPolicyLink{{ID: policy.ID}}}, write)
	if err != nil {
		t.Fatal(err)
	}
	agent := client(token.SecretID)
	// What the rights are tried on must come out of it untouched.
	keys := consul.Keys{Env: "prod"}
	own := keys.Prefix() + "agents/server"
	if err := as.Txn(t.Context(), "take the node's name", consul.CAS(own, []byte("mine"), 0)); err != nil {
		t.Fatal(err)
	}

	// check gives the rights that are missing when a policy has these rules.
	check := func(rules []string) []preflight.Finding {
		policy.Rules = strings.Join(rules, "\n")
		if _, _, err := as.API().ACL().PolicyUpdate(policy, write); err != nil {
			t.Fatal(err)
		}
		var missing []preflight.Finding
		for _, f := range preflight.Check(t.Context(), preflight.Needs{Consul: agent, Env: "prod", Node: "server", Services: []string{"web"}}) {
			if strings.HasPrefix(f.What, "Consul") && f.Level != preflight.OK {
				missing = append(missing, f)
			}
		}
		return missing
	}
	all := rules(t)
	missing := check(all)
	if len(missing) != 1 {
		t.Fatalf("with all rights these are missing: %+v", missing)
	}
	wantLevel(t, missing[0], preflight.Warning, "no replica of switchd serve is registered")
	if err := as.API().Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "switchd", ID: "switchd-ns1"}); err != nil {
		t.Fatal(err)
	}
	if missing := check(all); len(missing) > 0 {
		t.Fatalf("with all rights these are missing: %+v", missing)
	}
	for i, rule := range all {
		missing := check(slices.Delete(slices.Clone(all), i, i+1))
		if len(missing) != 1 {
			t.Errorf("without %s these are missing: %+v", rule, missing)
			continue
		}
		wantLevel(t, missing[0], preflight.Missing, "denied", "add to the policy of the agent's token: "+rule)
	}
	if missing := check(nil); len(missing) != 1 || missing[0].Level != preflight.Missing {
		t.Errorf("without any right: %+v", missing)
	}

	entry, err := as.Get(t.Context(), own)
	if err != nil || string(entry.Value) != "mine" {
		t.Errorf("the key is %q, %v", entry.Value, err)
	}
	sessions, _, err := as.API().Session().List((&api.QueryOptions{RequireConsistent: true}).WithContext(t.Context()))
	if err != nil || len(sessions) > 0 {
		t.Errorf("sessions are left: %v, %v", sessions, err)
	}
	services, _, err := as.API().Catalog().Service("web", "", (&api.QueryOptions{RequireConsistent: true}).WithContext(t.Context()))
	if err != nil || len(services) > 0 {
		t.Errorf("services are left: %v, %v", services, err)
	}
}
