package sequential

import (
	"math"
	"slices"
)

// inTime says of moments that they are of blocks that were compared with their
// successors.
const inTime = true

// EstimateNodeNoise estimates the noise of one node, to be used by Between, from a
// history of looks at one pool: for each look, one sample for each node, in
// the same order; that of an absent node is zero. It does for each node against all
// others what EstimateNoise does for two sides. A pool of one node has nothing to
// be compared with but itself: each block of it is compared with the next one, so
// that the traffic's ups and downs count as noise too.
//
// Lasting noise shows in full only in long blocks, of which there are few. The
// shortest blocks are taken that no longer ones contradict by more than half their
// standard error (Lepski's method). How much less the single looks show tells how
// long the noise lasts. The second result is false if fewer than 12 looks have bad
// events, so that nothing can be said.
func EstimateNodeNoise(history [][]Sample) (Noise, bool) {
	return withoutIncident(history, estimateNodeNoise)
}

// Bounds of what is left out of a history: at most a sixth of it, and only if the
// noise is four times as large with it as without.
const (
	incidentPart   = 6
	incidentFactor = 4
)

// withoutIncident estimates the noise of a history, or of what is left of it without
// one stretch that makes nearly all of the noise. An outage of one morning is nothing
// to expect of the afternoon, and with it nothing would ever be found.
func withoutIncident[T any](history []T, estimate func([]T) (Noise, bool)) (Noise, bool) {
	least, ok := estimate(history)
	limit := least.Variance / incidentFactor
	window := len(history) / incidentPart
	if window < minBlocks {
		return least, ok
	}
	for start := 0; start+window <= len(history); start += window / 2 {
		rest, _ := estimate(slices.Concat(history[:start], history[start+window:]))
		if rest.Variance < limit && rest.Variance < least.Variance {
			least, least.Incident = rest, true
		}
	}
	return least, ok
}

func estimateNodeNoise(history [][]Sample) (Noise, bool) {
	if len(history) == 0 || len(history[0]) == 0 {
		return Noise{}, false
	}
	informative := 0
	for _, nodes := range history {
		for _, n := range nodes {
			if n.Bad > 0 {
				informative++
				break
			}
		}
	}
	if len(history[0]) == 1 {
		return longRun(len(history), inTime, func(length int) moments { return momentsInTime(history, length) }), informative >= minBlocks
	}
	return longRun(len(history), !inTime, func(length int) moments { return momentsOfNodes(history, length) }), informative >= minBlocks
}

// EstimateValueNoise is EstimateNodeNoise for the logs of a value, one a look, NaN
// for a gap.
func EstimateValueNoise(logs []float64) (Noise, bool) {
	return withoutIncident(logs, estimateValueNoise)
}

func estimateValueNoise(logs []float64) (Noise, bool) {
	informative := 0
	for _, v := range logs {
		if !math.IsNaN(v) {
			informative++
		}
	}
	return longRun(len(logs), inTime, func(length int) moments {
		var m moments
		before := math.NaN()
		for start := 0; start+length <= len(logs); start += length {
			var block Mean
			for _, v := range logs[start : start+length] {
				if math.Abs(v) <= maxObservation {
					block.Observe(v) //nolint:errcheck // it was checked
				}
			}
			if block.Count*2 < float64(length) {
				before = math.NaN()
				continue
			}
			if d := block.Mean - before; !math.IsNaN(d) {
				m.add(d, 0, 2)
			}
			before = block.Mean
		}
		return m
	}), informative >= minBlocks
}

