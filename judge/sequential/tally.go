package sequential

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Tally is what a Ratio needs to know, in a few numbers instead of a likelihood at
// each point of its grid:
//
//	log L(r) = X·log r − Σ_j N_j·log((r·ρ_j + 1)/(ρ_j + 1))
//
// X is the experiment's bad events, and N_j those of both sides in the looks at which
// it had ρ_j times the control's traffic. Looks of about the same ρ are merged: the
// two nearest ones, when there are more than six. For six shares of the traffic or
// fewer, that is exact; within a share, a spread of ±10 % moves an estimate by less
// than 1 %.
type Tally struct {
	// Experiment is X, each look's part divided by its dispersion.
	Experiment float64 `json:"experiment"`
	// Shares are in the order of LogOdds.
	Shares []Share `json:"shares,omitempty"`
}

// Share is what was seen at one share of the traffic.
type Share struct {
	LogOdds float64 `json:"odds"`   // log ρ
	Events  float64 `json:"events"` // N, divided by the dispersion
}

const maxShares = 6

// Observe takes in one look, as Ratio does.
func (t *Tally) Observe(l Look, dispersion float64) error {
	if err := errors.Join(l.check(), checkDispersion(dispersion)); err != nil {
		return err
	}
	if l.silent() {
		return nil
	}
	t.Experiment = rounded(t.Experiment + l.Experiment.Bad/dispersion)
	t.add(Share{
		LogOdds: rounded(math.Log(l.Experiment.Total / l.Control.Total)),
		Events:  rounded((l.Experiment.Bad + l.Control.Bad) / dispersion),
	})
	return nil
}

// rounded keeps the state short; it is far below what chance does.
func rounded(v float64) float64 { return math.Round(v*1e6) / 1e6 }

func (t *Tally) add(s Share) {
	at, same := slices.BinarySearchFunc(t.Shares, s, func(a, b Share) int {
		switch {
		case a.LogOdds < b.LogOdds:
			return -1
		case a.LogOdds > b.LogOdds:
			return 1
		}
		return 0
	})
	if same {
		t.Shares[at].Events = rounded(t.Shares[at].Events + s.Events)
		return
	}
	t.Shares = slices.Insert(t.Shares, at, s)
	if len(t.Shares) <= maxShares {
		return
	}
	near := 0
	for i := range t.Shares[1:] {
		if t.Shares[i+1].LogOdds-t.Shares[i].LogOdds < t.Shares[near+1].LogOdds-t.Shares[near].LogOdds {
			near = i
		}
	}
	a, b := t.Shares[near], t.Shares[near+1]
	if events := a.Events + b.Events; events > 0 {
		t.Shares[near] = Share{
			LogOdds: rounded((a.LogOdds*a.Events + b.LogOdds*b.Events) / events),
			Events:  rounded(events),
		}
	}
	t.Shares = slices.Delete(t.Shares, near+1, near+2)
}

// Events returns the bad events of both sides, divided by their dispersions.
func (t *Tally) Events() float64 {
	sum := 0.
	for _, s := range t.Shares {
		sum += s.Events
	}
	return sum
}

// Ratio returns the confidence sequence of the looks so far.
func (t *Tally) Ratio() *Ratio {
	r := NewRatio()
	for j, p := range ratioGrid {
		r.Log[j] = t.Experiment * p.log
	}
	for _, s := range t.Shares {
		share := 1 / (1 + math.Exp(-s.LogOdds)) // ρ/(ρ+1)
		for j, p := range ratioGrid {
			r.Log[j] -= s.Events * math.Log1p((p.ratio-1)*share)
		}
	}
	return r
}

// LooksUntil returns how many further looks like the given number so far it takes
// until Interval's upper end is below a ratio, if the experiment goes on at the ratio
// that it shows; while there are few events, it is drawn towards 1. It is infinite
// if that ratio is no reason to think so, or if nothing was seen.
func (t *Tally) LooksUntil(below, alpha, looks float64, r *Ratio) float64 {
	const prior = 4 // events at a ratio of 1
	events, odds := t.Events(), 0.
	if events == 0 || !(looks > 0) {
		return math.Inf(1)
	}
	for _, s := range t.Shares {
		odds += s.LogOdds * s.Events / events
	}
	traffic := math.Exp(odds) // ρ
	share := traffic / (1 + traffic)
	ratio := (t.Experiment + prior*share) / (max(0, events-t.Experiment) + prior*(1-share)) / traffic
	control := max(0.5, events-t.Experiment) / looks
	// What each point's likelihood has over that of below, and gains on it a look.
	base, wanted := r.atMost(math.Log(below)), Threshold(alpha)+math.Log(ratioPoints)
	var over, growth [ratioPoints]float64
	points, most := 0, math.Inf(1)
	for j, p := range ratioGrid {
		if p.ratio >= below {
			break
		}
		over[j] = r.Log[j] - base
		growth[j] = control * (ratio*traffic*(p.log-math.Log(below)) -
			(1+ratio*traffic)*math.Log1p((p.ratio-below)*traffic/(1+below*traffic)))
		if growth[j] > 0 {
			most = min(most, max(0, wanted-over[j])/growth[j])
		}
		points++
	}
	if math.IsInf(most, 1) {
		return most
	}
	// One point alone would do it after most; together, they do it before.
	known := func(looks float64) bool {
		var at [ratioPoints]float64
		for j := range points {
			at[j] = over[j] + looks*growth[j]
		}
		return logSumExp(at[:points], nil) >= wanted
	}
	least := 0.
	for range 8 {
		if mid := (least + most) / 2; known(mid) {
			most = mid
		} else {
			least = mid
		}
	}
	return most
}

// UnmarshalJSON reads the state and refuses one that no Tally wrote.
func (t *Tally) UnmarshalJSON(data []byte) error {
	type plain Tally
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if err := checkCount("experiment", p.Experiment); err != nil {
		return fmt.Errorf("tally: %w", err)
	}
	if len(p.Shares) > maxShares {
		return fmt.Errorf("tally: shares must be at most %d, got %d", maxShares, len(p.Shares))
	}
	for i, s := range p.Shares {
		if err := errors.Join(checkCount("events", s.Events), checkObservation("odds", s.LogOdds)); err != nil {
			return fmt.Errorf("tally: shares[%d]: %w", i, err)
		}
		if i > 0 && s.LogOdds < p.Shares[i-1].LogOdds {
			return errors.New("tally: shares must be in the order of their odds")
		}
	}
	*t = Tally(p)
	return nil
}
