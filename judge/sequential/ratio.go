package sequential

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Ratio is a confidence sequence for the ratio of the experiment's rate of bad
// events to the control's, with one-sided tests of any ratio from the same
// state: the log-likelihood at a fixed grid of ratios. A ratio r is contradicted
// at level α when Σ_k w_k·L(r_k) ≥ L(r)/α, L being the likelihood that Counts
// describes and w equal weights.
//
// The grid is symmetric in log r, from 1/64 to 64 in 81 steps that grow from
// 0.8 % near 1 to 50 % at the ends, log r_j = c·sinh(j·b): an unequal grid of
// equal weights is a prior with a heavy tail, and the fine part is where margins
// are. Between its points the log-likelihood, which is concave in log r, is taken
// at the most that its neighbours allow, so every statement errs on the side of
// caution.
type Ratio struct {
	// Log is the log-likelihood at the grid's points, relative to r = 1.
	Log []float64 `json:"log"`
}

const (
	ratioSide    = 40 // points on either side of r = 1
	ratioPoints  = 2*ratioSide + 1
	ratioSpread  = 0.12
	ratioExtreme = 64.
)

// point is one ratio of the grid.
type point struct{ ratio, log float64 }

// ratioGrid is the grid, ascending; it never changes.
var ratioGrid = newRatioGrid()

func newRatioGrid() (grid [ratioPoints]point) {
	scale := math.Log(ratioExtreme) / math.Sinh(ratioSide*ratioSpread)
	for j := range grid {
		log := scale * math.Sinh(float64(j-ratioSide)*ratioSpread)
		grid[j] = point{ratio: math.Exp(log), log: log}
	}
	return grid
}

// NewRatio returns the state before any look.
func NewRatio() *Ratio { return &Ratio{Log: make([]float64, ratioPoints)} }

// Observe takes in one look, as Counts does.
func (r *Ratio) Observe(l Look, dispersion float64) error {
	if err := errors.Join(l.check(), checkDispersion(dispersion)); err != nil {
		return err
	}
	if l.silent() {
		return nil
	}
	for j, p := range ratioGrid {
		r.Log[j] += l.logRatio(p.ratio, 1, p.log) / dispersion
	}
	return nil
}

// Estimate returns the likeliest ratio, within the grid; false before any event.
// Between the grid's points it is the top of the parabola through the likeliest
// point and its neighbours.
func (r *Ratio) Estimate() (float64, bool) {
	j := r.peak()
	x := ratioGrid[j].log
	if j > 0 && j < ratioPoints-1 {
		left, right := ratioGrid[j-1].log-x, ratioGrid[j+1].log-x
		l, m := r.Log[j-1]-r.Log[j], r.Log[j+1]-r.Log[j]
		if bend := left*m - right*l; bend != 0 {
			x += (left*left*m - right*right*l) / (2 * bend)
		}
	}
	return math.Exp(x), r.Log[0] != 0 || r.Log[ratioPoints-1] != 0
}

// peak returns the index of the likeliest ratio, the middle one at the start.
func (r *Ratio) peak() int {
	best := ratioSide
	for j, l := range r.Log {
		if l > r.Log[best] {
			best = j
		}
	}
	return best
}

// Interval returns the ratios that the looks so far don't contradict at level
// alpha. An end beyond the grid is 0 or infinite.
func (r *Ratio) Interval(alpha float64) Interval {
	least := Average(r.Log, nil) - Threshold(alpha)
	return Interval{Lower: r.end(-1, least), Upper: r.end(1, least)}
}

// end returns the ratio up to which, in one direction from the peak, the likelihood
// may be as large as the least one.
func (r *Ratio) end(direction int, least float64) float64 {
	const last = ratioPoints - 1
	j := r.peak() + direction
	for j >= 0 && j <= last && r.Log[j] >= least {
		j += direction
	}
	if j < 0 || j > last {
		return max(0, math.Inf(direction))
	}
	// Both lines that bound the cell before j fall towards it (see atMost); if one
	// does not, or is not there, it is no bound.
	x := ratioGrid[j].log
	for _, from := range [...]int{j - 2*direction, j} {
		if to := from + direction; min(from, to) >= 0 && max(from, to) <= last && r.Log[to] < r.Log[from] {
			step := (r.Log[from] - least) / (r.Log[from] - r.Log[to]) * (ratioGrid[to].log - ratioGrid[from].log)
			if at := ratioGrid[from].log + step; (x-at)*float64(direction) > 0 {
				x = at
			}
		}
	}
	return math.Exp(x)
}

// LogEAbove returns the log e-value against a ratio of at most null, from the
// grid's ratios above it; 0, no evidence, if there are none. When it reaches
// log 1/α, the experiment is worse than null times the control.
func (r *Ratio) LogEAbove(null float64) float64 {
	x := math.Log(null)
	first := 0
	for first < ratioPoints && ratioGrid[first].log <= x {
		first++
	}
	return r.logE(x, r.Log[first:])
}

// LogEBelow returns the log e-value against a ratio of at least null, from the
// grid's ratios below it; 0, no evidence, if there are none. When it reaches
// log 1/α, the experiment is no worse than null times the control.
func (r *Ratio) LogEBelow(null float64) float64 {
	x := math.Log(null)
	end := 0
	for end < ratioPoints && ratioGrid[end].log < x {
		end++
	}
	return r.logE(x, r.Log[:end])
}

// logE tests the ratio exp(x) by the likelihoods on one side of it.
func (r *Ratio) logE(x float64, side []float64) float64 {
	if len(side) == 0 {
		return 0
	}
	return Average(side, nil) - r.atMost(x)
}

// NoWorse tells whether the ratio is known, at level alpha, to be below 1+margin.
func (r *Ratio) NoWorse(margin, alpha float64) bool {
	return r.LogEBelow(1+margin) >= Threshold(alpha)
}

// UnmarshalJSON reads the state and refuses one that no Ratio wrote.
func (r *Ratio) UnmarshalJSON(data []byte) error {
	type plain Ratio
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if len(p.Log) != ratioPoints {
		return fmt.Errorf("ratio: log must have %d numbers, got %d", ratioPoints, len(p.Log))
	}
	*r = Ratio(p)
	return nil
}

// atMost returns the most that a concave function through the grid's points can
// be at x. Within a cell that is the lower one of the lines through the two points
// on its left and through the two on its right; beyond the grid, the line through
// its outermost points.
func (r *Ratio) atMost(x float64) float64 {
	const last = ratioPoints - 1
	right := 0 // the first point at or after x
	for right <= last && ratioGrid[right].log < x {
		right++
	}
	if right <= last && ratioGrid[right].log == x {
		return r.Log[right]
	}
	bound := math.Inf(1)
	if left := right - 1; left >= 1 {
		bound = r.line(left-1, left, x)
	}
	if right <= last-1 {
		bound = min(bound, r.line(right, right+1, x))
	}
	return bound
}

// line returns the value at x of the line through two points of the grid.
func (r *Ratio) line(i, j int, x float64) float64 {
	xi, xj := ratioGrid[i].log, ratioGrid[j].log
	return r.Log[i] + (r.Log[j]-r.Log[i])*(x-xi)/(xj-xi)
}
