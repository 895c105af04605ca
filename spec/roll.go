package spec

import "fmt"

// maxNodes bounds a pool.
const maxNodes = 10000

// Roll bounds the node-by-node replacement of a pool.
type Roll struct {
	// Quorum is the number of passing nodes below which no further node may
	// be taken down, and below which a pool may not get users. With 0, a pool
	// of one node can be rolled; it still gets users only while it passes.
	Quorum         Count `json:"quorum"`
	MaxUnavailable Count `json:"max_unavailable"`
	// MinHealthyTime is how long a replaced node must pass without a break.
	MinHealthyTime Duration `json:"min_healthy_time"`
	// HealthyDeadline is when a replaced node that isn't healthy has failed.
	HealthyDeadline Duration `json:"healthy_deadline"`
	// CanaryNodes are rolled one by one before the others may begin.
	CanaryNodes int `json:"canary_nodes,omitempty"`
	// Stagger is the least time between two nodes that are taken down.
	Stagger Duration `json:"stagger,omitempty"`
	// MaxFailures is how many nodes may fail to become healthy, each of them
	// then runs its former version again, before the roll is given up.
	MaxFailures int `json:"max_failures,omitempty"`
	// DrainTimeout is how long a node of a pool with users waits, after it was
	// taken out of the catalog, for its connections to end before it is
	// stopped.
	DrainTimeout Duration `json:"drain_timeout"`
}

func (r *Roll) form() form {
	return form{
		attrs: []attr{
			count("quorum", &r.Quorum, 0),
			count("max_unavailable", &r.MaxUnavailable, 1),
			span("min_healthy_time", &r.MinHealthyTime, shortest),
			span("healthy_deadline", &r.HealthyDeadline, shortest),
			whole("canary_nodes", &r.CanaryNodes, 0, maxNodes),
			span("stagger", &r.Stagger, 0),
			whole("max_failures", &r.MaxFailures, 0, maxNodes),
			span("drain_timeout", &r.DrainTimeout, 0),
		},
		check: r.validate,
	}
}

func (r *Roll) validate(at scope) {
	if r.HealthyDeadline <= r.MinHealthyTime {
		at.wrong("healthy_deadline", "Deadline too early",
			"A node must be healthy for %v (min_healthy_time) and would have failed after %v (healthy_deadline): none could ever pass. Make healthy_deadline longer.",
			r.MinHealthyTime, r.HealthyDeadline)
	}
}

// validateRoll looks whether the roll could ever start in the smaller of the
// pools whose size is known; those by metadata have the size that Consul
// tells later.
func (s *Service) validateRoll(at scope) {
	smallest, nodes := "", 0
	for _, colour := range []string{Blue, Green} {
		if n := len(s.Pools[colour].Nodes); n > 0 && (smallest == "" || n < nodes) {
			smallest, nodes = colour, n
		}
	}
	pool := fmt.Sprintf("pool %q has %d %s (%s)", smallest, nodes, plural(nodes, "node"), place(at.where("pool."+smallest+".nodes")))
	quorum, down := s.Roll.Quorum.AtLeast(nodes), s.Roll.MaxUnavailable.AtMost(nodes)
	most := nodes - down
	switch {
	case smallest == "" || quorum <= most:
	case quorum > nodes:
		at.wrong("roll.quorum", "Quorum too large",
			"quorum is %v, but %s: it could never get users.", s.Roll.Quorum, pool)
	case most < 1:
		at.wrong("roll.max_unavailable", "Roll could never start",
			"max_unavailable is %v, and %s: none would be left to hold the quorum of %v. Add nodes, or lower max_unavailable or the quorum.",
			s.Roll.MaxUnavailable, pool, s.Roll.Quorum)
	default:
		at.wrong("roll.quorum", "Roll could never start",
			"With quorum %v and max_unavailable %v, a pool needs at least %d nodes, and %s: no node might ever be taken down. Lower quorum to %d at most, or add nodes.",
			s.Roll.Quorum, s.Roll.MaxUnavailable, quorum+down, pool, most)
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
