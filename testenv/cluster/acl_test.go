package cluster_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"switchd/rollout"
	"switchd/spec"
	"switchd/testenv/cluster"
)

// policies reads the rights of each role from the page that tells operators to
// grant them, so that the page is what is tested.
func policies(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Consul's rights")
	section, _, _ = strings.Cut(section, "\n## ")
	found := make(map[string]string)
	role := ""
	heading := regexp.MustCompile(`^    # (?:switchd )?(\w+)`)
	for line := range strings.Lines(section) {
		if m := heading.FindStringSubmatch(line); m != nil {
			role = m[1]
		} else if strings.HasPrefix(line, "    ") && role != "" {
			line = strings.ReplaceAll(line, "switchd/prod/", "switchd/"+cluster.Env+"/")
			found[role] += strings.ReplaceAll(line, "web-b1", "{{node}}")
		}
	}
	for _, role := range []string{cluster.RoleAgent, cluster.RoleServe, cluster.RoleOperator, cluster.RoleViewer} {
		if found[role] == "" {
			t.Fatalf("docs/OPERATING.md has no rights for %s", role)
		}
	}
	return found
}

// TestRights runs the main job on a Consul that denies whatever was not
// granted, with the rights that the documentation names, and shows that a
// viewer can look and change nothing.
func TestRights(t *testing.T) {
	c := cluster.ForTest(t, cluster.Options{Nodes: 2, Replicas: 2, Prometheus: true, Policies: policies(t)})
	l, err := c.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	k := &killing{T: t, cluster: c, ledger: l, service: cluster.DefaultService()}
	k.service.Quorum, k.service.Bake, k.service.Analysis, k.service.Weights = 1, time.Second, false, nil
	k.service.AfterBake = spec.AfterBakeUpgrade
	if err := c.Apply(t.Context(), k.service); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.0.0", "2.0.0"} {
		k.publish(version)
		k.first(version)
	}
	viewer := func(args ...string) error {
		command := c.Command(t.Context(), args...)
		command.Env = append(command.Env, "CONSUL_HTTP_TOKEN="+c.Token(cluster.RoleViewer))
		out, err := command.CombinedOutput()
		if err != nil {
			return &cluster.CommandError{Args: args, Status: command.ProcessState.ExitCode(), Stderr: string(out), Err: err}
		}
		return nil
	}
	for _, args := range [][]string{{"status", "web"}, {"history", "web"}} {
		if err := viewer(args...); err != nil {
			t.Errorf("a viewer can't look: %v", err)
		}
	}
	const denied = 5
	for _, args := range [][]string{{"promote", "web", "1.0.0"}, {"rollback", "web"}} {
		if err := viewer(args...); cluster.Status(err) != denied {
			t.Errorf("a viewer's %v: got %v, want exit status %d", args, err, denied)
		}
	}
	record, err := l.Record(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if record.Phase != rollout.Done || record.Version != "2.0.0" {
		t.Errorf("a viewer changed something: %+v", record)
	}
	const usage = 2
	if _, err := c.Switchd(t.Context(), "serve", "--name", "ns1", "--data", t.TempDir(), "--http-listen", "127.0.0.1:0",
		"--dns-listen", "127.0.0.1:0", "--trusted-key", c.Key+".pub"); cluster.Status(err) != usage || !strings.Contains(err.Error(), "another --name") {
		t.Errorf("a second replica of one name: got %v, want exit status %d", err, usage)
	}
	if err := c.Publish(t.Context(), cluster.App{Version: "3.0.0"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Switchd(t.Context(), "rollback", "web"); err == nil {
		t.Error("rolled back to a version that both pools have left")
	}
}
