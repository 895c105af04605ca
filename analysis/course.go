package analysis

import (
	"fmt"
	"strings"

	"switchd/gate"
	"switchd/spec"
)

// course is one metric on its way through the looks.
type course struct {
	metric spec.Metric // with its variables expanded
	wanted int         // passing looks
	pool   string
	tally  tally
	last   look
	failed float64 // the value of the newest failed look
}

// add takes in one look.
func (c *course) add(l look) {
	c.tally.add(l.outcome)
	c.last = l
	if l.outcome == gate.Fail {
		c.failed = l.value
	}
}

func (c *course) outcome() gate.Outcome {
	return c.tally.outcome(c.wanted, c.metric.FailureLimit)
}

// complaint says by how much the metric misses its bound.
func (c *course) complaint() string {
	name := c.metric.Name
	if c.pool != "" {
		name += " of " + c.pool
	}
	return fmt.Sprintf("%s is %s", name, describe(c.metric, c.failed))
}

// lastLook says what the newest look showed.
func (c *course) lastLook() string {
	switch {
	case c.last.outcome != gate.Unknown:
		return describe(c.metric, c.last.value)
	case c.last.why != "":
		return c.last.why
	}
	return "none yet"
}

// standing says how far the metric has come: "errors: 2 of 5 passing looks,
// last look: no data".
func (c *course) standing() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d of %d passing looks", c.metric.Name, c.tally.passed, c.wanted)
	if c.tally.failed > 0 {
		fmt.Fprintf(&b, ", %d failed of %d forgiven", c.tally.failed, c.metric.FailureLimit)
	}
	if c.tally.unknown > 0 {
		fmt.Fprintf(&b, ", %d unknown", c.tally.unknown)
	}
	fmt.Fprintf(&b, ", last look: %s", c.lastLook())
	return b.String()
}

// query says what was asked, so that a person can ask again.
func (c *course) query() string {
	return fmt.Sprintf("%s: query %s", c.metric.Name, oneLine(c.metric.Query))
}
