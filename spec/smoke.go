package spec

// Smoke is one HTTP check, done on each node and through the pool's name.
type Smoke struct {
	Name       string            `json:"name"`
	Method     string            `json:"method"`
	Path       string            `json:"path"`
	Headers    map[string]string `json:"headers,omitempty"`
	Status     int               `json:"status"`
	WantHeader map[string]string `json:"want_header,omitempty"` // name → regular expression
	WantBody   string            `json:"want_body,omitempty"`   // regular expression (RE2)
	MaxLatency Duration          `json:"max_latency,omitempty"` // 0: not checked
	Timeout    Duration          `json:"timeout"`
	Retries    int               `json:"retries"`
	RetryWait  Duration          `json:"retry_wait"`
}

func (s *Smoke) form() form {
	return form{attrs: []attr{
		text("method", &s.Method, oneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")),
		text("path", &s.Path, pathRule()),
		textMap("headers", &s.Headers, headerRule(), lineRule()),
		whole("status", &s.Status, 100, 599),
		textMap("want_header", &s.WantHeader, headerRule(), patternRule()),
		text("want_body", &s.WantBody, patternRule()),
		span("max_latency", &s.MaxLatency, shortest),
		span("timeout", &s.Timeout, shortest),
		whole("retries", &s.Retries, 0, 100),
		span("retry_wait", &s.RetryWait, shortest),
	}}
}
