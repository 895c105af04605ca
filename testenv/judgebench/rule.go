package main

import (
	"math"
	"slices"
)

// rule is a judge that holds values against bounds and counts failed looks.
type rule struct {
	title string
	// bounds are those that people set; above them, a look fails.
	bounds values
	window int // minutes that a value looks back on
	// relative ones hold what the new version's value is above the live one's
	// against the bounds.
	relative bool
	forgiven int // failed looks; one more halts
	// checks counts the looks of which any value failed, not those of each.
	checks bool
	// missing tells whether no answer fails a look; else it is an error, and
	// errors in a row halt.
	missing bool
}

// argo is the rule of Argo Rollouts, in the form of its documentation: the rate
// of five minutes, a failure limit of 3, each metric by itself. Four errors in
// a row are forgiven, but it asks again after ten seconds, so that each minute
// without Prometheus has six.
func argo(relative bool) rule {
	r := rule{title: "argo", window: 5, forgiven: 3, relative: relative}
	return r.bounded()
}

// flagger is the rule of Flagger, in the form of its documentation: the rate of
// a minute, a success rate of 99 %, a p99 of 500 ms, and a threshold of five
// failed checks; no answer fails one.
func flagger(relative bool) rule {
	r := rule{title: "flagger", window: 1, forgiven: 4, relative: relative, checks: true, missing: true}
	return r.bounded()
}

func (r rule) bounded() rule {
	r.bounds = values{0.01, 0.5}
	if r.relative {
		r.title += " vs live"
		r.bounds = values{0.005, 0.25}
	}
	return r
}

func (r rule) name() string { return r.title }

// experience is what an operator of long standing knows of the values of a rule:
// their mean and standard deviation if there is no fault.
type experience map[string][measures]struct{ mean, deviation float64 }

// see returns the values at a look.
func (r rule) see(o *rollout, at int) values {
	v := o.window(at, r.window, experiment)
	if r.relative {
		live := o.window(at, r.window, control)
		for m := range v {
			v[m] -= live[m]
		}
	}
	return v
}

// watch has two answers at once: by the bounds that people set, and by bounds
// that are the usual mean and so many of its standard deviations, which is the
// knob. No operator knows them as well as it is supposed here.
func (r rule) watch(o *rollout, k *knowledge) (t trace) {
	usual := (*k.usual)[r.title]
	set, knob := newTally(r), newTally(r)
	for i, l := range o {
		v := r.see(o, i)
		var failing, excess values
		for m := range v {
			failing[m] = v[m] / r.bounds[m]
			excess[m] = (v[m] - usual[m].mean) / usual[m].deviation
		}
		if set.add(failing, l.outage) > 1 && t.halt == 0 {
			t.halt = i + 1
		}
		t.evidence[i] = knob.add(excess, l.outage)
	}
	if t.halt == 0 {
		t.pass = minutes
	}
	return t
}

// tally keeps the largest values seen, as many as it takes to halt: the least
// of them is the bound up to which the rule halts.
type tally struct {
	rule
	most [measures][]float64 // descending
	lost bool
}

func newTally(r rule) *tally { return &tally{rule: r} }

// add takes in the values of a look, and returns the bound.
func (t *tally) add(v values, outage bool) float64 {
	if outage && !t.missing {
		t.lost = true
	}
	for m := range v {
		if math.IsNaN(v[m]) || outage {
			v[m] = math.Inf(-1) // no failure
			if t.missing {
				v[m] = math.Inf(1)
			}
		}
	}
	if t.checks {
		v = values{slices.Max(v[:]), math.Inf(-1)}
	}
	bound := math.Inf(-1)
	for m := range v {
		at, _ := slices.BinarySearchFunc(t.most[m], v[m], func(a, b float64) int {
			if a > b {
				return -1
			}
			return 1
		})
		t.most[m] = slices.Insert(t.most[m], at, v[m])
		if len(t.most[m]) > t.forgiven {
			t.most[m] = t.most[m][:t.forgiven+1]
			bound = max(bound, t.most[m][t.forgiven])
		}
	}
	if t.lost {
		return never
	}
	return bound
}

// learn gathers the experience of all rules in a setting from many rollouts
// without a fault.
func learn(rollouts []*rollout, all []contender) *experience {
	e := experience{}
	for _, c := range all {
		r, ok := c.(rule)
		if !ok {
			continue
		}
		known := e[r.title]
		for m := range measures {
			var n, sum, squares float64
			for _, o := range rollouts {
				for i := range o {
					if v := r.see(o, i)[m]; !math.IsNaN(v) {
						n, sum, squares = n+1, sum+v, squares+v*v
					}
				}
			}
			known[m].mean = sum / n
			known[m].deviation = max(1e-9, math.Sqrt(max(0, squares/n-known[m].mean*known[m].mean)))
		}
		e[r.title] = known
	}
	return &e
}
