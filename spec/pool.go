package spec

import "slices"

// The two pools of every service.
const (
	Blue  = "blue"
	Green = "green"
)

// Other returns the other pool's name.
func Other(pool string) string {
	if pool == Blue {
		return Green
	}
	return Blue
}

// Pool names the nodes of one colour: by name, or by node metadata.
type Pool struct {
	Nodes    []string          `json:"nodes,omitempty"`
	NodeMeta map[string]string `json:"node_meta,omitempty"`
}

func (p *Pool) form() form {
	return form{
		attrs: []attr{
			texts("nodes", &p.Nodes, nodeRule(), true),
			textMap("node_meta", &p.NodeMeta, metaKeyRule(), metaValueRule()),
		},
		check: p.validate,
	}
}

func (p *Pool) validate(at scope) {
	switch {
	case len(p.Nodes) == 0 && len(p.NodeMeta) == 0:
		at.wrong("", "Pool without nodes", "Say which nodes the pool has: by name with nodes, or by their Consul metadata with node_meta.")
	case len(p.Nodes) > 0 && len(p.NodeMeta) > 0:
		at.wrong("node_meta", "Nodes named twice", "A pool has either nodes or node_meta. Remove one of the two.")
	}
}

func (s *Service) validatePools(at scope) {
	for _, colour := range []string{Blue, Green} {
		if _, ok := s.Pools[colour]; !ok {
			at.wrong("", "Missing pool", "Service %q has no pool %q. A service needs both, %q and %q.", s.Name, colour, Blue, Green)
		}
	}
	// Pools can't have ports of their own: a CNAME leads users to other
	// addresses, not to another port.
	for _, node := range s.Pools[Green].Nodes {
		if slices.Contains(s.Pools[Blue].Nodes, node) {
			at.wrong("pool.green.nodes", "Node in both pools",
				"Node %q is in pool %q too (%s), and both would listen on its port %d. Take it out of one pool.",
				node, Blue, place(at.where("pool.blue.nodes")), s.Port)
		}
	}
}
