package main

import (
	"fmt"
	"math"

	"switchd/judge/mannwhitney"
)

// kayenta is Kayenta's judge as Spinnaker sets it up: on all minutes so far,
// errors and latency with half of the score each, and a halt below 75. It looks
// from the fifth minute on: of fewer values on a side, not even those that are all
// above all others are significant, and its interval is none.
type kayenta struct {
	every int // minutes between two looks
}

func (k kayenta) name() string {
	if k.every == 1 {
		return "kayenta, each minute"
	}
	return fmt.Sprintf("kayenta, %d looks", minutes/k.every)
}

// Its knob is the confidence, as the quantile of the normal distribution: from
// 0.98, which Kayenta has, some way down, and up to where float64 ends.
const (
	kayentaNominal = 2.3263478740408408
	kayentaStep    = 0.2
	kayentaLowest  = -8
	kayentaHighest = 28
	kayentaFirst   = 5 // minutes before the first look
)

func kayentaKnob(level int) float64 { return kayentaNominal + kayentaStep*float64(level) }

func (k kayenta) watch(r *rollout, _ *knowledge) (t trace) {
	var control, experiment [measures][]float64
	level, best := kayentaLowest, math.Inf(-1)
	for i, l := range r {
		x, y := l.experiment.sum().values(), l.control.sum().values()
		for m := range measures {
			experiment[m] = append(experiment[m], x[m])
			control[m] = append(control[m], y[m])
		}
		if i+1 >= kayentaFirst && (i+1)%k.every == 0 {
			for level <= kayentaHighest && halts(control, experiment, kayentaKnob(level)) {
				best = kayentaKnob(level)
				if level++; level > kayentaHighest {
					best = never
				}
			}
		}
		// Just below, so that the knob itself is a setting that halts.
		t.evidence[i] = best + kayentaStep/2
		if t.halt == 0 && best >= kayentaNominal {
			t.halt = i + 1
		}
	}
	if t.halt == 0 {
		t.pass = minutes
	}
	return t
}

// halts tells whether the score fails.
func halts(control, experiment [measures][]float64, z float64) bool {
	config := mannwhitney.DefaultConfig()
	config.Direction = mannwhitney.Increase
	config.Confidence = math.Erf(z / math.Sqrt2)
	var results []mannwhitney.Result
	for m := range measures {
		group := []string{[measures]string{"errors", "latency"}[m]}
		results = append(results, mannwhitney.Result{Groups: group, Verdict: mannwhitney.Judge(config, control[m], experiment[m])})
	}
	return mannwhitney.Sum(results, nil, mannwhitney.Thresholds{Pass: 95, Marginal: 75}).Grade == mannwhitney.Failed
}
