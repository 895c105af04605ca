package pools

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"switchd/consul"
	"switchd/spec"
)

// Service.Meta keys of a registration.
const (
	MetaPool    = "pool"
	MetaVersion = "version"
	MetaRelease = "release" // the artifact's SHA-256
)

// Instance is one node's registration in a pool.
type Instance struct {
	Node    string `json:"node"`
	Address string `json:"address"`
	Port    int    `json:"port"`
	Version string `json:"version"`
	Release string `json:"release,omitempty"`
	Passing bool   `json:"passing"`
	// Why is what the first check that doesn't pass says.
	Why string `json:"why,omitempty"`
	// Away tells that Consul's failure detector holds the node for dead, which
	// says nothing about the service on it.
	Away bool `json:"away,omitempty"`
}

// Pool is one colour's instances, by node name.
type Pool []Instance

// Read reads both pools of a service consistently, keyed by colour.
func Read(ctx context.Context, c *consul.Client, service string) (map[string]Pool, error) {
	entries, err := c.Service(ctx, service)
	if err != nil {
		return nil, err
	}
	return FromHealth(entries), nil
}

// ReadNode reads consistently what is registered on one node, by colour.
func ReadNode(ctx context.Context, c *consul.Client, service, node string) (map[string]Instance, error) {
	entries, err := c.ServiceOn(ctx, service, node)
	if err != nil {
		return nil, err
	}
	found := make(map[string]Instance)
	for colour, pool := range FromHealth(entries) {
		if in, ok := pool.On(node); ok {
			found[colour] = in
		}
	}
	return found, nil
}

// Unlike reads, perhaps a little late, the instances of one pool that don't run
// a version.
func Unlike(ctx context.Context, c *consul.Client, service, colour, version string) (Pool, error) {
	entries, err := c.ServiceUnlike(ctx, service, map[string]string{MetaPool: colour}, map[string]string{MetaVersion: version})
	if err != nil {
		return nil, err
	}
	return FromHealth(entries)[colour], nil
}

// FromHealth sorts a health answer into pools. Registrations that carry no
// colour are not ours and are left out.
func FromHealth(entries []*api.ServiceEntry) map[string]Pool {
	found := map[string]Pool{spec.Blue: nil, spec.Green: nil}
	for _, e := range entries {
		colour := e.Service.Meta[MetaPool]
		if colour != spec.Blue && colour != spec.Green {
			continue
		}
		in := Instance{
			Node: e.Node.Node, Address: e.Service.Address, Port: e.Service.Port,
			Version: e.Service.Meta[MetaVersion], Release: e.Service.Meta[MetaRelease],
			// Only passing counts: a warning is not a promise.
			Passing: e.Checks.AggregatedStatus() == api.HealthPassing,
		}
		if in.Address == "" {
			in.Address = e.Node.Address
		}
		if !in.Passing {
			in.Why, in.Away = reason(e.Checks), away(e.Checks)
		}
		found[colour] = append(found[colour], in)
	}
	for _, p := range found {
		slices.SortFunc(p, func(a, b Instance) int { return strings.Compare(a.Node, b.Node) })
	}
	return found
}

func away(checks api.HealthChecks) bool {
	return slices.ContainsFunc(checks, func(c *api.HealthCheck) bool {
		return c.CheckID == "serfHealth" && c.Status != api.HealthPassing
	})
}

func reason(checks api.HealthChecks) string {
	for _, c := range checks {
		if c.Status == api.HealthPassing {
			continue
		}
		why := strings.TrimSpace(c.Output)
		if i := strings.IndexByte(why, '\n'); i >= 0 {
			why = why[:i]
		}
		if c.Notes != "" && why == "" {
			why = c.Notes
		}
		if why == "" {
			why = c.Status
		}
		const most = 160
		return c.Name + ": " + strings.ToValidUTF8(why[:min(len(why), most)], "") // a cut can split a character
	}
	return ""
}

// Passing counts the nodes that pass; a version that isn't empty counts only
// those which run it.
func (p Pool) Passing(version string) int {
	n := 0
	for _, in := range p {
		if in.Passing && (version == "" || in.Version == version) {
			n++
		}
	}
	return n
}

// Popular are the versions that most of the passing nodes run, several where
// as many nodes run each, sorted; avoid is left out of the count.
func (p Pool) Popular(avoid string) []string {
	count := make(map[string]int)
	most := 0
	for _, in := range p {
		if in.Passing && in.Version != "" && in.Version != avoid {
			count[in.Version]++
			most = max(most, count[in.Version])
		}
	}
	var popular []string
	for version, n := range count {
		if n == most {
			popular = append(popular, version)
		}
	}
	slices.Sort(popular)
	return popular
}

// On finds a node's instance.
func (p Pool) On(node string) (Instance, bool) {
	i := slices.IndexFunc(p, func(in Instance) bool { return in.Node == node })
	if i < 0 {
		return Instance{}, false
	}
	return p[i], true
}

// EmptyError says why a pool may not get users: promise "never empty".
type EmptyError struct {
	Service string
	Want    Side
	Passing int
	Quorum  int
	Pool    Pool
}

// Error names the pool, the numbers and what each missing node says.
func (e *EmptyError) Error() string {
	text := fmt.Sprintf("pool %s of %s has %d passing nodes with version %s, its quorum is %d",
		e.Want.Pool, e.Service, e.Passing, e.Want.Version, e.Quorum)
	var missing []string
	for _, in := range e.Pool {
		switch {
		case in.Version != e.Want.Version:
			missing = append(missing, fmt.Sprintf("%s runs %s", in.Node, in.Version))
		case !in.Passing:
			missing = append(missing, fmt.Sprintf("%s: %s", in.Node, in.Why))
		}
	}
	if len(missing) > 0 {
		text += " (" + strings.Join(missing, "; ") + ")"
	}
	return text
}

// CanServe returns an EmptyError unless enough nodes of the side's pool pass
// with the side's version.
func CanServe(service string, pools map[string]Pool, want Side, quorum int) error {
	pool := pools[want.Pool]
	if n := pool.Passing(want.Version); n < max(quorum, 1) {
		return &EmptyError{Service: service, Want: want, Passing: n, Quorum: quorum, Pool: pool}
	}
	return nil
}

// Members are the nodes that belong to a pool by its spec, sorted by name.
// A node named by the spec that the catalog doesn't know counts as one that is
// not alive.
func Members(p spec.Pool, nodes []consul.Node) []consul.Node {
	var members []consul.Node
	for _, name := range p.Nodes {
		i := slices.IndexFunc(nodes, func(n consul.Node) bool { return n.Name == name })
		if i < 0 {
			members = append(members, consul.Node{Name: name})
			continue
		}
		members = append(members, nodes[i])
	}
	for _, n := range nodes {
		if matches(p.NodeMeta, n.Meta) && !slices.Contains(p.Nodes, n.Name) {
			members = append(members, n)
		}
	}
	slices.SortFunc(members, func(a, b consul.Node) int { return strings.Compare(a.Name, b.Name) })
	return members
}

func matches(want, have map[string]string) bool {
	for k, v := range want {
		if have[k] != v {
			return false
		}
	}
	return len(want) > 0
}
