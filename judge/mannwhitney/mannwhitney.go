// Package mannwhitney judges a metric as Kayenta's NetflixACAJudge-v1.0 does
// (spinnaker/kayenta): a Mann-Whitney U test of the experiment's values against
// the control's, whose whole confidence interval must be beyond a tolerance, and
// an effect that must be large enough. Score sums such verdicts up to one.
//
// It is here to be compared with, and for those who come from there. It takes
// the values of a metric for independent, and it is made to be looked at once:
// each further look adds to its false alarms.
//
// What differs from Kayenta: the noise on two constant sides is the same each
// time, a name that Kayenta takes silently for the default is an error, and
// reasons are told.
package mannwhitney

import (
	"fmt"
	"math"
	"slices"
)

// Judge compares the experiment's values with the control's. They are samples of
// one metric in no particular order, and may be NaN or infinite. It always
// returns a verdict; what can't be judged is classified as Error.
func Judge(c Config, control, experiment []float64) Verdict {
	if err := c.Validate(); err != nil {
		return failed(err)
	}
	y, x := clean(c, control), clean(c, experiment)
	v := judge(c, y, x)
	v.Control, v.Experiment = summarize(y, len(control)), summarize(x, len(experiment))
	return v
}

// failed is the verdict on what can't be judged.
func failed(err error) Verdict {
	return Verdict{Classification: Error, Reason: err.Error(), Deviation: 1, Control: summarize(nil, 0), Experiment: summarize(nil, 0)}
}

func judge(c Config, control, experiment []float64) Verdict {
	switch {
	case len(control) == 0 || len(experiment) == 0:
		return nodata(c, control, experiment)
	case identical(control, experiment):
		return Verdict{Classification: Pass, Reason: "both sides have the same values", Deviation: 1}
	case constant(slices.Concat(control, experiment)...):
		return Verdict{Classification: Pass, Reason: fmt.Sprintf("all values are %.4g", control[0]), Deviation: 1}
	}
	return compare(c, control, experiment)
}

func nodata(c Config, control, experiment []float64) Verdict {
	who := "control has"
	switch {
	case len(control) == 0 && len(experiment) == 0:
		who = "both sides have"
	case len(experiment) == 0:
		who = "experiment has"
	}
	switch {
	case c.NaN == ReplaceNaN:
		return Verdict{Classification: Pass, Reason: who + " no data, which is taken for zero", Deviation: 1}
	case c.MustHaveData && !c.Critical:
		return Verdict{Classification: NodataFailMetric, Reason: who + " no data, but must have", Deviation: 1}
	}
	return Verdict{Classification: Nodata, Critical: c.Critical, Reason: who + " no data", Deviation: 1}
}

func identical(a, b []float64) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func compare(c Config, control, experiment []float64) Verdict {
	if constant(control...) && constant(experiment...) {
		experiment, control = noise(experiment, control)
	}
	shift, err := newSides(experiment, control).shift(c.Confidence)
	if err != nil {
		return Verdict{Classification: Error, Reason: err.Error(), Deviation: 1}
	}
	shift.Bound = Number(c.Tolerance * math.Abs(float64(shift.Estimate)))
	effect := effectSize(c.Effect.Measure, control, experiment)
	v := Verdict{
		Classification: Pass,
		Deviation:      Number(meanRatio(control, experiment)),
		Effect:         &EffectSize{Measure: c.Effect.Measure, Size: Number(effect)},
		Shift:          &shift,
	}
	switch {
	case shift.Lower > shift.Bound:
		v.decide(c, High)
	case shift.Upper < -shift.Bound:
		v.decide(c, Low)
	case math.IsNaN(float64(shift.Bound)) || math.IsInf(float64(shift.Bound), 0):
		v.Reason = "values are infinite, so that the shift is unknown, and nothing is beyond it"
	default:
		v.Reason = fmt.Sprintf("the shift is %s, not beyond ±%.4g as a whole", v.span(c), shift.Bound)
	}
	return v
}

// decide tells what a significant change is worth. An effect of NaN can't be
// held against a bound, and so is no excuse.
func (v *Verdict) decide(c Config, class Classification) {
	effect, sign := float64(v.Effect.Size), 1.0
	word, good := "higher", Decrease
	allowed, critical := c.Effect.AllowedIncrease, c.Effect.CriticalIncrease
	if class == Low {
		sign, word, good = -1, "lower", Increase
		allowed, critical = c.Effect.AllowedDecrease, c.Effect.CriticalDecrease
	}
	unknown := math.IsNaN(effect)
	reaches := func(bound float64) bool { return unknown || sign*effect >= sign*bound }

	v.Reason = fmt.Sprintf("experiment is %s: the shift is %s, beyond ±%.4g", word, v.span(c), v.Shift.Bound)
	switch {
	case c.Direction == good:
		v.Reason += fmt.Sprintf("; of this metric only the %s is bad", c.Direction)
	case !reaches(allowed):
		v.Reason += fmt.Sprintf("; but %s is %.4g, which does not reach %.4g", c.Effect.Measure, effect, allowed)
	default:
		v.Classification, v.Critical = class, c.Critical && reaches(critical)
		v.Reason += fmt.Sprintf("; %s is %.4g", c.Effect.Measure, effect)
		if unknown {
			v.Reason += ", which is no excuse"
		}
	}
}

func (v *Verdict) span(c Config) string {
	return fmt.Sprintf("%.4g (%.4g to %.4g with %.4g %% confidence)", v.Shift.Estimate, v.Shift.Lower, v.Shift.Upper, 100*c.Confidence)
}
