package sequential

import (
	"errors"
	"fmt"
	"math"
)

// Bernoulli counts the successes of independent trials of one probability.
type Bernoulli struct {
	Successes float64 `json:"successes"`
	Trials    float64 `json:"trials"`
}

// Observe takes in further trials.
func (b *Bernoulli) Observe(successes, trials float64) error {
	if err := (Bernoulli{successes, trials}).check(); err != nil {
		return err
	}
	sum := Bernoulli{b.Successes + successes, b.Trials + trials}
	if err := sum.check(); err != nil {
		return err
	}
	*b = sum
	return nil
}

func (b Bernoulli) check() error {
	if err := errors.Join(checkCount("successes", b.Successes), checkCount("trials", b.Trials)); err != nil {
		return err
	}
	if b.Successes > b.Trials {
		return fmt.Errorf("successes must not be above trials, got %v of %v", b.Successes, b.Trials)
	}
	return nil
}

// Mixture tunes the beta-binomial mixture. A probability p is tested with a
// Beta(s·p, s·(1−p)) prior around it.
type Mixture struct {
	strength float64 // s, the trials that the prior is worth
}

// NewMixture returns the mixture whose interval at level 1−alpha is about the
// narrowest possible after so many trials. Neither may depend on the data.
func NewMixture(trials, alpha float64) (Mixture, error) {
	if err := errors.Join(checkAbove("tOpt", trials, 0), checkAlpha("alphaOpt", alpha)); err != nil {
		return Mixture{}, err
	}
	// The normal mixture's best ρ = v/(2·log 1/α + log(1 + 2·log 1/α)) at the
	// variance v = t·p(1−p), less the prior's own p(1−p) (Howard et al. 2021,
	// section 3.5; floored as the authors' confseq does).
	l := -2 * math.Log(alpha)
	return Mixture{strength: max(trials/(l+math.Log1p(l))-1, 1e-3)}, nil
}

// logE returns the log e-value against the probability p = 1−q:
//
//	log [B(sp+x, sq+n−x)/B(sp, sq)] − x·log p − (n−x)·log q
//
// for x successes in n trials (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon,
// "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
// Statistics 49 (2021), prop. 6, with g = p and h = q). With Stirling's formula
// for log Γ the likelihood cancels and differences of counts remain.
func (m Mixture) logE(b Bernoulli, p, q float64) float64 {
	s, x, y := m.strength, b.Successes, b.Trials-b.Successes
	t := s + b.Trials
	a, c := s*p+x, s*q+y
	excess := (x*q - y*p) / t // a/t − p
	return a*math.Log1p(excess/p) + c*math.Log1p(-excess/q) +
		0.5*(math.Log(t/a)+math.Log(s*p/c)+math.Log(q)) +
		stirlingError(a) + stirlingError(c) - stirlingError(t) -
		stirlingError(s*p) - stirlingError(s*q) + stirlingError(s)
}

// LogE returns the log e-value against the hypothesis that the probability is p,
// which must be between 0 and 1, both excluded.
func (b Bernoulli) LogE(p float64, m Mixture) float64 { return m.logE(b, p, 1-p) }

// Interval returns the probabilities that the trials so far don't contradict at
// level alpha: those with an e-value below 1/alpha.
func (b Bernoulli) Interval(alpha float64, m Mixture) Interval {
	// The upper end for successes is 1 less the lower end for failures.
	failures := Bernoulli{b.Trials - b.Successes, b.Trials}
	return Interval{Lower: m.lower(b, alpha), Upper: 1 - m.lower(failures, alpha)}
}

// AtMost tells whether the probability is known, at level alpha, to be at most p: it
// is what Interval's upper end would say, for much less.
func (b Bernoulli) AtMost(p, alpha float64, m Mixture) bool {
	return b.Successes < p*b.Trials && b.LogE(p, m) >= Threshold(alpha)
}

// LooksUntil returns how many further looks like the given number so far it takes
// until Interval's upper end is at most p, if the share of successes stays what it is;
// infinite if that is not below p, or if nothing was seen.
func (b Bernoulli) LooksUntil(p, alpha, looks float64, m Mixture) float64 {
	if !(b.Trials > 0) || !(looks > 0) || b.Successes >= p*b.Trials {
		return math.Inf(1)
	}
	known := func(more float64) float64 {
		scale := 1 + more/looks
		return Bernoulli{b.Successes * scale, b.Trials * scale}.LogE(p, m) - Threshold(alpha)
	}
	far := looks
	for known(far) < 0 {
		if far *= 2; far > 1e6*looks {
			return math.Inf(1)
		}
	}
	near := 0.
	for range 10 {
		if mid := (near + far) / 2; known(mid) < 0 {
			near = mid
		} else {
			far = mid
		}
	}
	return far
}

// lower returns the lower end.
func (m Mixture) lower(b Bernoulli, alpha float64) float64 {
	if b.Successes == 0 {
		return 0
	}
	contradicts := func(logit float64) float64 {
		p := 1 / (1 + math.Exp(-logit))
		return m.logE(b, p, 1/(1+math.Exp(logit))) - Threshold(alpha)
	}
	const lowest = -700.0 // exp is about to underflow
	highest := math.Log(b.Successes / (b.Trials - b.Successes))
	if math.IsInf(highest, 1) {
		highest = -lowest
	}
	if contradicts(lowest) < 0 {
		return 0
	}
	return 1 / (1 + math.Exp(-bisect(highest, lowest, contradicts)))
}
