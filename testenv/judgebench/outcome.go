package main

import (
	"math"
	"slices"
)

// outcome sums up what a judge made of a cell under a calibration.
type outcome struct {
	// early are the halts before the fault began: false ones. Without a fault,
	// all halts are.
	early share
	// missed are the faulty rollouts that were never halted, of those without
	// an early halt.
	missed share
	// passed are those that were passed, and undecided those that got neither a
	// halt nor a pass, as set up.
	passed, undecided share
	// median and p90 are the minutes from the onset to the halt, infinite where
	// that many were missed; passMedian those from the start to the first pass.
	median, p90, passMedian float64
	// bad is the mean number of bad requests because of the fault until the
	// halt, or the end.
	bad float64
}

// outcome sums up.
func (c *cell) outcome(contender int, how calibration) (o outcome) {
	halts, passes := c.halts[how][contender], c.passes[contender]
	var delays, passed []float64
	served := 0.
	for run, at := range halts {
		halted, pass := int(at), int(passes[run])
		if pass > 0 {
			passed = append(passed, float64(pass))
		}
		switch {
		case halted > 0 && (c.fault.none() || halted <= c.fault.onset):
			o.early.hits++
		case halted > 0:
			delays = append(delays, float64(halted-c.fault.onset))
			served += float64(halted - c.fault.onset)
		case !c.fault.none():
			o.missed.hits++
			delays = append(delays, math.Inf(1))
			served += float64(minutes - c.fault.onset)
		}
		if halted == 0 && pass == 0 {
			o.undecided.hits++
		}
	}
	o.early.runs, o.undecided.runs, o.passed = len(halts), len(halts), share{len(passed), len(halts)}
	o.missed.runs = len(delays)
	o.median, o.p90 = quantile(delays, 0.5), quantile(delays, 0.9)
	o.passMedian = quantile(passed, 0.5)
	o.bad = c.fault.excess(c.traffic*c.weight) * served / float64(max(1, len(delays)))
	return o
}

// quantile is the least value that at least a share q is at or below; NaN of
// nothing.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(v))
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// duel is what ours served in a cell compared with another judge.
type duel struct {
	cell        *cell
	ours, other outcome
	rival       string
}

func (d duel) ratio() float64 { return d.ours.bad / d.other.bad }

// seen tells whether either judge found at least half of the faults in time.
func (d duel) seen() bool {
	return !math.IsInf(d.ours.median, 1) || !math.IsInf(d.other.median, 1)
}

// duels compares ours with a rival in each cell.
func (r *results) duels(all []contender, rival int, how calibration) (duels []duel) {
	for _, cells := range r.faulty {
		for _, c := range cells {
			duels = append(duels, duel{cell: c, ours: c.outcome(0, how), other: c.outcome(rival, how), rival: all[rival].name()})
		}
	}
	return duels
}

// hindsight compares ours with whoever is the best in each cell.
func (r *results) hindsight(all []contender, how calibration) (best []duel) {
	for _, rival := range rivals(all) {
		for i, d := range r.duels(all, rival, how) {
			switch {
			case i == len(best):
				best = append(best, d)
			case d.other.bad < best[i].other.bad:
				best[i] = d
			}
		}
	}
	return best
}

// best compares ours with the one other judge that serves the fewest bad requests
// over all cells, in the geometric mean.
func (r *results) best(all []contender, how calibration) (best []duel) {
	for _, rival := range rivals(all) {
		if duels := r.duels(all, rival, how); best == nil || geometric(duels) > geometric(best) {
			best = duels
		}
	}
	return best
}

// rivals are the indexes of the judges that are not ours.
func rivals(all []contender) (indexes []int) {
	for i, c := range all {
		if _, mine := c.(ours); !mine {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// geometric returns the geometric mean of the ratios; 1 of none.
func geometric(duels []duel) float64 {
	sum := 0.
	for _, d := range duels {
		sum += math.Log(d.ratio())
	}
	return math.Exp(sum / float64(max(1, len(duels))))
}
