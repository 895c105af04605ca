package spec

// Warmup ramps load up on each node until its latency is steady.
type Warmup struct {
	Path string `json:"path"`
	// Rate is the load to reach, in requests per second and node.
	Rate int `json:"rate"`
	// Ramp is the time from the first request to the full rate.
	Ramp Duration `json:"ramp"`
	// Latency is steady when the 95th percentile of Windows consecutive
	// windows at full rate differ by no more than Tolerance (0.2: 20 %) or
	// by less than a millisecond.
	Window    Duration `json:"window"`
	Windows   int      `json:"windows"`
	Tolerance float64  `json:"tolerance"`
	// MaxLatency is the bound for the steady 95th percentile; 0: none.
	MaxLatency Duration `json:"max_latency,omitempty"`
	// MaxErrors is the share of failed requests allowed in the steady
	// windows.
	MaxErrors float64 `json:"max_errors"`
}

func (w *Warmup) form() form {
	return form{attrs: []attr{
		text("path", &w.Path, pathRule()),
		whole("rate", &w.Rate, 1, 100000),
		span("ramp", &w.Ramp, shortest),
		span("window", &w.Window, shortest),
		whole("windows", &w.Windows, 2, 1000),
		number("tolerance", &w.Tolerance, 0, 10),
		span("max_latency", &w.MaxLatency, shortest),
		number("max_errors", &w.MaxErrors, 0, 1),
	}}
}
