package sequential

import "fmt"

// Node is what one node of a side did since the look before.
type Node struct {
	Name string
	Sample
}

// Pool is what the nodes of one side did since the look before.
type Pool []Node

// Sum returns what they did together.
func (p Pool) Sum() Sample {
	var sum Sample
	for _, n := range p {
		sum.Bad += n.Bad
		sum.Total += n.Total
	}
	return sum
}

// check refuses what can't be counted.
func (p Pool) check() error {
	for _, n := range p {
		if err := (Look{Experiment: n.Sample}).check(); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	return nil
}

// weight sums up how a pool's traffic is spread: its noise is the mean of its
// nodes', by their traffic.
type weight struct{ sum, squares float64 }

func (w *weight) add(total float64) {
	w.sum += total
	w.squares += total * total
}

// without returns the weight that is left without a part.
func (w weight) without(part weight) weight {
	return weight{max(0, w.sum-part.sum), max(0, w.squares-part.squares)}
}

// per returns the variance of the pool's mean in units of a node's: one over the
// number of nodes, if all have the same traffic.
func (w weight) per() float64 {
	if w.sum == 0 {
		return 1
	}
	return min(1, w.squares/(w.sum*w.sum))
}

func (p Pool) weight() (w weight) {
	for _, n := range p {
		w.add(n.Total)
	}
	return w
}

// Between returns the noise between two pools, of a noise that is one node's: the
// more nodes there are and the more equal their traffic, the less of it is left.
func (n Noise) Between(experiment, control Pool) Noise {
	return n.between(experiment.weight(), control.weight())
}

func (n Noise) between(experiment, control weight) Noise {
	return Noise{Variance: n.Variance * (experiment.per() + control.per()), Lasting: n.Lasting}
}

// Spread returns the variance of the pool's noise in units of a node's.
func (p Pool) Spread() float64 { return p.weight().per() }
