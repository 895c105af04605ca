package judge

import (
	"fmt"
	"time"

	"switchd/spec"
)

// course is how far a judge has come with its metric.
type course struct {
	Samples int       `json:"samples,omitempty"` // steps with data
	Gaps    int       `json:"gaps,omitempty"`    // steps without
	Since   time.Time `json:"since,omitzero"`    // end of the first step
	Until   time.Time `json:"until,omitzero"`    // end of the newest step
	Blind   bool      `json:"blind,omitempty"`   // the newest step is a gap
}

// add takes in one step.
func (c *course) add(at time.Time, gap bool) {
	at = at.UTC()
	if c.Since.IsZero() {
		c.Since = at
	}
	c.Until, c.Blind = at, gap
	if gap {
		c.Gaps++
	} else {
		c.Samples++
	}
}

// finding begins a finding with what the course knows.
func (c *course) finding(m spec.Metric) Finding {
	return Finding{Metric: m.Name, Judge: m.Judge, Samples: c.Samples, Gaps: c.Gaps, Since: c.Since, Until: c.Until, Blind: c.Blind}
}

// after says how much a verdict rests on: "after 3 looks in 6 s".
func (c *course) after(interval time.Duration) string {
	return "after " + plural(c.Samples+c.Gaps, "look") + " in " + span(c.Until.Sub(c.Since)+interval)
}

// check refuses what no course comes to.
func (c *course) check() error {
	switch {
	case c.Samples < 0 || c.Gaps < 0:
		return fmt.Errorf("there are %d samples and %d gaps", c.Samples, c.Gaps)
	case c.Until.Before(c.Since):
		return fmt.Errorf("the newest step is of %s, and the first of %s", c.Until, c.Since)
	}
	return nil
}
