package spec

// maxNodes bounds a pool.
const maxNodes = 10000

// Roll bounds the node-by-node replacement of a pool.
type Roll struct {
	// Quorum is the number of passing nodes below which no further node may
	// be taken down, and below which a pool may not get users. With 0, a pool
	// of one node can be rolled; it still gets users only while it passes.
	Quorum         int `json:"quorum"`
	MaxUnavailable int `json:"max_unavailable"`
	// MinHealthyTime is how long a replaced node must pass without a break.
	MinHealthyTime Duration `json:"min_healthy_time"`
	// HealthyDeadline is when a replaced node that isn't healthy has failed.
	HealthyDeadline Duration `json:"healthy_deadline"`
}

func (r *Roll) form() form {
	return form{
		attrs: []attr{
			whole("quorum", &r.Quorum, 0, maxNodes),
			whole("max_unavailable", &r.MaxUnavailable, 1, maxNodes),
			span("min_healthy_time", &r.MinHealthyTime, shortest),
			span("healthy_deadline", &r.HealthyDeadline, shortest),
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
	most := nodes - s.Roll.MaxUnavailable
	switch {
	case smallest == "" || s.Roll.Quorum <= most:
	case s.Roll.Quorum > nodes:
		at.wrong("roll.quorum", "Quorum too large",
			"quorum is %d, but pool %q has %d %s only: it could never get users.", s.Roll.Quorum, smallest, nodes, plural(nodes, "node"))
	case most < 1:
		at.wrong("roll.max_unavailable", "Roll could never start",
			"max_unavailable is %d, and pool %q has %d %s: none would be left to hold the quorum of %d. Add nodes, or lower max_unavailable or the quorum.",
			s.Roll.MaxUnavailable, smallest, nodes, plural(nodes, "node"), s.Roll.Quorum)
	default:
		at.wrong("roll.quorum", "Roll could never start",
			"With quorum %d and max_unavailable %d, a pool needs at least %d nodes, and pool %q has %d: no node might ever be taken down. Lower quorum to %d at most, or add nodes.",
			s.Roll.Quorum, s.Roll.MaxUnavailable, s.Roll.Quorum+s.Roll.MaxUnavailable, smallest, nodes, most)
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}
