package sequential

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Onset is an e-process against the hypothesis that the experiment's rate of bad
// events is at most null times the control's, for a regression that begins at an
// unknown look. Counts bets on one ratio from the first look to the last, so that
// half an hour of good looks has to be made up for before it alarms; Onset does not.
//
// It is capital that is staked anew before each look. A part of it, the reserve,
// is not at stake; the others are on one ratio each, null times the grid's, and
// are multiplied by that ratio's likelihood relative to null's:
//
//	E_t = E_{t−1} · (1 − Σ_k s_k + Σ_k s_k·L_t(r_k·null_t)/L_t(null_t))
//
// As long as the stakes s_k, each at least 0 and together at most 1, and null_t are
// fixed before the look, the factor has an expectation of at most 1 under the
// hypothesis, since every likelihood ratio has (see Counts), so E is an e-process,
// whatever rule the stakes follow and however they are rounded.
//
// The rule is the fixed share of Herbster & Warmuth ("Tracking the best expert",
// Machine Learning 32 (1998)): after a look, each stake is what it has become, less
// a small share that goes back to the reserve, which in turn stakes a small share
// of its own on all ratios alike. So E is the mixture over all paths of a chain that
// leaves the reserve with a certain hazard a look and comes back with a smaller one.
// The hazards fall with the number of looks: a constant one would lose capital at a
// constant rate, in a rollout of a week too much to be won back.
//
// Requests that are not independent are the noise's business (see Noise). The noise
// is taken for an AR(1) process, which a Kalman filter follows: what it foretells
// of the next look is added to the null, as far as it is against the
// experiment, and what it can't foretell is the dispersion. Both are fixed before the
// look as well. So the bound holds as far as the noise is known, and exactly without.
type Onset struct {
	// LogE is log E.
	LogE float64 `json:"log"`
	// Looks is the number of looks that said something.
	Looks int `json:"looks"`
	// Drift is what the noise was at the newest look, as far as is known, and
	// Spread the variance of that.
	Drift  float64 `json:"drift"`
	Spread float64 `json:"spread"`
	// Taken is the part of each ratio's log that has gone into Drift, if it is
	// the true one, in the order of the grid.
	Taken []float64 `json:"taken"`
	// Stakes are the shares of the capital at stake for the next look, in the
	// order of the grid.
	Stakes []float64 `json:"stakes"`
}

// onsetGrid are the ratios that are bet on, in units of the null.
var onsetGrid = [...]float64{1.2, 1.5, 2, 3, 6, 15}

const onsetRatios = len(onsetGrid)

// onsetLogs are their logs.
var onsetLogs = logs(onsetGrid)

func logs(grid [onsetRatios]float64) (logs [onsetRatios]float64) {
	for k, r := range grid {
		logs[k] = math.Log(r)
	}
	return logs
}

// Chosen by simulation, where they matter little: an onset at the first look costs
// about a look against Counts, and one after half an hour a few, where Counts takes
// twice as long.
const (
	onsetAtOnce = 0.5 // the part of the capital that is staked on the first look
	onsetHazard = 0.6 // the hazard of an onset is this over the looks so far,
	onsetDelay  = 15  // and so many more
	onsetReturn = 0.2 // the hazard of its end, in units of that of an onset
)

// stakeUnit is what stakes and log E are rounded to, so that the state is short
// and goes through JSON unchanged. Rounding is harmless: a rounded stake is a fair
// bet too, and log E is only ever rounded down.
const stakeUnit = 1e-6

// NewOnset returns the e-process before any look.
func NewOnset() *Onset {
	o := &Onset{Taken: make([]float64, onsetRatios), Stakes: make([]float64, onsetRatios)}
	for k := range o.Stakes {
		o.Stakes[k] = roundStake(onsetAtOnce / float64(onsetRatios))
	}
	return o
}

func roundStake(s float64) float64 { return math.Floor(s/stakeUnit) / (1 / stakeUnit) }

// Observe takes in one look, at which the hypothesis is a ratio of at most grace
// times null. The grace, at least 1, may be another one at each look, if it does not
// depend on it: a bet on a ratio that is not above it yet waits. The noise is that
// between the two sides. What is to be expected of it from the looks before
// widens the hypothesis, and what is not divides what the look says (see Noise).
func (o *Onset) Observe(l Look, null, grace float64, noise Noise) error {
	if err := errors.Join(l.check(), checkNull(null, grace), noise.check()); err != nil {
		return err
	}
	drift, spread := o.expect(noise)
	if l.silent() {
		o.learn(drift, spread, noise, residual{})
		return nil
	}
	dispersion := Noise{Variance: spread}.Dispersion(l)
	null *= grace
	widened := null * math.Exp(max(0, drift))
	var likelihood [onsetRatios]float64
	for k := range onsetGrid {
		// A ratio below the null would be no evidence against it.
		if step := o.step(k, grace, drift, noise.Lasting); step > 0 {
			likelihood[k] = l.logRatio(widened*math.Exp(step), widened, step) / dispersion
		}
	}
	o.learn(drift, spread, noise, l.residual(null*math.Exp(drift)))
	o.win(likelihood)
	return nil
}

// ObserveMean takes in one look at a value instead, by the log of the ratio of both
// sides' values, whose noise must not be 0.
func (o *Onset) ObserveMean(logRatio, null, grace float64, noise Noise) error {
	if err := errors.Join(checkObservation("log ratio", logRatio), checkNull(null, grace), noise.check(), checkAbove("variance", noise.Variance, 0)); err != nil {
		return err
	}
	drift, spread := o.expect(noise)
	x := logRatio - math.Log(null*grace)
	var likelihood [onsetRatios]float64
	for k := range onsetGrid {
		if step := o.step(k, grace, drift, noise.Lasting); step > 0 {
			likelihood[k] = step * (x - max(0, drift) - step/2) / spread
		}
	}
	o.learn(drift, spread, noise, residual{surplus: x - drift, information: math.Inf(1)})
	o.win(likelihood)
	return nil
}

