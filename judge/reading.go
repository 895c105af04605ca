package judge

import (
	"errors"
	"fmt"
	"math"

	"switchd/spec"
)

// value is the one number of a reading, and finite. An error says why there is
// none, and that says nothing of the version.
func (r Reading) value(m spec.Metric) (float64, error) {
	v, err := r.raw(m)
	switch {
	case err != nil:
		return 0, err
	case math.IsNaN(v) && m.Query == "":
		return 0, errors.New("no traffic")
	case math.IsNaN(v):
		return 0, errors.New("the value is NaN, as 0/0 is without traffic")
	case math.IsInf(v, 0):
		return 0, fmt.Errorf("the value is infinite (%v), as a division by zero is", v)
	}
	return v, nil
}

// raw is what a reading has for a value, which may be NaN: the value itself, or
// the share of bad events in all nodes together (of the first edge, if there are
// several).
func (r Reading) raw(m spec.Metric) (float64, error) {
	switch {
	case r.Missing != "":
		return 0, errors.New(r.Missing)
	case m.Query != "":
		return r.Value, nil
	case len(r.Nodes) == 0:
		return 0, errors.New("no data")
	}
	bad, total := r.events()
	return bad / total, nil
}

// events sums up the nodes.
func (r Reading) events() (bad, total float64) {
	for _, c := range r.Nodes {
		if len(c.Bad) > 0 {
			bad += c.Bad[0]
		}
		total += c.Total
	}
	return bad, total
}

// traffic is the number of requests behind a reading: what the metric's own
// query for it gave, or else its counted events.
func (r Reading) traffic(m spec.Metric) (float64, error) {
	n, known := r.Named[trafficName]
	if m.Traffic == "" {
		_, n = r.events()
		known = len(r.Nodes) > 0
	}
	switch {
	case !known:
		return 0, errors.New("no data")
	case math.IsNaN(n) || math.IsInf(n, 0):
		return 0, fmt.Errorf("the value is %v", n)
	}
	return n, nil
}

// trafficName is the name under which a reading has the value of Metric.Traffic.
const trafficName = "traffic"

// behind tells whether there is enough traffic behind a reading for any verdict:
// passed if so, and else thin or missing, with the reason.
func (r Reading) behind(m spec.Metric) (look, string) {
	if m.MinTraffic <= 0 {
		return passed, ""
	}
	n, err := r.traffic(m)
	switch {
	case err != nil:
		return missing, fmt.Sprintf("traffic unknown: %v", err)
	case n < m.MinTraffic:
		return thin, fmt.Sprintf("too little traffic: %s, needed %s", number(n, false), number(m.MinTraffic, false))
	}
	return passed, ""
}
