package main

import (
	"math"

	"switchd/spec"
)

// contender is a judge with a knob: the more of it, the stricter it is with the
// evidence, and the fewer its halts.
type contender interface {
	name() string
	// watch judges a rollout.
	watch(*rollout, *knowledge) trace
}

// knowledge is what judges may know before.
type knowledge struct {
	backgrounds backgrounds
	// usual holds what is known of the values of pools without any fault.
	usual *experience
}

// trace is what a judge made of a rollout.
type trace struct {
	// halt and pass are the looks, from 1 on, at which the judge halted or
	// passed it first, set up as people do; 0: never.
	halt, pass int
	// evidence is, after each look, the setting of the knob up to which the judge
	// would have halted by then. It never falls.
	evidence [minutes]float64
}

// haltsAbove returns the look at which a judge with the knob at a setting halts,
// 0 if it doesn't.
func (t *trace) haltsAbove(knob float64) int {
	for i, e := range t.evidence {
		if e > knob {
			return i + 1
		}
	}
	return 0
}

// final is the setting of the knob below which the rollout is halted.
func (t *trace) final() float64 { return t.evidence[minutes-1] }

// contenders are all judges, ours first; of the whole grid, ours without history
// too.
func contenders(a spec.Analysis, full bool) []contender {
	all := []contender{
		ours{analysis: a},
		kayenta{every: minutes / 6},
		kayenta{every: 1},
		argo(false),
		argo(true),
		flagger(false),
		flagger(true),
	}
	if full {
		all = append(all, ours{analysis: a, blind: true})
	}
	return all
}

// never is a knob that nothing is above.
var never = math.Inf(1)
