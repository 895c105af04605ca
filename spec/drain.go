package spec

import "time"

// Drain says when the traffic of the old pool is over.
type Drain struct {
	// Least is how long after the switch's proof nobody looks, nor less than three
	// TTLs: browsers and runtimes keep answers longer than they should.
	Least Duration `json:"least,omitempty"`
	// Query is PromQL for the old pool's requests per second; ${pool} is that
	// pool. Without one, the pool counts as drained after Least.
	Query string   `json:"query,omitempty"`
	Below float64  `json:"below"`
	For   Duration `json:"for"` // how long it must stay below
}

func (d *Drain) form() form {
	return form{attrs: []attr{
		span("least", &d.Least, shortest),
		query("query", &d.Query),
		number("below", &d.Below, 0, 1e12),
		span("for", &d.For, shortest),
	}}
}

// LeastAfter is how long after a switch is proved the traffic of the old pool
// may not count as over.
func (s *Service) LeastAfter() time.Duration {
	const ttls = 3 // that no cache should outlast
	return max(ttls*s.Switch.InForce(true).Std(), s.Drain.Least.Std())
}
