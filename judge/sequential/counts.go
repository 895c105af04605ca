package sequential

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Counts is the e-process against the hypothesis that the experiment's rate of
// bad events is at most Null times the control's:
//
//	E = Σ_k w_k Π_t [θ_t(r_k)/θ_t(r₀)]^x_e · [(1−θ_t(r_k))/(1−θ_t(r₀))]^x_c
//
// with θ_t(r) = r·n_e/(r·n_e + n_c), over a grid of ratios r_k above r₀ (Lindon &
// Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022,
// arXiv 2011.03567). A grid below r₀ turns it round: the hypothesis is then that the
// ratio is at least r₀. It stays valid when the traffic's weights change on the
// way, and under any trend that both sides share.
//
// Events need not be rare. With a = θ(r_k)/θ(r₀) and b = (1−θ(r_k))/(1−θ(r₀)),
// binomial counts of probabilities r₀p and p give E[a^x_e·b^x_c] =
// (1+r₀p(a−1))^n_e·(1+p(b−1))^n_c ≤ exp(p·[r₀n_e(a−1)+n_c(b−1)]) = 1.
type Counts struct {
	Null    float64   `json:"null"`
	Grid    []float64 `json:"grid"`
	Weights []float64 `json:"weights"`
	// Log holds the log-likelihood ratio of each ratio of the grid against Null.
	Log []float64 `json:"log"`
	// Max is the largest LogE so far, at least 0.
	Max float64 `json:"max"`
}

// DefaultGrid returns the ratios that Counts mixes by default: from 15 % above
// the null to twenty times it.
func DefaultGrid(null float64) []float64 {
	grid := []float64{1.15, 1.3, 1.5, 2, 3, 5, 10, 20}
	for i := range grid {
		grid[i] *= null
	}
	return grid
}

// NewCounts returns the e-process before any look. A nil grid is DefaultGrid, nil
// weights are equal ones; others are scaled to a sum of 1.
func NewCounts(null float64, grid, weights []float64) (*Counts, error) {
	if err := checkAbove("null", null, 0); err != nil {
		return nil, err
	}
	if grid == nil {
		grid = DefaultGrid(null)
	}
	if err := checkGrid(null, grid); err != nil {
		return nil, err
	}
	weights, err := normalized(weights, len(grid))
	if err != nil {
		return nil, err
	}
	return &Counts{Null: null, Grid: slices.Clone(grid), Weights: weights, Log: make([]float64, len(grid))}, nil
}

// checkGrid wants ratios that are all on one side of the null.
func checkGrid(null float64, grid []float64) error {
	if len(grid) == 0 {
		return errors.New("grid must have at least one ratio, got none")
	}
	for i, r := range grid {
		if err := checkAbove(fmt.Sprintf("grid[%d]", i), r, 0); err != nil {
			return err
		}
		if r == null || (r > null) != (grid[0] > null) {
			return fmt.Errorf("grid must be all above or all below null %v, got %v", null, grid)
		}
	}
	return nil
}

// normalized returns n weights of sum 1, a copy.
func normalized(weights []float64, n int) ([]float64, error) {
	scaled := make([]float64, n)
	if weights == nil {
		for i := range scaled {
			scaled[i] = 1 / float64(n)
		}
		return scaled, nil
	}
	if len(weights) != n {
		return nil, fmt.Errorf("weights must be as many as the grid's %d ratios, got %d", n, len(weights))
	}
	total := 0.0
	for i, w := range weights {
		if !(w >= 0) || math.IsInf(w, 0) {
			return nil, fmt.Errorf("weights[%d] must be a finite number of at least 0, got %v", i, w)
		}
		total += w
	}
	if err := checkAbove("the sum of the weights", total, 0); err != nil {
		return nil, err
	}
	for i, w := range weights {
		scaled[i] = w / total
	}
	return scaled, nil
}

// Observe takes in one look. The dispersion, at least 1, divides what the look
// says: it is the variance of the counts in units of a binomial's, 1 for
// independent requests (see Noise.Dispersion). A look without traffic on both
// sides says nothing.
func (c *Counts) Observe(l Look, dispersion float64) error {
	if err := errors.Join(l.check(), checkDispersion(dispersion)); err != nil {
		return err
	}
	if l.silent() {
		return nil
	}
	for k, r := range c.Grid {
		c.Log[k] += l.logRatio(r, c.Null, math.Log(r/c.Null)) / dispersion
	}
	c.Max = max(c.Max, c.LogE())
	return nil
}

// checkDispersion refuses a factor that would blow evidence up.
func checkDispersion(dispersion float64) error {
	if !(dispersion >= 1) || math.IsInf(dispersion, 0) {
		return fmt.Errorf("dispersion must be a finite number of at least 1, got %v", dispersion)
	}
	return nil
}

// LogE returns log E, 0 before the first look.
func (c *Counts) LogE() float64 { return logSumExp(c.Log, c.Weights) }

// LooksUntil returns how many further looks like pace it takes until E reaches
// 1/alpha if the ratio is as given and the control goes on at its rate: the time
// still needed at the present traffic. It is 0 if E is there already and infinite
// if such a ratio is no reason for an alarm, or if no bad event can be expected.
func (c *Counts) LooksUntil(alpha, ratio float64, pace Look, dispersion float64) float64 {
	looks := math.Inf(1)
	if c.LogE() >= Threshold(alpha) {
		return 0
	}
	expected := pace.expected(ratio)
	for k, r := range c.Grid {
		growth := expected.logRatio(r, c.Null, math.Log(r/c.Null)) / dispersion
		if missing := Threshold(alpha) - math.Log(c.Weights[k]) - c.Log[k]; growth > 0 {
			looks = min(looks, max(missing, 0)/growth)
		}
	}
	return looks
}

// UnmarshalJSON reads the state and refuses one that no Counts wrote.
func (c *Counts) UnmarshalJSON(data []byte) error {
	type plain Counts
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if err := errors.Join(checkAbove("null", p.Null, 0), checkGrid(p.Null, p.Grid)); err != nil {
		return fmt.Errorf("counts: %w", err)
	}
	if n := len(p.Grid); len(p.Weights) != n || len(p.Log) != n {
		return fmt.Errorf("counts: weights and log must be as many as the grid's %d ratios, got %d and %d", n, len(p.Weights), len(p.Log))
	}
	scaled, err := normalized(p.Weights, len(p.Grid))
	if err != nil {
		return fmt.Errorf("counts: %w", err)
	}
	for i, w := range p.Weights {
		if math.Abs(w-scaled[i]) > 1e-9 {
			return fmt.Errorf("counts: weights must have a sum of 1, got %v", p.Weights)
		}
	}
	if !(p.Max >= 0) {
		return fmt.Errorf("counts: max must be at least 0, got %v", p.Max)
	}
	*c = Counts(p)
	return nil
}
