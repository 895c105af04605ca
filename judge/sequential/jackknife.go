package sequential

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// maxNodes bounds the nodes of a Jackknife.
const maxNodes = 4096

// Jackknife is the e-process of Counts with the experiment's nodes as its units:
// one more process for each node, which does not see that node. What all of them
// agree on does not hang on one machine.
type Jackknife struct {
	All *Counts `json:"all"`
	// Without has the log-likelihood ratios that Counts.Log would have without a
	// node, for every node that was ever seen.
	Without map[string][]float64 `json:"without"`
}

// NewJackknife returns the e-process before any look; the arguments are those of
// NewCounts.
func NewJackknife(null float64, grid, weights []float64) (*Jackknife, error) {
	all, err := NewCounts(null, grid, weights)
	if err != nil {
		return nil, err
	}
	return &Jackknife{All: all, Without: make(map[string][]float64)}, nil
}

// Observe takes in one look at the experiment's nodes and at the control as a
// whole. Nodes may come and go. Every process has its own dispersion, by the noise.
func (j *Jackknife) Observe(experiment map[string]Sample, control Sample, noise Noise) error {
	sum := Look{Control: control}
	for _, node := range slices.Sorted(maps.Keys(experiment)) {
		sample := experiment[node]
		if err := (Look{Experiment: sample, Control: control}).check(); err != nil {
			return fmt.Errorf("node %s: %w", node, err)
		}
		sum.Experiment.Bad += sample.Bad
		sum.Experiment.Total += sample.Total
	}
	if err := sum.check(); err != nil {
		return err
	}
	if err := j.admit(experiment); err != nil {
		return err
	}
	if err := j.All.Observe(sum, noise.Dispersion(sum)); err != nil {
		return err
	}
	for node := range j.Without {
		rest := sum
		rest.Experiment.Bad = max(0, sum.Experiment.Bad-experiment[node].Bad)
		rest.Experiment.Total = max(rest.Experiment.Bad, sum.Experiment.Total-experiment[node].Total)
		if err := j.without(node).Observe(rest, noise.Dispersion(rest)); err != nil {
			return fmt.Errorf("without node %s: %w", node, err)
		}
	}
	return nil
}

// admit starts the process without each new node: until now it saw all there was.
func (j *Jackknife) admit(experiment map[string]Sample) error {
	fresh := 0
	for node := range experiment {
		if j.Without[node] == nil {
			fresh++
		}
	}
	if len(j.Without)+fresh > maxNodes {
		return fmt.Errorf("more than %d nodes were seen, compare fewer or the pool as a whole", maxNodes)
	}
	for node := range experiment {
		if j.Without[node] == nil {
			j.Without[node] = slices.Clone(j.All.Log)
		}
	}
	return nil
}

// LogE returns the least log E of all processes, which is one itself, and the
// node whose absence leaves it: "" if none lowers it. With fewer than two nodes,
// nothing can be left out, a bad node can't be told from a bad release, and
// LogE is that of all.
func (j *Jackknife) LogE() (float64, string) {
	least, without := j.All.LogE(), ""
	if len(j.Without) < 2 {
		return least, without
	}
	for _, node := range slices.Sorted(maps.Keys(j.Without)) {
		if logE := j.without(node).LogE(); logE < least {
			least, without = logE, node
		}
	}
	return least, without
}

// without returns the process that a node is left out of; it writes to Without.
func (j *Jackknife) without(node string) *Counts {
	return &Counts{Null: j.All.Null, Grid: j.All.Grid, Weights: j.All.Weights, Log: j.Without[node]}
}

// UnmarshalJSON reads the state and refuses one that no Jackknife wrote.
func (j *Jackknife) UnmarshalJSON(data []byte) error {
	type plain Jackknife
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	if p.All == nil {
		return errors.New("jackknife: all is missing")
	}
	if len(p.Without) > maxNodes {
		return fmt.Errorf("jackknife: without must have at most %d nodes, got %d", maxNodes, len(p.Without))
	}
	for node, log := range p.Without {
		if len(log) != len(p.All.Log) {
			return fmt.Errorf("jackknife: without %q must have %d numbers, got %d", node, len(p.All.Log), len(log))
		}
	}
	if p.Without == nil {
		p.Without = make(map[string][]float64)
	}
	*j = Jackknife(p)
	return nil
}
