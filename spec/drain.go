package spec

// Drain says when the traffic of the old pool is over.
type Drain struct {
	// Query is PromQL for the old pool's requests per second; ${pool} is that
	// pool. Without one,
	// the pool counts as drained after three TTLs.
	Query string   `json:"query,omitempty"`
	Below float64  `json:"below"`
	For   Duration `json:"for"` // how long it must stay below
}

func (d *Drain) form() form {
	return form{attrs: []attr{
		query("query", &d.Query),
		number("below", &d.Below, 0, 1e12),
		span("for", &d.For, shortest),
	}}
}
