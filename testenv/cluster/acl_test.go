package cluster_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/rollout"
	"switchd/testenv/cluster"
)

// The statuses with which commands end that may not, or are used wrongly.
const (
	usage   = 2
	denied  = 5
	nothing = 9
)

// TestRights tells the whole story on a Consul that denies whatever was not
// granted, each process and person with just the policies that `switchd acl`
// prints for their roles, and shows that nobody can do somebody else's part.
func TestRights(t *testing.T) {
	t.Parallel()
	s := startRights(t)
	s.twoApprove("1.0.0")
	s.twoApprove("2.0.0")
	s.followed("green")

	s.must("operator", "rollback", "web")
	s.followed("blue")

	s.onlyDutyGoesAround("3.0.0")
	s.followed("green")

	s.alertHalts("4.0.0")
	s.must("operator", "resume", "web")
	s.must("operator", "halt", "web", "--why", "to be looked at")
	s.must("operator", "rollback", "web")

	s.prunes()
	s.must("publisher", "releases", "prune", "web", "--keep", "1")
	s.everybodyLooks()
	s.nobodyDoesAnothersPart()
	s.twins()
	s.nothingWasDenied()
}

// story is the test's run.
type story struct {
	*killing

	token string // of who tells of alerts
}

func startRights(t *testing.T) *story {
	t.Helper()
	told := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(told.Close)
	token := strings.Repeat("alert", 5)
	var flags []string
	for flag, text := range map[string]string{
		"--alerts-token-file": token,
		"--notify-file":       "web-team = generic+" + told.URL + "/?template=json\n",
	} {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		flags = append(flags, flag, file)
	}
	c := cluster.ForTest(t, cluster.Options{Nodes: 2, Replicas: 2, Prometheus: true, ACLs: true, Serve: flags})
	l, err := c.Ledger()
	if err != nil {
		t.Fatal(err)
	}
	s := &story{killing: &killing{T: t, cluster: c, ledger: l, service: cluster.DefaultService()}, token: token}
	s.service.Quorum, s.service.Bake, s.service.Analysis = 1, 500*time.Millisecond, false
	s.service.Extra = `
  approval "owner" { min_approvers = 2 }
  switch "resolver" {}
`
	if err := c.Apply(t.Context(), s.service); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.0.0", "2.0.0", "3.0.0", "4.0.0"} {
		if err := c.Publish(t.Context(), cluster.App{Version: version}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// must has a person do what they may.
func (s *story) must(person string, args ...string) string {
	s.Helper()
	out, err := s.cluster.As(s.Context(), person, args...)
	if err != nil {
		s.Fatalf("%s: %v", person, err)
	}
	return out
}

// mustNot has a person try what they may not.
func (s *story) mustNot(person string, args ...string) {
	s.Helper()
	_, err := s.cluster.As(s.Context(), person, args...)
	if cluster.Status(err) != denied || !strings.Contains(err.Error(), "lacks permission") {
		s.Errorf("%s did %v, want exit status %d and the right that lacks: %v", person, args, denied, err)
	}
}

// twoApprove rolls a version out that two people approve, one of them twice.
func (s *story) twoApprove(version string) {
	s.Helper()
	s.promote(version)
	s.must("alice", "approve", "web", "--gate", "owner")
	if _, err := s.cluster.As(s.Context(), "alice", "approve", "web", "--gate", "owner"); cluster.Status(err) != nothing {
		s.Errorf("alice approved twice: got %v, want exit status %d", err, nothing)
	}
	s.await(version, func(r *rollout.Record) bool { return r.Phase == rollout.Switching })
	if out := s.must("bob", "approve", "web", "--gate", "owner"); !strings.Contains(out, "2 of 2") {
		s.Errorf("bob was told %q, and not that two have approved", out)
	}
	s.await(version, func(r *rollout.Record) bool { return r.Phase == rollout.Done })
	record, err := s.ledger.Record(s.Context(), "web")
	if err != nil {
		s.Fatal(err)
	}
	i := slices.IndexFunc(record.Gates, func(g rollout.GateState) bool { return g.Name == "owner" && g.Outcome == rollout.GatePassed })
	if i < 0 || len(record.Gates[i].By) != 2 {
		s.Errorf("%s went out, and its gates were %+v", version, record.Gates)
	}
}

// onlyDutyGoesAround rolls a version out that nobody approves.
func (s *story) onlyDutyGoesAround(version string) {
	s.Helper()
	around := []string{"promote", "--detach", "web", version, "--bypass", "owner", "--why", "nobody is there"}
	s.mustNot("operator", around...)
	s.must("duty", around...)
	s.await(version, func(r *rollout.Record) bool { return r.Phase == rollout.Done })
}

// alertHalts has a rollout halted by an alert, while it waits for people. It is
// the driver who begins it, for a train.
func (s *story) alertHalts(version string) {
	s.Helper()
	s.must("operator", "promote", "--detach", "web="+version)
	s.await(version, func(r *rollout.Record) bool { return r.Phase == rollout.Switching })
	if err := s.cluster.Replicas[0].Alert(s.Context(), s.token, "firing", "web", time.Now().UTC()); err != nil {
		s.Fatal(err)
	}
	s.await(version, func(r *rollout.Record) bool { return r.Phase == rollout.Halted })
}

// prunes adds a service and takes it away again.
func (s *story) prunes() {
	s.Helper()
	inputs := filepath.Join(s.cluster.Dir, "inputs")
	file := filepath.Join(inputs, "shop.hcl")
	if err := os.WriteFile(file, []byte(`service "shop" {
  port = 9999
  pool "blue"  { nodes = ["shop-b1"] }
  pool "green" { nodes = ["shop-g1"] }
  runtime "process" { command = ["./shop"] }
  roll { quorum = 0 }
  switch "dns" {}
}
`), 0o600); err != nil {
		s.Fatal(err)
	}
	s.must("author", "apply", inputs)
	if err := os.Remove(file); err != nil {
		s.Fatal(err)
	}
	// That there is no rollout is for Consul's ACL as good as a write; that there
	// was one is not.
	s.mustNot("author", "apply", "--prune", inputs)
	record := []byte(`{"id":"shop-1","service":"shop","version":"1","phase":"failed"}`)
	if err := s.ledger.Consul.Txn(s.Context(), "write a rollout", consul.CAS(s.ledger.Keys.Rollout("shop"), record, 0)); err != nil {
		s.Fatal(err)
	}
	s.must("author", "apply", "--prune", inputs)
}

// followed makes sure that the mesh leads to a pool.
func (s *story) followed(pool string) {
	s.Helper()
	entry, err := s.ledger.Consul.ConfigEntry(s.Context(), api.ServiceResolver, "web")
	if err != nil {
		s.Fatal(err)
	}
	if resolver, ok := entry.(*api.ServiceResolverConfigEntry); !ok || resolver.DefaultSubset != pool {
		s.Errorf("the resolver is %+v, want %s", entry, pool)
	}
}

// everybodyLooks has the viewer see what there is.
func (s *story) everybodyLooks() {
	s.Helper()
	for _, args := range [][]string{{"status"}, {"status", "web"}, {"history", "web"}, {"history", "web", "1"}, {"explain", "web"}, {"releases"}} {
		s.must("viewer", args...)
	}
}

// nobodyDoesAnothersPart has everybody try what is for others.
func (s *story) nobodyDoesAnothersPart() {
	s.Helper()
	before, err := s.ledger.Record(s.Context(), "web")
	if err != nil {
		s.Fatal(err)
	}
	inputs := filepath.Join(s.cluster.Dir, "inputs")
	file := filepath.Join(inputs, "web.hcl")
	text, err := os.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(text, []byte("min_approvers = 2"), []byte("min_approvers = 1"), 1), 0o600); err != nil {
		s.Fatal(err)
	}
	release := filepath.Join(s.cluster.Dir, "releases", "4.0.0")
	for _, command := range []struct {
		args []string
		may  []string
	}{
		{[]string{"promote", "--detach", "web", "4.0.0"}, []string{"operator", "duty"}},
		{[]string{"apply", inputs}, []string{"author"}},
		{[]string{"publish", "web", "5.0.0", release}, []string{"publisher"}},
	} {
		for _, p := range cluster.People() {
			if !slices.Contains(command.may, p.Name) {
				s.mustNot(p.Name, command.args...)
			}
		}
	}
	after, err := s.ledger.Record(s.Context(), "web")
	if err != nil {
		s.Fatal(err)
	}
	if after.Index != before.Index {
		s.Errorf("somebody changed something: %+v", after)
	}
	s.promote("4.0.0")
	for _, person := range []string{"viewer", "operator", "author", "publisher"} {
		s.mustNot(person, "approve", "web", "--gate", "owner")
	}
	for _, person := range []string{"viewer", "alice", "author", "publisher"} {
		s.mustNot(person, "halt", "web")
		s.mustNot(person, "rollback", "web")
	}
	s.must("operator", "rollback", "web")
}

// nothingWasDenied makes sure that nobody went without: what a replica or an agent
// may not do, it logs, and goes on as well as it can. It is the driver who takes
// consents of ended rollouts away, and notes what was told.
func (s *story) nothingWasDenied() {
	s.Helper()
	for _, pattern := range []string{"serve-*.log", "agent-*.log"} {
		logs, err := filepath.Glob(filepath.Join(s.cluster.Dir, "logs", pattern))
		if err != nil || len(logs) == 0 {
			s.Fatalf("there are no logs %s: %v", pattern, err)
		}
		for _, file := range logs {
			text, err := os.ReadFile(file)
			if err != nil {
				s.Fatal(err)
			}
			for line := range strings.Lines(string(text)) {
				if strings.Contains(strings.ToLower(line), "permission denied") {
					s.Errorf("%s: %s", filepath.Base(file), line)
				}
			}
		}
	}
	s.until("the end of the consents", 10*time.Second, func() string {
		left, err := s.ledger.Consul.List(s.Context(), s.ledger.Keys.Consents())
		if err != nil || len(left) > 0 {
			return fmt.Sprintf("%d are left (%v)", len(left), err)
		}
		return ""
	})
	if notice, err := s.ledger.Consul.Get(s.Context(), s.ledger.Keys.Notice("web")); err != nil || notice.Index == 0 {
		s.Errorf("nothing is noted of what was told: %v", err)
	}
}

// twins has a second replica take the name of one.
func (s *story) twins() {
	s.Helper()
	_, err := s.cluster.Switchd(s.Context(), "serve", "--name", "ns1", "--data", s.TempDir(), "--http-listen", "127.0.0.1:0",
		"--dns-listen", "127.0.0.1:0", "--trusted-key", s.cluster.Key+".pub")
	if cluster.Status(err) != usage || !strings.Contains(err.Error(), "another --name") {
		s.Errorf("a second replica of one name: got %v, want exit status %d", err, usage)
	}
}