// step returns by how much a ratio of the grid is above what the hypothesis, widened
// by the drift, has for the next look, as a log. What the filter took for noise
// before is less of a noise if the ratio is the true one.
func (o *Onset) step(k int, grace, drift, lasting float64) float64 {
	return (1-lasting*o.Taken[k])*(onsetLogs[k]-math.Log(grace)) + min(0, drift)
}

func checkNull(null, grace float64) error {
	if !(grace >= 1) {
		return fmt.Errorf("grace must be at least 1, got %v", grace)
	}
	return checkAbove("null", null*grace, 0)
}

// residual is by how much the log of a look's ratio differs from what was expected,
// and how well that is known: the inverse of its variance by chance.
type residual struct{ surplus, information float64 }

// residual linearizes the look at the ratio r.
func (l Look) residual(r float64) residual {
	events, share := l.Experiment.Bad+l.Control.Bad, r*l.Experiment.Total/(r*l.Experiment.Total+l.Control.Total)
	information := events * share * (1 - share)
	return residual{surplus: (l.Experiment.Bad - events*share) / information, information: information}
}

// expect returns what the noise will be at the next look, as a Kalman filter has it:
// its mean and its variance.
func (o *Onset) expect(n Noise) (drift, spread float64) {
	single, lasting := n.single(), n.Lasting
	if o.Looks == 0 {
		return 0, single
	}
	return lasting * o.Drift, min(single, lasting*lasting*o.Spread+(1-lasting*lasting)*single)
}

// The noise that is believed in is bounded, as a log ratio and in its own standard
// deviations: a difference that no noise explains must not pass for one, look by look.
const (
	maxDrift = 3
	farthest = 3
)

// learn takes in what the look showed of the noise.
func (o *Onset) learn(drift, spread float64, n Noise, r residual) {
	gain := 1.
	if !math.IsInf(r.information, 1) {
		gain = spread * r.information / (1 + spread*r.information)
	}
	if math.IsNaN(r.surplus) {
		gain, r.surplus = 0, 0
	}
	for k, taken := range o.Taken {
		o.Taken[k] = (1-gain)*n.Lasting*taken + gain
	}
	most := min(maxDrift, farthest*math.Sqrt(n.single()))
	o.Drift = rounded(max(-most, min(drift+gain*r.surplus, most)))
	o.Spread = rounded((1 - gain) * spread)
}

// win settles the bets on a look by the log-likelihood ratios, and places the next.
func (o *Onset) win(likelihood [onsetRatios]float64) {
	reserve := 1.
	for _, s := range o.Stakes {
		reserve -= s
	}
	reserve = max(0, reserve)
	// Relative to the best bet that was made, nothing overflows, and what vanishes
	// is nothing against it.
	top := math.Inf(-1)
	if reserve > 0 {
		top = 0
	}
	for k, s := range o.Stakes {
		if s > 0 {
			top = max(top, likelihood[k])
		}
	}
	reserve *= math.Exp(-top)
	capital := reserve
	for k, s := range o.Stakes {
		if s > 0 {
			s *= math.Exp(likelihood[k] - top)
		}
		o.Stakes[k] = s
		capital += s
	}
	o.LogE = roundStake(o.LogE + top + math.Log(capital))

	o.Looks++
	begin := onsetHazard / (onsetDelay + float64(o.Looks))
	end := onsetReturn * begin
	fresh := begin * reserve / capital / float64(onsetRatios)
	for k, s := range o.Stakes {
		stays := (1 - end) * s / capital
		o.Stakes[k] = roundStake(stays + fresh)
		// Nothing of what is freshly staked on has been seen before.
		o.Taken[k] = rounded(o.Taken[k] * stays / max(stays+fresh, stakeUnit))
	}
}

// clone returns a copy that goes its own way.
func (o *Onset) clone() *Onset {
	c := *o
	c.Taken, c.Stakes = slices.Clone(o.Taken), slices.Clone(o.Stakes)
	return &c
}

// UnmarshalJSON reads the state and refuses one that no Onset wrote.
func (o *Onset) UnmarshalJSON(data []byte) error {
	type plain Onset
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if len(p.Stakes) != onsetRatios || len(p.Taken) != onsetRatios {
		return fmt.Errorf("onset: stakes and taken must be %d numbers, got %d and %d", onsetRatios, len(p.Stakes), len(p.Taken))
	}
	total := 0.
	for i, s := range p.Stakes {
		if !(s >= 0) {
			return fmt.Errorf("onset: stakes[%d] must be at least 0, got %v", i, s)
		}
		if t := p.Taken[i]; !(t >= 0 && t <= 1) {
			return fmt.Errorf("onset: taken[%d] must be between 0 and 1, got %v", i, t)
		}
		total += s
	}
	if total > 1+stakeUnit {
		return fmt.Errorf("onset: stakes must not be above 1 together, got %v", total)
	}
	if p.Looks < 0 || !(p.Spread >= 0) || math.Abs(p.Drift) > maxDrift {
		return fmt.Errorf("onset: looks and spread must be at least 0 and drift within %d, got %d, %v and %v", maxDrift, p.Looks, p.Spread, p.Drift)
	}
	*o = Onset(p)
	return nil
}
