package spec

// Analysis judges the new version on Prometheus while it has its share.
type Analysis struct {
	Prometheus string   `json:"prometheus"` // base URL; the environment's if not set
	Interval   Duration `json:"interval"`   // between two looks
	Looks      int      `json:"looks"`      // passing looks that each metric needs
	Metrics    []Metric `json:"metrics"`    // sorted by name
}

// Metric is one PromQL query with its bounds. The query must give one value.
type Metric struct {
	Name  string   `json:"name"`
	Query string   `json:"query"`
	Min   *float64 `json:"min,omitempty"`
	Max   *float64 `json:"max,omitempty"`
	// FailureLimit is the number of failed looks that are forgiven.
	FailureLimit int `json:"failure_limit"`
	// Traffic is a query for the number of requests behind the value; a look
	// with fewer than MinTraffic is unknown.
	Traffic    string  `json:"traffic,omitempty"`
	MinTraffic float64 `json:"min_traffic,omitempty"`
}

func (a *Analysis) form() form {
	metrics := listed("metric", labelRule(), &a.Metrics, defaultMetric, func(m Metric) string { return m.Name })
	metrics.top = true // a service has one analysis
	return form{
		attrs: []attr{
			text("prometheus", &a.Prometheus, urlRule()),
			span("interval", &a.Interval, shortest),
			whole("looks", &a.Looks, 1, 10000),
		},
		blocks: []nested{metrics},
		check:  a.validate,
	}
}

func (m *Metric) form() form {
	return form{
		attrs: []attr{
			query("query", &m.Query).must(),
			bound("min", &m.Min),
			bound("max", &m.Max),
			whole("failure_limit", &m.FailureLimit, 0, 10000),
			query("traffic", &m.Traffic),
			number("min_traffic", &m.MinTraffic, 0, 1e12),
		},
		check: m.validate,
	}
}

func (a *Analysis) validate(at scope) {
	if len(a.Metrics) == 0 {
		at.wrong("", "Nothing to analyse", "The analysis has no metric block, so that it could never tell good from bad. Add one, or remove the analysis.")
	}
}

func (m *Metric) validate(at scope) {
	switch {
	case m.Min == nil && m.Max == nil:
		at.wrong("", "Metric without a bound", "Metric %q needs min, max or both: without one, no value would be bad.", m.Name)
	case m.Min != nil && m.Max != nil && *m.Min > *m.Max:
		at.wrong("min", "Bounds crossed", "min is %v and max is %v: no value could ever pass.", *m.Min, *m.Max)
	}
	if (m.Traffic == "") != (m.MinTraffic == 0) {
		at.wrong("traffic", "Traffic half said", "Metric %q needs both traffic (a query) and min_traffic (more than 0), or neither.", m.Name)
	}
}

func (a *Analysis) settle(e Environment, at scope) {
	if a.Prometheus == "" {
		a.Prometheus = e.Prometheus
	}
	if a.Prometheus == "" {
		at.wrong("analysis", "No Prometheus", "The analysis doesn't know what to ask: set prometheus here or in environment %q.", e.Name)
	}
}