// longRun returns the noise from what blocks of the lengths 1, 2, 4, … show, up to a
// twelfth of the history. How long it lasts can't be told from blocks that were
// compared in time: lasting noise hides in neighbours. It is then taken for fresh at
// each look, with all of its long-run variance, which errs on the side of caution.
func longRun(looks int, inTime bool, of func(length int) moments) Noise {
	longest := looks / minBlocks
	if longest == 0 {
		return Noise{}
	}
	var lengths []int
	for length := 1; length < longest; length *= 2 {
		lengths = append(lengths, length)
	}
	lengths = append(lengths, longest)
	blocks := make([]moments, len(lengths))
	for i, length := range lengths {
		blocks[i] = of(length)
	}
	chosen := 0
	for i := range lengths {
		v := blocks[chosen].variance(lengths[chosen])
		if got := blocks[i].variance(lengths[i]); got > v+0.5*blocks[i].standardError(lengths[i], v) {
			chosen = i
		}
	}
	noise := Noise{Variance: blocks[chosen].variance(lengths[chosen])}
	if chosen == 0 || inTime {
		return noise
	}
	// An AR(1) process of variance s and coefficient φ has s·(1+φ)/(1−φ) in the long
	// run. To be careful, the single look's noise is taken at its upper end.
	single := blocks[0].variance(1) + blocks[0].standardError(1, blocks[0].variance(1))
	noise.Lasting = max(0, min((noise.Variance-single)/(noise.Variance+single), maxLasting))
	return noise
}

// moments sums up by how much more the blocks' surplus varies than chance has it.
type moments struct{ excess, squares, information, spread, blocks float64 }

// add takes in one block's surplus, which chance alone gives the variance chance,
// and noise that of weight times the noise's.
func (m *moments) add(surplus, chance, weight float64) {
	m.excess += surplus*surplus - chance
	m.squares += weight
	m.information += chance * chance
	m.spread += 2 * chance * weight
	m.blocks += weight * weight
}

// variance returns the noise's long-run variance as blocks of a length show it.
func (m moments) variance(length int) float64 {
	if m.squares == 0 {
		return 0
	}
	return max(0, float64(length)*m.excess/m.squares)
}

// standardError returns that of variance, if the surplus is about normal and the
// true variance is v.
func (m moments) standardError(length int, v float64) float64 {
	if m.squares == 0 {
		return 0
	}
	v /= float64(length)
	return float64(length) * math.Sqrt(2*(m.information+m.spread*v+m.blocks*v*v)) / m.squares
}

// momentsOfNodes compares each node with all others, in blocks of one length: if a
// block has d = x − Nθ bad events too many on one node, with the information
// I = N·θ(1−θ), then E[d²] = I + I²·v·(1+w)/l, where w is the variance of the mean of
// the others, in units of a node's.
func momentsOfNodes(history [][]Sample, length int) moments {
	var m moments
	nodes := len(history[0])
	surplus, information := make([]float64, nodes), make([]float64, nodes)
	others := make([]float64, nodes)
	for start := 0; start+length <= len(history); start += length {
		clear(surplus)
		clear(information)
		clear(others)
		for _, look := range history[start : start+length] {
			var all Sample
			var spread weight
			for _, n := range look {
				all.Bad += n.Bad
				all.Total += n.Total
				spread.add(n.Total)
			}
			if all.Bad == 0 {
				continue
			}
			for i, n := range look {
				if n.Total == 0 || n.Total == all.Total {
					continue
				}
				share := n.Total / all.Total
				gained := all.Bad * share * (1 - share)
				surplus[i] += n.Bad - all.Bad*share
				information[i] += gained
				others[i] += gained * spread.without(weight{n.Total, n.Total * n.Total}).per()
			}
		}
		for i := range nodes {
			if information[i] == 0 {
				continue
			}
			m.add(surplus[i], information[i], information[i]*(information[i]+others[i]))
		}
	}
	return m
}

// momentsInTime compares each block of the only node with the next.
func momentsInTime(history [][]Sample, length int) moments {
	var m moments
	var before Sample
	for start := 0; start+length <= len(history); start += length {
		var block Sample
		for _, look := range history[start : start+length] {
			block.Bad += look[0].Bad
			block.Total += look[0].Total
		}
		if before.Total > 0 && block.Total > 0 {
			events, share := block.Bad+before.Bad, block.Total/(block.Total+before.Total)
			information := events * share * (1 - share)
			m.add(block.Bad-events*share, information, 2*information*information)
		}
		before = block
	}
	return m
}
