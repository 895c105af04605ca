package spec

import "time"

// Health is the check that the node's Consul agent does on the service.
type Health struct {
	Path     string   `json:"path"`
	Interval Duration `json:"interval"`
	Timeout  Duration `json:"timeout"`
}

func (h *Health) form() form {
	path := pathRule().and(fixed)
	path.want += ", and without runtime variables, which Consul doesn't know"
	return form{attrs: []attr{
		text("path", &h.Path, path),
		// Consul's agent checks once a second at most.
		span("interval", &h.Interval, time.Second),
		span("timeout", &h.Timeout, shortest),
	}}
}
