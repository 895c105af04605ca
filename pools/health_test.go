package pools_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"pgregory.net/rapid"

	"switchd/consul"
	"switchd/pools"
	"switchd/spec"
)

func entry(t *rapid.T, node string) *api.ServiceEntry {
	status := rapid.SampledFrom([]string{api.HealthPassing, api.HealthWarning, api.HealthCritical, api.HealthMaint})
	e := &api.ServiceEntry{
		Node: &api.Node{Node: node, Address: "192.0.2.1"},
		Service: &api.AgentService{
			Address: rapid.SampledFrom([]string{"", "192.0.2.2", "2001:db8::1", "fe80::1%eth0", "0.0.0.0", "not-an-address", "::ffff:192.0.2.3"}).Draw(t, "address"),
			Meta: map[string]string{
				pools.MetaPool:    rapid.SampledFrom([]string{spec.Blue, spec.Green, "", "red"}).Draw(t, "pool"),
				pools.MetaVersion: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version"),
			},
		},
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "checks") {
		check := &api.HealthCheck{Name: fmt.Sprintf("check %d", i), Status: status.Draw(t, "status"), Output: rapid.String().Draw(t, "output")}
		if check.Status == api.HealthMaint {
			check.CheckID, check.Status = api.ServiceMaintPrefix+"x", api.HealthCritical // as Consul marks it
		}
		e.Checks = append(e.Checks, check)
	}
	return e
}

func TestFromHealth_CountsOnlyWhatPassesInAColour(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var entries []*api.ServiceEntry
		want := map[string]int{}
		for i := range rapid.IntRange(0, 8).Draw(t, "nodes") {
			e := entry(t, fmt.Sprintf("n%d", 9-i))
			entries = append(entries, e)
			passes := !slices.ContainsFunc(e.Checks, func(c *api.HealthCheck) bool { return c.Status != api.HealthPassing })
			if passes {
				want[e.Service.Meta[pools.MetaPool]+" "+e.Service.Meta[pools.MetaVersion]]++
			}
		}
		found := pools.FromHealth(entries)
		if len(found) != 2 {
			t.Fatalf("colours: %v", found)
		}
		for colour, pool := range found {
			for _, version := range []string{"1", "2"} {
				if got := pool.Passing(version); got != want[colour+" "+version] {
					t.Fatalf("%s: %d pass with version %s, want %d", colour, got, version, want[colour+" "+version])
				}
			}
			if got := pool.Passing(""); got != pool.Passing("1")+pool.Passing("2") {
				t.Fatalf("%s: %d pass with any version", colour, got)
			}
			if !slices.IsSortedFunc(pool, func(a, b pools.Instance) int { return strings.Compare(a.Node, b.Node) }) {
				t.Fatalf("%s is not in the order of its nodes: %v", colour, pool)
			}
			for _, in := range pool {
				if !in.Passing && in.Why == "" {
					t.Fatalf("%s doesn't pass and doesn't say why", in.Node)
				}
				if got, ok := pool.On(in.Node); !ok || got != in {
					t.Fatalf("On(%q) gives %v, %t", in.Node, got, ok)
				}
			}
		}
	})
}

func TestCanServe_NeedsTheQuorumWithTheVersionAndNeverNobody(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var pool pools.Pool
		able := 0
		for i := range rapid.IntRange(0, 6).Draw(t, "nodes") {
			in := pools.Instance{Node: fmt.Sprintf("n%d", i), Version: rapid.SampledFrom([]string{"1", "2"}).Draw(t, "version"), Passing: rapid.Bool().Draw(t, "passing"), Why: "GET /: refused"}
			if in.Passing && in.Version == "2" {
				able++
			}
			pool = append(pool, in)
		}
		quorum := rapid.IntRange(0, 6).Draw(t, "quorum")
		err := pools.CanServe("web", map[string]pools.Pool{spec.Green: pool}, pools.Side{Pool: spec.Green, Version: "2"}, quorum)
		if want := able >= quorum && able > 0; (err == nil) != want {
			t.Fatalf("%d able nodes, quorum %d: %v", able, quorum, err)
		}
		if err == nil {
			return
		}
		if _, ok := errors.AsType[*pools.EmptyError](err); !ok {
			t.Fatalf("not an EmptyError: %T", err)
		}
		for _, in := range pool {
			if named := strings.Contains(err.Error(), in.Node); named == (in.Passing && in.Version == "2") {
				t.Fatalf("%+v: %v", in, err)
			}
		}
	})
}

func TestMembers_AreEachNodeOnceWithWhatTheCatalogSays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"a", "b", "c", "d", "e"}
		known := rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "known")
		var nodes []consul.Node
		for _, name := range known {
			nodes = append(nodes, consul.Node{Name: name, Alive: rapid.Bool().Draw(t, "alive"), Meta: map[string]string{"pool": rapid.SampledFrom([]string{"x", "y"}).Draw(t, "meta")}})
		}
		var pool spec.Pool
		if rapid.Bool().Draw(t, "by name") {
			pool.Nodes = rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID).Draw(t, "named")
		} else if rapid.Bool().Draw(t, "by meta") {
			pool.NodeMeta = map[string]string{"pool": "x"}
		}
		var want []string
		for _, n := range nodes {
			if pool.NodeMeta != nil && n.Meta["pool"] == "x" {
				want = append(want, fmt.Sprintf("%s %t", n.Name, n.Alive))
			}
		}
		for _, name := range pool.Nodes {
			alive := slices.ContainsFunc(nodes, func(n consul.Node) bool { return n.Name == name && n.Alive })
			want = append(want, fmt.Sprintf("%s %t", name, alive))
		}
		slices.Sort(want)
		var got []string
		for _, m := range pools.Members(pool, nodes) {
			got = append(got, fmt.Sprintf("%s %t", m.Name, m.Alive))
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pool %+v of %+v: got %v, want %v", pool, nodes, got, want)
		}
	})
}

// A node that Consul holds for dead says nothing about what runs on it.
func TestFromHealth_TellsANodeThatIsAwayFromAServiceThatIsSick(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		check *api.HealthCheck
		away  bool
	}{
		"Dead":    {&api.HealthCheck{CheckID: "serfHealth", Name: "Serf Health Status", Status: api.HealthCritical, Output: "Agent not live or unreachable"}, true},
		"Alive":   {&api.HealthCheck{CheckID: "serfHealth", Status: api.HealthPassing}, false},
		"Refused": {&api.HealthCheck{CheckID: "web-blue", Status: api.HealthCritical, Output: "connection refused"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := pools.FromHealth([]*api.ServiceEntry{{
				Node:    &api.Node{Node: "b1"},
				Service: &api.AgentService{Meta: map[string]string{pools.MetaPool: spec.Blue}},
				Checks:  api.HealthChecks{test.check},
			}})
			if in, ok := found[spec.Blue].On("b1"); !ok || in.Away != test.away {
				t.Errorf("got %+v, want away to be %t", in, test.away)
			}
		})
	}
}
